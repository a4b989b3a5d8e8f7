"""Digests of files: what tells whether data are still what a result was computed from."""

from __future__ import annotations

import functools
import hashlib
import os
import pathlib
from collections.abc import Mapping

from fedrecjax.datasets.errors import DataError
from fedrecjax.datasets.named import data_files


def digest_of(file: pathlib.Path) -> str:
  """SHA-256 of a file's content, hexadecimal."""
  with file.open("rb") as stream:
    return hashlib.file_digest(stream, "sha256").hexdigest()


def folder_digests(folder: pathlib.Path) -> dict[str, str]:
  """The digests of all files below a folder, by their path in it, in order."""
  files = sorted(path for path in folder.rglob("*") if path.is_file())
  return {path.relative_to(folder).as_posix(): digest_of(path) for path in files}


def damage_in(folder: pathlib.Path, written: Mapping[str, str]) -> str | None:
  """What is wrong with the files below a folder, for people; None if those that were written are whole.

  Args:
    folder: that they are in.
    written: their digests by path, from :func:`folder_digests`.
  """
  found = folder_digests(folder)
  for name, digest in written.items():
    if found.get(name) != digest:
      return f"{name} is {'missing' if name not in found else 'not what was written'}"
  return None


def data_digest(
  name_or_path: str | os.PathLike[str],
  *,
  data_dir: str | os.PathLike[str] | None = None,
  public_file: str | os.PathLike[str] | None = None,
) -> str | None:
  """The digest of the files that a data set is read from.

  Args:
    name_or_path: as of :func:`fedrecjax.datasets.read_named`.
    data_dir: likewise.
    public_file: of public interactions, see :func:`fedrecjax.datasets.read_public`; one of the files if it is there.

  Returns:
    SHA-256 of the file, hexadecimal; of several files that of the lines that `sha256sum` prints of them, by name. None
    for data that come from no file, or whose files are not there.

  Raises:
    DataError: if a file cannot be read.
  """
  files = list(data_files(name_or_path, data_dir=data_dir))
  if public_file is not None and pathlib.Path(public_file).is_file():
    files.append(pathlib.Path(public_file))
  digests = sorted((file.name, _remembered(file)) for file in files)
  if len(digests) < 2:
    return digests[0][1] if digests else None
  lines = "".join(f"{digest}  {name}\n" for name, digest in digests)
  return hashlib.sha256(lines.encode()).hexdigest()


def _remembered(file: pathlib.Path) -> str:
  """The digest, computed once while the file does not change."""
  try:
    status = file.stat()
    return _digest(file, status.st_size, status.st_mtime_ns, status.st_ino)
  except OSError as error:
    raise DataError(f"{file}: cannot be read: {error.strerror}") from error


@functools.lru_cache(maxsize=1000)
def _digest(file: pathlib.Path, size: int, modified: int, inode: int) -> str:
  del size, modified, inode
  return digest_of(file)
