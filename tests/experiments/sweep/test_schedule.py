"""Which process runs which cell."""

from experiments.grid import expand
from experiments.sweep.cost import Expected
from experiments.sweep.schedule import Schedule

CELLS = expand([{}], {"attack": "none,random,label_flip", "seed": "0-3"})

SECONDS = {"none": 1.0, "random": 3.0, "label_flip": 2.0}


def names(cells):
  return [(cell.flat["attack"], cell.config.seed) for cell in cells]


def taken(schedule, *order):
  return [schedule.take(worker) for worker in order]


def test_a_worker_stays_with_the_cells_of_its_program():
  first, second, *others = taken(Schedule(CELLS, Expected(lambda _: 1.0)), 1, 2, 1, 2, 1, 1, 2, 2)
  own = [first, others[0], others[2], others[3]]
  assert {cell.flat["attack"] for cell in own} == {first.flat["attack"]}
  assert second.flat["attack"] != first.flat["attack"]
  assert len({cell.hash for cell in own}) == 4


def test_what_takes_longest_comes_first():
  schedule = Schedule(CELLS, Expected(lambda cell: SECONDS[cell.flat["attack"]]))
  assert [cell.flat["attack"] for cell in taken(schedule, 1, 2, 3)] == ["random", "label_flip", "none"]


def test_a_group_is_shared_only_where_that_is_faster():
  long = Schedule(CELLS[:4], Expected(lambda _: 10.0))
  assert names(taken(long, 1, 2, 2, 1)) == [("none", seed) for seed in range(4)]
  assert long.take(1) is None and not long.waiting
  expected = Expected(lambda _: 0.1)
  short = Schedule(CELLS[:4], expected)
  assert short.take(1) is not None and short.take(2) is None and len(short.waiting) == 3
  expected.took(CELLS[0], 5.0)
  assert short.take(2) is not None, "cells turn out to take long"


def test_cells_of_a_worker_that_has_ended_are_taken_by_another():
  schedule = Schedule(CELLS[:2], Expected(lambda _: 0.1))
  first = schedule.take(1)
  assert schedule.take(2) is None
  schedule.leave(1)
  schedule.give_back(first)
  assert names(taken(schedule, 2, 2)) == [("none", 0), ("none", 1)]


def test_a_worker_is_told_what_it_runs_after_its_group_and_others_leave_that_to_it():
  schedule = Schedule([CELLS[0], *CELLS[4:]], Expected(lambda cell: SECONDS[cell.flat["attack"]]))
  assert schedule.take(1).flat["attack"] == "random" and schedule.following(1) is None, "it stays with its group"
  assert names(taken(schedule, 1, 1, 1))[-1] == ("random", 3)
  following = schedule.following(1)
  assert names([following]) == [("label_flip", 0)]
  # The longest that is left is worker 1's; once nothing else is, it is taken all the same.
  assert names(taken(schedule, 2, 2, 1)) == [("none", 0), ("label_flip", 0), ("label_flip", 1)]


def test_what_a_worker_was_told_is_another_s_once_it_has_ended():
  schedule = Schedule([*CELLS[:1], *CELLS[4:]], Expected(lambda cell: SECONDS[cell.flat["attack"]]))
  taken(schedule, 1, 1, 1, 1)
  assert schedule.following(1).flat["attack"] == "label_flip"
  schedule.leave(1)
  assert schedule.take(2).flat["attack"] == "label_flip"


def test_every_cell_is_taken_once():
  schedule, found = Schedule(CELLS, Expected(lambda cell: float(cell.config.seed))), []
  for turn in range(100):
    cell = schedule.take(turn * turn % 3)
    if cell is not None:
      found.append(cell.hash)
  assert sorted(found) == sorted(cell.hash for cell in CELLS)
