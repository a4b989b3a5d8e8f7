"""Folders and small files of a sweep, each of which is whole or absent at any moment."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import shutil
import tempfile
import time
from collections.abc import Iterator
from typing import Any

from experiments.grid import Cell

NETWORKS = "networks"
CELL_FILES = ("config.json", "metrics.parquet", "per_user.parquet")
_TEMPORARY = ".tmp-"
# A temporary folder lives for the moment that it takes to write three files; one that old has no owner any more.
_ABANDONED_AFTER_S = 3600.0


def cell_dir(out_dir: pathlib.Path, cell: Cell) -> pathlib.Path:
  """The folder of a finished cell."""
  return out_dir / "cells" / cell.hash


def failure_file(out_dir: pathlib.Path, cell: Cell) -> pathlib.Path:
  """The file that says why a cell failed."""
  return out_dir / "failures" / f"{cell.hash}.json"


def finished_config(folder: pathlib.Path) -> dict[str, Any] | None:
  """The content of config.json of a finished cell, or None if the folder is not one."""
  if not all((folder / name).is_file() for name in CELL_FILES):
    return None
  try:
    content = json.loads((folder / "config.json").read_text())
  except (OSError, ValueError):
    return None
  return content if isinstance(content, dict) and "config" in content else None


def is_finished(out_dir: pathlib.Path, cell: Cell) -> bool:
  """Whether the cell's results are there, of exactly this configuration."""
  content = finished_config(cell_dir(out_dir, cell))
  return content is not None and content["config"] == json.loads(json.dumps(cell.flat))


def finished_dirs(out_dir: pathlib.Path) -> list[pathlib.Path]:
  """The folders of all finished cells of all sweeps into this folder, by name."""
  folder = out_dir / "cells"
  if not folder.is_dir():
    return []
  return sorted(
    one for one in folder.iterdir() if not one.name.startswith(_TEMPORARY) and finished_config(one) is not None
  )


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
  try:
    new.rename(folder)
  except OSError:
    if not folder.is_dir():
      raise
    old = pathlib.Path(tempfile.mkdtemp(prefix=_TEMPORARY, dir=folder.parent))
    folder.rename(old)
    new.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


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


def clean(out_dir: pathlib.Path) -> None:
  """Removes what processes that were killed left behind."""
  limit = time.time() - _ABANDONED_AFTER_S
  for parent in (out_dir, out_dir / "cells", out_dir / "failures", out_dir / NETWORKS):
    for path in parent.glob(f"{_TEMPORARY}*"):
      with contextlib.suppress(OSError):
        if path.stat().st_mtime < limit:
          shutil.rmtree(path) if path.is_dir() else path.unlink()
