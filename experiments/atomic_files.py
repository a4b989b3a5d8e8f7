"""Files and folders that are whole or absent at any moment."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator

_TEMPORARY = ".tmp-"
_FORMER = ".old-"
# A temporary folder lives for the moment that it takes to write three files; one that old has no owner any more.
_ABANDONED_AFTER_S = 3600.0


@contextlib.contextmanager
def new_folder(folder: pathlib.Path) -> Iterator[pathlib.Path]:
  """A temporary folder that takes the place of `folder` once the block is left without an error."""
  folder.parent.mkdir(parents=True, exist_ok=True)
  temporary = pathlib.Path(tempfile.mkdtemp(prefix=_TEMPORARY, dir=folder.parent))
  try:
    # mkdtemp gives access to nobody else, which would hide the results from colleagues.
    temporary.chmod(0o777 & ~_umask())
    yield temporary
    for file in temporary.rglob("*"):
      if file.is_file():
        _sync(file)
    _replace_folder(temporary, folder)
  finally:
    shutil.rmtree(temporary, ignore_errors=True)


def _replace_folder(new: pathlib.Path, folder: pathlib.Path) -> None:
  """Two renames, since no folder can be renamed onto a full one.

  A process that is killed between them leaves the former folder under a name from which :func:`restore` brings it back.
  """
  former = folder.with_name(f"{_FORMER}{folder.name}")
  if folder.is_dir():
    shutil.rmtree(former, ignore_errors=True)
    folder.rename(former)
  new.rename(folder)
  shutil.rmtree(former, ignore_errors=True)


def restore(parent: pathlib.Path) -> None:
  """Brings back folders whose replacement was killed half way, and removes those whose replacement is there."""
  for former in parent.glob(f"{_FORMER}*"):
    folder = former.with_name(former.name.removeprefix(_FORMER))
    with contextlib.suppress(OSError):
      if folder.exists():
        shutil.rmtree(former)
      else:
        former.rename(folder)


def _umask() -> int:
  mask = os.umask(0)
  os.umask(mask)
  return mask


def _sync(file: pathlib.Path) -> None:
  with file.open("rb") as stream:
    os.fsync(stream.fileno())


@contextlib.contextmanager
def new_file(file: pathlib.Path) -> Iterator[pathlib.Path]:
  """A temporary name that takes the place of `file` once the block is left without an error."""
  file.parent.mkdir(parents=True, exist_ok=True)
  handle, name = tempfile.mkstemp(prefix=_TEMPORARY, suffix=file.suffix, dir=file.parent)
  os.close(handle)
  temporary = pathlib.Path(name)
  try:
    temporary.chmod(0o666 & ~_umask())
    yield temporary
    _sync(temporary)
    temporary.replace(file)
  finally:
    temporary.unlink(missing_ok=True)


def check_writable(folder: pathlib.Path) -> None:
  """Raises OSError unless a file can be made in the folder."""
  with tempfile.TemporaryFile(prefix=_TEMPORARY, dir=folder) as file:
    file.write(b"0")


def remove_abandoned(folders: Iterable[pathlib.Path]) -> None:
  """Removes what processes that were killed left behind in these folders."""
  limit = time.time() - _ABANDONED_AFTER_S
  for parent in folders:
    for path in parent.glob(f"{_TEMPORARY}*"):
      with contextlib.suppress(OSError):
        if path.stat().st_mtime < limit:
          shutil.rmtree(path) if path.is_dir() else path.unlink()
