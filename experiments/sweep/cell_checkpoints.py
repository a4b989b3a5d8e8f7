"""Checkpoints inside the cells of a sweep: a folder for each cell, gone once the cell has ended, well or not."""

from __future__ import annotations

import contextlib
import pathlib
import shutil
from collections.abc import Callable

from experiments.grid import Cell
from fedrecjax.simulation.checkpoints import Checkpoints

CHECKPOINTS = "checkpoints"
_ASIDE = ".aside"


def checkpoints_dir(out_dir: pathlib.Path, cell: Cell) -> pathlib.Path:
  """The folder of a cell's checkpoints."""
  return out_dir / CHECKPOINTS / cell.hash


def checkpoints_of(
  out_dir: pathlib.Path, cell: Cell, every: int | None, stop: Callable[[], bool], say: Callable[[str], None]
) -> Checkpoints | None:
  """Where and when a cell writes checkpoints.

  Args:
    out_dir: folder of the sweep.
    cell: to be run.
    every: epochs between two; 0 for none, None if time decides.
    stop: asked whether the cell is to stop.
    say: is told what is said about them.
  """
  if every == 0:
    return None
  return Checkpoints(checkpoints_dir(out_dir, cell), every, stop, last=False, say=say)


def set_aside(folder: pathlib.Path) -> pathlib.Path:
  """Gives the checkpoints of another run another name, in place of any that had it; returns that."""
  aside = folder.with_name(folder.name + _ASIDE)
  shutil.rmtree(aside, ignore_errors=True)
  folder.rename(aside)
  return aside


def remove_checkpoints(out_dir: pathlib.Path, cell: Cell) -> None:
  """Removes a cell's checkpoints, with those set aside."""
  folder = checkpoints_dir(out_dir, cell)
  for one in (folder, folder.with_name(folder.name + _ASIDE)):
    shutil.rmtree(one, ignore_errors=True)
  # Other cells may have theirs there.
  with contextlib.suppress(OSError):
    folder.parent.rmdir()
