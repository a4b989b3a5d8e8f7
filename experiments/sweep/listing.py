"""The cells of a sweep as a table, before anything is run."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

from experiments.grid import AXES, Cell, label, shown, varying_fields
from experiments.results.paths import is_finished
from experiments.sweep.cost import remaining
from experiments.sweep.progress import duration
from experiments.tables import Table


def listing(cells: Sequence[Cell], out_dir: pathlib.Path) -> Table:
  """One row per cell: what tells it apart, its hash, and whether its results are there.

  Args:
    cells: in the order in which they run.
    out_dir: folder of the results; it need not exist.
  """
  fields = varying_fields(cells) or list(AXES)
  finished = [is_finished(out_dir, cell) for cell in cells]
  rows = tuple(
    (*(label(cell.flat, name) for name in fields), cell.hash, "yes" if done else "no")
    for cell, done in zip(cells, finished, strict=True)
  )
  same = "" if not cells else " ".join(f"{name}={shown(cells[0].flat[name])}" for name in AXES if name not in fields)
  left = remaining(cells, finished, out_dir)
  title = (f"{len(cells)} cells, {sum(finished)} of them finished in {out_dir}; {_programs(left.programs)};"
           f" {_time(left.seconds, len(cells) - sum(finished))}")
  return Table(title, (*fields, "hash", "finished"), rows, len(fields) + 2, (f"All: {same}",) if same else ())


def _programs(count: int) -> str:
  return "1 program to compile" if count == 1 else f"{count} programs to compile"


def _time(seconds: float | None, left: int) -> str:
  """How long the unfinished cells take."""
  if not left:
    return "nothing is left to do"
  if seconds is None:
    return "how long they take is not known until one is finished"
  return f"the others take about {duration(seconds)} one after another, as the finished ones did"
