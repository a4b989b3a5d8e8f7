"""Which process runs which cell: cells that share a program go to one process, so that it is compiled once."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable, Sequence

from experiments.grid import Cell, structure_of
from experiments.sweep.cost import PROGRAM_S


@dataclasses.dataclass
class _Group:
  """Cells of one structure.

  Attributes:
    waiting: those that nobody has taken.
    seconds: that one of them takes, as far as is known.
    workers: how many processes have taken their latest cell from it.
  """

  waiting: collections.deque[Cell]
  seconds: float
  workers: int = 0

  @property
  def left(self) -> float:
    """Seconds that the waiting cells take."""
    return self.seconds * len(self.waiting)


class Schedule:
  """Hands out cells to workers, groups that take longest first.

  A worker stays with its group until that has no cell left, then takes the longest group that no worker is at, and
  only then helps another worker with its group, if what waits there takes longer than to compile the group's program
  once more.
  """

  def __init__(self, cells: Sequence[Cell], seconds: Callable[[Cell], float]):
    self._groups: dict[object, _Group] = {}
    for cell in cells:
      group = self._groups.setdefault(structure_of(cell), _Group(collections.deque(), seconds(cell)))
      group.waiting.append(cell)
    self._at: dict[int, _Group] = {}

  @property
  def waiting(self) -> int:
    """Number of cells that nobody has taken."""
    return sum(len(group.waiting) for group in self._groups.values())

  def take(self, worker: int) -> Cell | None:
    """The next cell of a worker; None if there is none that it should run."""
    present = self._at.get(worker)
    if present is None or not present.waiting:
      present = self._move(worker)
    return None if present is None else present.waiting.popleft()

  def _move(self, worker: int) -> _Group | None:
    self.leave(worker)
    nobodys = [group for group in self._groups.values() if group.waiting and not group.workers]
    choice = nobodys or [group for group in self._groups.values() if group.left > PROGRAM_S]
    if not choice:
      return None
    chosen = max(choice, key=lambda group: group.left)
    chosen.workers += 1
    self._at[worker] = chosen
    return chosen

  def leave(self, worker: int) -> None:
    """A worker is at no group any more, because it has ended or there is nothing for it to do."""
    group = self._at.pop(worker, None)
    if group is not None:
      group.workers -= 1

  def give_back(self, cell: Cell) -> None:
    """A cell is to be run again, before others of its group."""
    self._groups[structure_of(cell)].waiting.appendleft(cell)

  def took(self, cell: Cell, seconds: float) -> None:
    """A cell has taken so many seconds; others of its group are likely to take as many."""
    self._groups[structure_of(cell)].seconds = seconds
