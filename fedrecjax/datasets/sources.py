"""The bytes of a file as they are unpacked: plain, gzip, zip with one table, Zstandard; never more than is safe."""

from __future__ import annotations

import gzip
import io
import lzma
import pathlib
import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from fedrecjax.datasets.errors import DataError
from fedrecjax.datasets.zstandard import unpacked_zstandard

CHUNK = 2**25
FREE = 2**28
"""Bytes that a packed file may unpack to in any case; beyond them its ratio counts."""

PACKED = (".gz", ".zip", ".zst")
_NO_TABLE = (".md", ".html", ".pdf", ".sh", ".pl", ".py", ".png", ".jpg", ".license")
_MAGIC = {b"\x1f\x8b": ".gz", b"PK\x03\x04": ".zip", b"\x28\xb5\x2f\xfd": ".zst"}
_OTHER_MAGIC = {b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"7z\xbc\xaf": "7z", b"\x80\x04\x95": "pickle", b"\x89HDF": "HDF5",
                b"SQLi": "SQLite", b"PAR1": "Parquet, whose name ends in .parquet"}
_BROKEN = (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile, zipfile.BadZipFile, struct.error, IndexError,
           NotImplementedError, RuntimeError)
"""What the readers of archives raise where one is damaged or of a kind that they do not know."""
_WORKBOOKS = (".xlsx", ".xlsm", ".ods")


def plain_name(path: pathlib.Path) -> str:
  """A file's name without what says how it is packed.

  >>> plain_name(pathlib.Path("u.data.gz")), plain_name(pathlib.Path("u.data"))
  ('u.data', 'u.data')
  """
  return path.name[: -len(path.suffix)] if path.suffix.lower() in PACKED else path.name


def chunks(path: pathlib.Path, *, unpack_ratio: int) -> Iterator[bytes]:
  """The content of a file, unpacked as its name says, in pieces of at most 32 MiB.

  Args:
    path: the file.
    unpack_ratio: how many times its own size a packed file may unpack to, once that is more than 256 MiB.

  Raises:
    DataError: if the file is missing, unreadable, not packed as its name says, cut, or unpacks to more.
  """
  try:
    size = path.stat().st_size
    with path.open("rb") as raw:
      _refuse_other_packing(path, raw)
      total = 0
      for piece in _unpacked(path, raw, size, unpack_ratio):
        total += len(piece)
        if path.suffix.lower() in PACKED and total > max(FREE, unpack_ratio * size):
          raise too_large(path, size, unpack_ratio)
        yield piece
  except FileNotFoundError:
    raise DataError(f"{path}: no such file") from None
  except _BROKEN as error:
    kind = {".gz": "gzip", ".zip": "zip"}.get(path.suffix.lower(), "packed")
    raise DataError(f"{path}: expected a whole {kind} file: {error}") from None
  except OSError as error:
    raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None


def content(path: pathlib.Path, *, unpack_ratio: int) -> bytes:
  """The whole content of a file, as :func:`chunks`."""
  return b"".join(chunks(path, unpack_ratio=unpack_ratio))


def too_large(path: pathlib.Path, size: int, unpack_ratio: int) -> DataError:
  """The error for a file that unpacks to more than it may."""
  return DataError(
    f"{path}: its {size:,} bytes unpack to more than {unpack_ratio} times as many, which is what a file made to fill a"
    " memory does; if it is sound, --data.unpack_ratio raises the bound"
  )


def _refuse_other_packing(path: pathlib.Path, raw: BinaryIO) -> None:
  head = raw.read(6)
  raw.seek(0)
  if path.suffix.lower() in PACKED:
    return
  if path.suffix.lower() in _WORKBOOKS:
    raise DataError(f"{path}: found a workbook, expected a table as text; save it as CSV")
  for magic, kind in _OTHER_MAGIC.items():
    if head.startswith(magic):
      raise DataError(f"{path}: found {kind}, expected a text, plain or packed as {' '.join(PACKED)}")
  for magic, suffix in _MAGIC.items():
    if head.startswith(magic):
      raise DataError(f"{path}: found packed data, expected a name that ends in {suffix}")


def _unpacked(path: pathlib.Path, raw: BinaryIO, size: int, unpack_ratio: int) -> Iterator[bytes]:
  suffix = path.suffix.lower()
  if suffix == ".gz":
    with gzip.GzipFile(fileobj=raw) as opened:
      yield from _pieces(opened)
  elif suffix == ".zip":
    with zipfile.ZipFile(raw) as archive, archive.open(_only_table(path, archive)) as member:
      yield from _pieces(member)
  elif suffix == ".zst":
    yield from _pieces(io.BytesIO(unpacked_zstandard(path, raw.read(), most=max(FREE, unpack_ratio * size))))
  else:
    yield from _pieces(raw)


def _pieces(opened: object) -> Iterator[bytes]:
  read = opened.read  # type: ignore[attr-defined]
  while piece := read(CHUNK):
    yield piece


def _only_table(path: pathlib.Path, archive: zipfile.ZipFile) -> zipfile.ZipInfo:
  """The one member that can be a table."""
  found = [
    one for one in archive.infolist()
    if not one.is_dir() and not _is_aside(pathlib.PurePosixPath(one.filename))
  ]
  if len(found) != 1:
    shown = ", ".join(one.filename for one in found[:6]) + (", ..." if len(found) > 6 else "")
    raise DataError(
      f"{path}: {len(found)} tables in this archive{': ' if found else ''}{shown}, expected one; unpack it and name the"
      " file"
    )
  if found[0].flag_bits & 1:
    raise DataError(f"{path}: {found[0].filename} is encrypted, expected an open archive")
  return found[0]


def _is_aside(member: pathlib.PurePosixPath) -> bool:
  """Whether a member is a note or a system's own file rather than a table."""
  hidden = any(part.startswith((".", "__MACOSX")) for part in member.parts)
  named = member.stem.upper() in ("README", "LICENSE", "COPYING", "NOTICE")
  return hidden or named or member.suffix.lower() in _NO_TABLE
