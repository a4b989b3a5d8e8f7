"""What cells are likely to cost, before any of them has run and after some have."""

from __future__ import annotations

import itertools
import math
import os
import pathlib
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from experiments.grid import Cell, structure_of
from experiments.results.cell_files import read_metrics
from experiments.sweep.data_block import DataKey
from fedrecjax.datasets import Dataset
from fedrecjax.simulation.memory import needs_of

PROGRAM_S = 1.5
"""Seconds that it takes to compile what a cell of a new structure needs, about."""
INTERACTION_S = 2e-7
"""Seconds that an interaction takes in an epoch, about; under costly attacks it takes several times as long."""
_WORKER_S = 10.0
_PROCESS_BYTES = 2**30
# What a run needs at least, times this, is about what it needs.
_NEEDS = 4
_QUOTA = pathlib.Path("/sys/fs/cgroup/cpu.max")


def likely_seconds(cell: Cell, datasets: Mapping[DataKey, Dataset]) -> float:
  """Seconds that a cell trains, about, from the size of its data alone."""
  interactions = len(datasets[cell.config.dataset, cell.config.data].train.items)
  return INTERACTION_S * interactions * cell.config.train.epochs


class Expected:
  """Seconds that cells take: as the latest of their structure did, or else by a guess, and how far guesses were off."""

  def __init__(self, guess: Callable[[Cell], float]):
    self._guess = guess
    self._measured: dict[object, float] = {}
    self._guessed: dict[object, float] = {}
    self._structures: dict[str, object] = {}
    self._off = 1.0

  def structure(self, cell: Cell) -> object:
    """See :func:`experiments.grid.structure_of`; looked at once for each cell, since it has all of its fields."""
    if cell.hash not in self._structures:
      self._structures[cell.hash] = structure_of(cell)
    return self._structures[cell.hash]

  def took(self, cell: Cell, seconds: float) -> None:
    """A cell has taken so many seconds."""
    structure = self.structure(cell)
    self._measured[structure], self._guessed[structure] = seconds, self._guess(cell)
    guessed = sum(self._guessed.values())
    self._off = sum(self._measured.values()) / guessed if guessed > 0 else 1.0

  def seconds(self, cell: Cell) -> float:
    """Seconds that a cell is likely to take."""
    measured = self._measured.get(self.structure(cell))
    return self._guess(cell) * self._off if measured is None else measured

  def processes(self, cells: Sequence[Cell]) -> int:
    """How many processes that work is worth: one for every ten seconds of it."""
    new = {self.structure(cell) for cell in cells} - self._measured.keys()
    return max(1, int((len(new) * PROGRAM_S + sum(self.seconds(cell) for cell in cells)) // _WORKER_S))


def most_jobs(cells: Sequence[Cell], datasets: Mapping[DataKey, Dataset], *, cores: int, available: int) -> int:
  """How many processes `--jobs=auto` may share the cells among.

  At most one per core and cell, and as many as fit into memory. One where cells have images, whose programs use all
  cores by themselves.

  Args:
    cells: to run.
    datasets: of the cells.
    cores: that this process may use.
    available: bytes of memory.
  """
  if any(cell.config.images.source != "none" for cell in cells):
    return 1
  fitting = available // (_PROCESS_BYTES + _NEEDS * _largest_need(cells, datasets))
  return max(1, min(cores, len(cells), fitting))


def _largest_need(cells: Sequence[Cell], datasets: Mapping[DataKey, Dataset]) -> int:
  kinds = {(cell.config.dataset, cell.config.data, cell.config.model, cell.config.train): cell for cell in cells}
  return max(
    sum(need.size for need in needs_of(datasets[name, data], model.build(), train))
    for name, data, model, train in kinds
  )


def usable_cores() -> int:
  """Cores that this process may use, by its affinity and by what its container is granted."""
  own = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
  try:
    quota, period = _QUOTA.read_text().split()
    return max(1, min(own, math.ceil(int(quota) / int(period))))
  except (OSError, ValueError):
    return own


class Remaining(NamedTuple):
  """What a sweep still has to do.

  Attributes:
    programs: structures of all cells, each of which is compiled once in a process.
    seconds: that unfinished cells take one after another, about; None where no cell is finished that would tell.
  """

  programs: int
  seconds: float | None


def remaining(cells: Sequence[Cell], finished: Sequence[bool], out_dir: pathlib.Path) -> Remaining:
  """What a sweep still has to do, and how long it takes by what its finished cells took.

  A cell takes as long as finished ones of the same structure did on average, or else as all did. In addition each
  structure takes as long to compile as those did on average that were compiled most slowly.

  Args:
    cells: of the sweep.
    finished: which of them are finished.
    out_dir: folder of the results.
  """
  trained: dict[object, list[float]] = {}
  compiled = []
  for cell in itertools.compress(cells, finished):
    last = read_metrics(out_dir, cell).tail(1)
    if last.height:
      trained.setdefault(structure_of(cell), []).append(float(last["wall_s"][0]))
      compiled.append(float(last["compile_s"][0]))
  programs = len({structure_of(cell) for cell in cells})
  if not trained:
    return Remaining(programs, None)
  left = [structure_of(cell) for cell, done in zip(cells, finished, strict=True) if not done]
  everywhere = [seconds for several in trained.values() for seconds in several]
  seconds = math.fsum(statistics.fmean(trained.get(structure, everywhere)) for structure in left)
  # Of cells that share a program only the first compiles it.
  slowest = sorted(compiled, reverse=True)[: len(trained)]
  return Remaining(programs, seconds + len(set(left)) * statistics.fmean(slowest))
