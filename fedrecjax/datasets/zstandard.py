"""Zstandard files, unpacked by polars once their frames say that they are not too large."""

from __future__ import annotations

import io
import pathlib

import polars as pl

from fedrecjax.datasets.errors import DataError

_FRAME = 0xFD2FB528
_LARGEST_BLOCK = 2**17
_SKIPPED = range(0x184D2A50, 0x184D2A60)


def unpacked_zstandard(path: pathlib.Path, packed: bytes, *, most: int) -> bytes:
  """Unpacks a text.

  Args:
    path: file named in errors.
    packed: its content.
    most: bytes that it may unpack to.

  Returns:
    The text, whose lines end in LF.

  Raises:
    DataError: if the file is cut or no such file, or may be too large.
  """
  size = largest_size(path, packed)
  if size > most:
    raise DataError(
      f"{path}: may unpack to {size:,} bytes, expected at most {most:,}; if it is sound, --data.unpack_ratio raises the"
      " bound"
    )
  for separator in "\x01\x02\x03":
    try:
      lines = pl.scan_csv(
        packed, has_header=False, separator=separator, quote_char=None, schema={"line": pl.String}, raise_if_empty=False
      ).collect()
    except pl.exceptions.PolarsError as error:
      reason = str(error).splitlines()[0]
      continue
    unpacked = io.BytesIO()
    lines.write_csv(unpacked, include_header=False, separator=separator, quote_style="never")
    return unpacked.getvalue()
  raise DataError(f"{path}: cannot be unpacked here ({reason}); unpack it first")


def largest_size(path: pathlib.Path, packed: bytes) -> int:
  """How many bytes a file may hold at most, found without unpacking it: what its frames or their blocks say.

  Raises:
    DataError: if the file is cut or no Zstandard file.
  """
  total, place = 0, 0
  try:
    while place < len(packed):
      magic = int.from_bytes(packed[place : place + 4], "little")
      if magic in _SKIPPED:
        place += 8 + int.from_bytes(packed[place + 4 : place + 8], "little")
        continue
      if magic != _FRAME:
        raise DataError(f"{path}: expected a whole Zstandard file")
      size, place = _frame(packed, place + 4)
      total += size
  except IndexError:
    raise DataError(f"{path}: expected a whole Zstandard file, this one is cut") from None
  if place != len(packed) or not packed:
    raise DataError(f"{path}: expected a whole Zstandard file, this one is cut")
  return total


def _frame(packed: bytes, place: int) -> tuple[int, int]:
  """The most that a frame holds, and where it ends; RFC 8878, 3.1.1."""
  descriptor = packed[place]
  single, checksum = descriptor >> 5 & 1, descriptor >> 2 & 1
  place += 1 + (1 - single) + (0, 1, 2, 4)[descriptor & 3]
  width = (single, 2, 4, 8)[descriptor >> 6]
  declared = width > 0
  size = int.from_bytes(packed[place : place + width], "little") + (256 if width == 2 else 0)
  place += width
  last = 0
  while not last:
    header = packed[place] | packed[place + 1] << 8 | packed[place + 2] << 16
    last, kind, length = header & 1, header >> 1 & 3, header >> 3
    # A run is one byte, however often it is repeated.
    place += 3 + (1 if kind == 1 else length)
    if not declared:
      size += _LARGEST_BLOCK if kind == 2 else length
  return size, place + 4 * checksum
