"""The finished cells of one folder or of several together."""

from __future__ import annotations

import contextlib
import json
import pathlib
import tempfile
from collections.abc import Iterator, Sequence, Set
from typing import NamedTuple

import polars as pl

from experiments.errors import UsageError
from experiments.grid import Cell, in_order_of_structure
from experiments.report.asked import Asked, read_asked
from experiments.results.cell_files import results_of
from experiments.results.integrity import damaged_cells
from experiments.results.paths import finished_config, finished_dirs, reason_in
from fedrecjax.config import ConfigError, from_flat


class Gathered(NamedTuple):
  """What folders of sweeps hold.

  Attributes:
    places: the folders as they were named.
    folder: one with all their cells.
    cells: the finished ones that this version understands.
    results: one row per cell.
    failures: (name, reason) of cells that failed.
    asked: what sweeps into the folders were asked for.
    remarks: a line for what is left out, and why.
  """

  places: tuple[pathlib.Path, ...]
  folder: pathlib.Path
  cells: list[Cell]
  results: pl.DataFrame
  failures: list[tuple[str, str]]
  asked: Asked
  remarks: tuple[str, ...]

  @property
  def missing(self) -> list[str]:
    """Names of cells that were asked for and are not finished."""
    there = {cell.without_data for cell in self.cells}
    return [name for key, name in self.asked.names.items() if key not in there]


@contextlib.contextmanager
def gathered(out_dirs: Sequence[pathlib.Path]) -> Iterator[Gathered]:
  """The cells of folders, while the block lasts; of one that is in several the first counts.

  Args:
    out_dirs: folders of sweeps.

  Raises:
    UsageError: naming a folder that is none, or holds no finished cell.
  """
  for out_dir in out_dirs:
    if not out_dir.is_dir():
      raise UsageError(f"{out_dir} is no folder")
    if not finished_dirs(out_dir):
      raise UsageError(f"{out_dir} holds no finished cell; expected the --out_dir of a sweep")
  if len(out_dirs) == 1:
    yield _read(out_dirs, out_dirs[0])
    return
  with tempfile.TemporaryDirectory(prefix="fedrecjax-report-") as name:
    together = pathlib.Path(name)
    (together / "cells").mkdir()
    for folder in (folder for out_dir in out_dirs for folder in finished_dirs(out_dir)):
      link = together / "cells" / folder.name
      if not link.is_symlink():
        link.symlink_to(folder.resolve(), target_is_directory=True)
    yield _read(out_dirs, together)


def _read(places: Sequence[pathlib.Path], folder: pathlib.Path) -> Gathered:
  cells, understood, remarks = [], [], []
  for one in finished_dirs(folder):
    content = finished_config(one)
    assert content is not None
    try:
      config = from_flat(content["config"])
    except ConfigError as error:
      remarks.append(f"{one.name} is left out: this version of fedrecjax does not know its settings: {error}")
      continue
    cells.append(Cell(config, config.flat(), one.name, content.get("data_digest")))
    understood.append(one)
  for place in places:
    remarks += [f"{one} counts as unfinished: {damage}" for one, damage in damaged_cells(place / "cells").items()]
  ordered = in_order_of_structure(sorted(cells, key=_place))
  there = {one.name for one in understood}
  failures = [failure for place in places for failure in _failures(place, there)]
  return Gathered(tuple(places), folder, ordered, results_of(understood), failures, read_asked(places), tuple(remarks))


def _place(cell: Cell) -> tuple[str, ...]:
  """Cells in an order that does not hang on their hashes; runs without attack and defense come first."""
  flat = cell.flat
  methods = [("" if flat[name] == "none" else flat[name]) for name in ("attack", "defense")]
  numbers = [f"{value:020.6f}" if isinstance(value, (int, float)) else str(value) for value in flat.values()]
  return (flat["dataset"], flat["model"], *methods, *numbers)


def _failures(out_dir: pathlib.Path, finished: Set[str]) -> list[tuple[str, str]]:
  """Those of cells without a result; one that failed when it was computed anew keeps its former result."""
  found = []
  for file in sorted((out_dir / "failures").glob("*.json")):
    if file.stem in finished:
      continue
    try:
      name = str(json.loads(file.read_text(encoding="utf-8"))["name"])
    except (OSError, ValueError, TypeError, KeyError):
      name = file.stem
    found.append((name, reason_in(file)))
  return found
