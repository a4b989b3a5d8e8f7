"""Where a sweep keeps its cells, and which of them are finished."""

from __future__ import annotations

import json
import pathlib
from typing import Any

from experiments.atomic_files import is_temporary, remove_abandoned
from experiments.grid import Cell

NETWORKS = "networks"
CELL_FILES = ("config.json", "metrics.parquet", "per_user.parquet")


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
    one for one in folder.iterdir() if not is_temporary(one) and finished_config(one) is not None
  )


def clean(out_dir: pathlib.Path) -> None:
  """Removes what processes that were killed left behind."""
  remove_abandoned((out_dir, out_dir / "cells", out_dir / "failures", out_dir / NETWORKS))
