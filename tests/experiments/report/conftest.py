"""A folder of invented results with all that makes a report hard."""

import json
import pathlib
from typing import NamedTuple

import pytest

from experiments.grid import Cell, cell_name, expand
from experiments.report.asked import Asked, keep_asked
from tests.support.invented_sweep import write_invented

AWKWARD = "a<b>&\"$x_%'.csv"
GRID = {"dataset": AWKWARD, "attack": "none,explicit_boosting,pieck_uea", "defense": "none,norm_bound,median",
        "seed": "0-2", "train.epochs": "20", "eval.ks": "5+10"}


class Sweep(NamedTuple):
  """A folder and what is in it."""

  folder: pathlib.Path
  cells: list[Cell]
  failed: Cell
  unrun: Cell
  diverged: Cell


@pytest.fixture(scope="package")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Sweep:
  """All cells of the grid but one that failed and one that was not run; another has diverged."""
  folder = tmp_path_factory.mktemp("report") / "out"
  cells = expand([{}], GRID)
  failed, unrun, diverged = (
    next(cell for cell in cells if (cell.flat["attack"], cell.flat["defense"], cell.config.seed) == wanted)
    for wanted in (
      ("pieck_uea", "median", 2), ("explicit_boosting", "median", 1), ("explicit_boosting", "norm_bound", 0),
    )
  )
  finished = [cell for cell in cells if cell not in (failed, unrun)]
  write_invented(folder, finished, diverged=[diverged.hash])
  (folder / "failures").mkdir()
  content = {"name": cell_name(failed, []), "reason": "MemoryError: <script>alert(1)</script>"}
  (folder / "failures" / f"{failed.hash}.json").write_text(json.dumps(content))
  keep_asked(folder, Asked({cell.without_data: cell_name(cell, []) for cell in cells}, {}))
  return Sweep(folder, finished, failed, unrun, diverged)
