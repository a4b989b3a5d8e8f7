"""Which process runs which cell."""

from experiments.grid import expand
from experiments.sweep.schedule import Schedule

CELLS = expand([{}], {"attack": "none,random,label_flip", "seed": "0-3"})


def names(cells):
  return [(cell.flat["attack"], cell.config.seed) for cell in cells]


def taken(schedule, *order):
  return [schedule.take(worker) for worker in order]


def test_a_worker_stays_with_the_cells_of_its_program():
  first, second, *others = taken(Schedule(CELLS, lambda _: 1.0), 1, 2, 1, 2, 1, 1, 2, 2)
  own = [first, others[0], others[2], others[3]]
  assert {cell.flat["attack"] for cell in own} == {first.flat["attack"]}
  assert second.flat["attack"] != first.flat["attack"]
  assert len({cell.hash for cell in own}) == 4


def test_what_takes_longest_comes_first():
  schedule = Schedule(CELLS, lambda cell: {"none": 1.0, "random": 3.0, "label_flip": 2.0}[cell.flat["attack"]])
  assert [cell.flat["attack"] for cell in taken(schedule, 1, 2, 3)] == ["random", "label_flip", "none"]


def test_a_group_is_shared_only_where_that_is_faster():
  long = Schedule(CELLS[:4], lambda _: 10.0)
  assert names(taken(long, 1, 2, 2, 1)) == [("none", seed) for seed in range(4)]
  assert long.take(1) is None and long.waiting == 0
  short = Schedule(CELLS[:4], lambda _: 0.1)
  assert short.take(1) is not None and short.take(2) is None and short.waiting == 3
  short.took(CELLS[0], 5.0)
  assert short.take(2) is not None, "cells turn out to take long"


def test_cells_of_a_worker_that_has_ended_are_taken_by_another():
  schedule = Schedule(CELLS[:2], lambda _: 0.1)
  first = schedule.take(1)
  assert schedule.take(2) is None
  schedule.leave(1)
  schedule.give_back(first)
  assert names(taken(schedule, 2, 2)) == [("none", 0), ("none", 1)]


def test_every_cell_is_taken_once():
  schedule, found = Schedule(CELLS, lambda cell: float(cell.config.seed)), []
  for turn in range(100):
    cell = schedule.take(turn * turn % 3)
    if cell is not None:
      found.append(cell.hash)
  assert sorted(found) == sorted(cell.hash for cell in CELLS)
