"""Where a sweep keeps its cells, and which of them are finished."""

from __future__ import annotations

import json
import pathlib
from typing import Any

from experiments.atomic_files import remove_abandoned, restore
from experiments.grid import Cell
from experiments.results.integrity import content_of, damage_of, is_cell_name

NETWORKS = "networks"


def cell_dir(out_dir: pathlib.Path, cell: Cell) -> pathlib.Path:
  """The folder of a finished cell."""
  return out_dir / "cells" / cell.hash


def failure_file(out_dir: pathlib.Path, cell: Cell) -> pathlib.Path:
  """The file that says why a cell failed."""
  return out_dir / "failures" / f"{cell.hash}.json"


def finished_config(folder: pathlib.Path) -> dict[str, Any] | None:
  """The content of config.json of a finished cell, or None if the folder is not one, or damaged."""
  if not (is_cell_name(folder.name) and folder.is_dir()) or damage_of(folder) is not None:
    return None
  return content_of(folder)


def is_finished(out_dir: pathlib.Path, cell: Cell) -> bool:
  """Whether the cell's results are there, of exactly this configuration, these data and these plugins."""
  content = finished_config(cell_dir(out_dir, cell))
  if content is None or any(content.get(name) != getattr(cell, name) for name in ("data_digest", "plugins")):
    return False
  return content["config"] == json.loads(json.dumps(cell.flat))


def finished_dirs(out_dir: pathlib.Path) -> list[pathlib.Path]:
  """The folders of all finished cells of all sweeps into this folder, by name."""
  folder = out_dir / "cells"
  if not folder.is_dir():
    return []
  return sorted(one for one in folder.iterdir() if finished_config(one) is not None)


def clean(out_dir: pathlib.Path) -> None:
  """Removes what processes that were killed left behind, and brings back what they were about to replace."""
  for folder in (out_dir / "cells", out_dir / NETWORKS):
    restore(folder)
  remove_abandoned((out_dir, out_dir / "cells", out_dir / "failures", out_dir / NETWORKS))


def reason_in(file: pathlib.Path) -> str:
  """Why a cell failed, as its file says."""
  try:
    return str(json.loads(file.read_text())["reason"])
  except FileNotFoundError:
    return "it was not run"
  except (OSError, ValueError, TypeError, KeyError):
    return f"its reason in {file} cannot be read"
