"""Oracle of Krum and its descendants, against arithmetic by hand."""

import numpy as np
import pytest

from tests.oracles import krum

LINE = np.array([[0.0], [1.0], [2.0], [4.0], [100.0]])
SQUARES = krum.pairwise(LINE, squared=True)


def test_pairwise():
  rows = np.array([[0.0, 0.0], [3.0, 4.0], [0.0, -1.0]])
  expected = [[0, 25, 1], [25, 0, 34], [1, 34, 0]]
  np.testing.assert_array_equal(krum.pairwise(rows, squared=True), expected)
  np.testing.assert_allclose(krum.pairwise(rows, squared=False), np.sqrt(expected))


@pytest.mark.parametrize(
  ("count", "f", "rule", "expected"),
  [
    (10, 2, "n-f-2", 6),
    (10, 2, "n-f-1", 7),
    (10, 2, "n-f", 8),
    (10, 0, "n-f", 9),
    (3, 1, "n-f-2", 1),
    (5, 4, "n-f-2", 1),
    (2, 0, "n-f-2", 1),
    (1, 0, "n-f-2", 0),
  ],
)
def test_neighbor_count(count, f, rule, expected):
  assert krum.neighbor_count(count, f, rule) == expected


@pytest.mark.parametrize(
  ("rule", "expected", "pick"),
  [
    # Two neighbours: 1+4, 1+1, 1+4, 4+9, 9216+9604.
    ("n-f-2", [5, 2, 5, 13, 18820], 1),
    # Three: 1+4+16, 1+1+9, 1+4+4, 4+9+16, 9216+9604+9801.
    ("n-f-1", [21, 11, 9, 29, 28621], 2),
    # All four: the outlier counts for everybody, most for those far from it.
    ("n-f", [10021, 9812, 9613, 9245, 38621], 3),
  ],
)
def test_krum(rule, expected, pick):
  assert list(krum.scores(SQUARES, range(5), 1, rule).values()) == expected
  np.testing.assert_array_equal(krum.krum(SQUARES, 1, rule=rule), np.eye(5)[pick])


def test_krum_with_plain_distances():
  # 0, 3, 4, 11 and f = 1, one neighbour: 3, 1, 1, 7. With two, plain 3+4, 1+3, 1+4, 7+8; squared
  # 9+16, 1+9, 1+16.
  rows = np.array([[0.0], [3.0], [4.0], [11.0]])
  plain = krum.pairwise(rows, squared=False)
  assert list(krum.scores(plain, range(4), 1, "n-f-2").values()) == [3, 1, 1, 7]
  assert list(krum.scores(plain, range(4), 1, "n-f-1").values()) == [7, 4, 5, 15]


@pytest.mark.parametrize(
  ("ties", "expected"),
  [("average", [0, 0.5, 0.5, 0]), ("first", [0, 1, 0, 0]), ("last", [0, 0, 1, 0])],
)
def test_ties_of_krum(ties, expected):
  distances = krum.pairwise(np.array([[0.0], [3.0], [4.0], [11.0]]), squared=True)
  np.testing.assert_array_equal(krum.krum(distances, 1, rule="n-f-2", ties=ties), expected)


def test_two_rows_tie_and_one_stands_alone():
  two = krum.pairwise(np.array([[1.0], [9.0]]), squared=True)
  np.testing.assert_array_equal(krum.krum(two, 0, rule="n-f-2"), [0.5, 0.5])
  np.testing.assert_array_equal(krum.krum(np.zeros((1, 1)), 0, rule="n-f-2"), [1.0])
  assert krum.krum(np.zeros((0, 0)), 0, rule="n-f-2").shape == (0,)


def test_multi_krum_in_one_step():
  assert krum.multi_krum_drop(SQUARES, 1, rule="n-f-2") == [1, 0, 2, 3]
  assert krum.multi_krum_drop(SQUARES, 1, rule="n-f") == [3, 2, 1, 0]
  # f = 3 leaves two neighbours, scores 5 2 5: the tie goes to the lower place.
  assert krum.multi_krum_drop(SQUARES, 3, rule="n-f") == [1, 0]


def test_iterative_multi_krum():
  # Scores 5 2 5 13: row 1. Then 0 2 4 100 with one neighbour: 4 4 4, the first. Then 2 4 100, still
  # one neighbour: 4 4, the first.
  assert krum.multi_krum_iterative(SQUARES, 1, rule="n-f-2") == [1, 0, 2]
  # All neighbours: 4 first (9245). Of 0 1 2 100: 10005 9803 9609, hence 2. Of 0 1 100: 1.
  assert krum.multi_krum_iterative(SQUARES, 1, rule="n-f") == [3, 2, 1]
  # Without distrust everything is selected.
  assert sorted(krum.multi_krum_iterative(SQUARES, 0, rule="n-f-2")) == [0, 1, 2, 3, 4]


def test_bulyan():
  # f = 1, four neighbours among 0 1 2 3 4 50 60: 30, 15, 10, 15, 30, far. Row 2 goes first. Of
  # 0 1 3 4 50 60 with three: 1+9+16, 1+4+9, 1+4+9, 26: row 1. Of 0 3 4 50 60 with two: 9+16, 1+9,
  # 1+16: row 3. Of 0 4 50 60 with one: 16, 16, 100, 100: row 0. Of 4 50 60: 2116, 100, 100: row 5.
  rows = np.array([[0.0], [1.0], [2.0], [3.0], [4.0], [50.0], [60.0]])
  picked = krum.multi_krum_iterative(krum.pairwise(rows, squared=True), 1, rule="n-f-2")
  assert picked == [2, 1, 3, 0, 5]
  # 0 1 2 3 50, median 2: the three nearest are 1 2 3.
  np.testing.assert_array_equal(krum.bulyan(rows, picked, 1), [2.0])


def test_near_ties_are_admitted_and_errors_are_not():
  # One neighbour, scores 4, 4, 4.0000004, 9996: row 0 in truth.
  rows = np.array([[0.0], [2.0], [4.0000001], [104.0]])
  distances = krum.pairwise(rows, squared=True)
  options = {"rule": "n-f-2", "tolerance": 1e-6}
  assert krum.could_drop_to(distances, {0, 1, 2}, 1, **options)
  assert not krum.could_drop_to(distances, {0, 1, 3}, 1, **options)
  assert not krum.could_drop_to(distances, {0, 1}, 1, **options)
  # Two picks: 0 and then 2 (of 2 4 104), or 2 and then 4; or 4 and then 0 (of 0 2 104).
  for right in ({0, 1}, {1, 2}, {0, 2}):
    assert krum.could_iterate_to(distances, right, 1, **options)
  assert not krum.could_iterate_to(distances, {0, 3}, 1, **options)
  assert not krum.could_iterate_to(distances, {0, 1, 2}, 1, **options)
  strict = {"rule": "n-f-2", "tolerance": 1e-9}
  assert krum.could_drop_to(distances, {0, 1, 2}, 1, **strict)
  # Row 2 scores more than the others by a part in ten million. It may not come first; after row 0
  # it is as good as row 1, and it is all that is left once row 1 is gone.
  assert krum.could_iterate_to(distances, {0, 2}, 1, **strict)
  assert krum.could_iterate_to(distances, {0, 1}, 1, **strict)
