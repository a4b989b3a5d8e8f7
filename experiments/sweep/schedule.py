"""Which process runs which cell: cells that share a program go to one process, so that it is compiled once."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Sequence

from experiments.grid import Cell
from experiments.sweep.cost import PROGRAM_S, Expected


@dataclasses.dataclass
class _Group:
  """Cells of one structure.

  Attributes:
    waiting: those that nobody has taken.
    workers: how many processes have taken their latest cell from it.
  """

  waiting: collections.deque[Cell]
  workers: int = 0


class Schedule:
  """Hands out cells to workers, groups that take longest first.

  A worker stays with its group until that has no cell left, then takes the longest group that no worker is at, those
  last that another worker was told of, and only then helps another worker with its group, if what waits there takes
  longer than to compile the group's program once more.
  """

  def __init__(self, cells: Sequence[Cell], expected: Expected):
    self._expected = expected
    self._groups: dict[object, _Group] = {}
    for cell in cells:
      self._groups.setdefault(expected.structure(cell), _Group(collections.deque())).waiting.append(cell)
    self._at: dict[int, _Group] = {}
    self._told: dict[int, _Group] = {}

  @property
  def waiting(self) -> list[Cell]:
    """The cells that nobody has taken."""
    return [cell for group in self._groups.values() for cell in group.waiting]

  def take(self, worker: int) -> Cell | None:
    """The next cell of a worker; None if there is none that it should run."""
    present = self._at.get(worker)
    if present is None or not present.waiting:
      present = self._move(worker)
    return None if present is None else present.waiting.popleft()

  def following(self, worker: int) -> Cell | None:
    """The cell of another structure that a worker is likely to run next; None if it stays with its group or is done."""
    present = self._at.get(worker)
    if present is None or present.waiting:
      return None
    chosen = self._choice(worker)
    if chosen is None:
      return None
    self._told[worker] = chosen
    return chosen.waiting[0]

  def _move(self, worker: int) -> _Group | None:
    chosen = self._choice(worker)
    self.leave(worker)
    if chosen is not None:
      chosen.workers += 1
      self._at[worker] = chosen
    return chosen

  def _choice(self, worker: int) -> _Group | None:
    nobodys = [group for group in self._groups.values() if group.waiting and not group.workers]
    own = self._told.get(worker)
    if own is not None and any(own is group for group in nobodys):
      return own
    others = [group for name, group in self._told.items() if name != worker]
    free = [group for group in nobodys if not any(group is one for one in others)]
    choice = free or nobodys or [group for group in self._groups.values() if self._left(group) > PROGRAM_S]
    return max(choice, key=self._left, default=None)

  def _left(self, group: _Group) -> float:
    """Seconds that its waiting cells take, of which one is as long as another."""
    return self._expected.seconds(group.waiting[0]) * len(group.waiting) if group.waiting else 0.0

  def leave(self, worker: int) -> None:
    """A worker is at no group any more, because it has ended or there is nothing for it to do."""
    self._told.pop(worker, None)
    group = self._at.pop(worker, None)
    if group is not None:
      group.workers -= 1

  def give_back(self, cell: Cell) -> None:
    """A cell is to be run again, before others of its group."""
    self._groups[self._expected.structure(cell)].waiting.appendleft(cell)
