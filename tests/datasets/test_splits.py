"""Tests of splits against results worked out by hand."""

import re

import numpy as np
import pytest

from fedrecjax.datasets import SPLIT_METHODS, DataError, Interactions, split

# user, item, time, test: rows of two users interleaved; user 0 has a tie at its latest time 9.
_ROWS = [
  (0, 5, 9, False),
  (1, 5, 4, True),
  (0, 6, 1, False),
  (1, 7, 2, False),
  (0, 7, 9, True),
  (1, 6, 3, False),
  (0, 8, 2, False),
]


def _rows(rows=_ROWS, *, time=True, test=False, num_users=2):
  users, items, times, marks = (np.array(column) for column in zip(*rows, strict=True))
  return Interactions(
    name="toy",
    users=users,
    items=items,
    time=times if time else None,
    num_users=num_users,
    num_items=10,
    test=marks if test else None,
  )


def _lists(dataset):
  return tuple(
    [lists.of(user).tolist() for user in range(dataset.num_users)]
    for lists in (dataset.train, dataset.test)
  )


@pytest.mark.parametrize(
  ("method", "known", "expected"),
  [
    ("last_by_time", {}, ([[6, 8, 5], [7, 6]], [[7], [5]])),
    ("last", {}, ([[6, 8, 5], [7, 6]], [[7], [5]])),
    ("default", {}, ([[6, 8, 5], [7, 6]], [[7], [5]])),
    ("last_by_order", {}, ([[5, 6, 7], [5, 7]], [[8], [6]])),
    ("last", {"time": False}, ([[5, 6, 7], [5, 7]], [[8], [6]])),
    ("default", {"time": False}, ([[5, 6, 7], [5, 7]], [[8], [6]])),
    ("given", {"test": True}, ([[6, 8, 5], [7, 6]], [[7], [5]])),
    ("given", {"test": True, "time": False}, ([[5, 6, 8], [7, 6]], [[7], [5]])),
    ("default", {"test": True, "time": False}, ([[5, 6, 8], [7, 6]], [[7], [5]])),
  ],
)
def test_splits_by_hand(method, known, expected):
  assert _lists(split(_rows(**known), method=method)) == expected


def test_of_tied_rows_the_later_in_the_file_is_held_out():
  swapped = [_ROWS[4], *_ROWS[1:4], _ROWS[0], *_ROWS[5:]]
  assert _lists(split(_rows(swapped)))[1] == [[5], [5]]


def test_ranks_serve_as_time():
  rows = [(0, 1, 2, False), (0, 2, 0, False), (0, 3, 1, False)]
  assert _lists(split(_rows(rows, num_users=1))) == ([[2, 3]], [[1]])


def _crowd(num_users=200, rows_each=10):
  users = np.repeat(np.arange(num_users), rows_each)
  items = np.tile(np.arange(rows_each), num_users)
  return Interactions("crowd", users, items, None, num_users, rows_each, None)


def test_random_holds_out_one_row_of_each_user_uniformly():
  crowd = _crowd(num_users=2000)
  dataset = split(crowd, method="random", seed=3)
  assert set(dataset.test.lengths) == {1}
  assert set(dataset.train.lengths) == {9}
  counts = np.bincount(dataset.test.items)
  # 200 expected per item with a standard deviation of 13.
  assert counts.min() > 140
  assert counts.max() < 260
  for user in range(5):
    together = [*dataset.train.of(user), *dataset.test.of(user)]
    assert sorted(together) == list(range(10))
    assert np.all(np.diff(dataset.train.of(user)) > 0)


@pytest.mark.parametrize("method", ["random", "ratio"])
def test_random_methods_follow_the_seed(method):
  first, again, other = (split(_crowd(), method=method, seed=seed) for seed in (1, 1, 2))
  assert np.array_equal(first.test.items, again.test.items)
  assert not np.array_equal(first.test.items, other.test.items)


@pytest.mark.parametrize(
  ("test_ratio", "rows_each", "held_out"),
  [(0.2, 10, 2), (0.25, 10, 3), (0.99, 10, 9), (0.2, 2, 0), (0.5, 1, 0), (0.01, 10, 0)],
)
def test_ratio_rounds_and_leaves_a_training_row(test_ratio, rows_each, held_out):
  dataset = split(_crowd(rows_each=rows_each), method="ratio", test_ratio=test_ratio)
  assert set(dataset.test.lengths) == {held_out}
  assert set(dataset.train.lengths) == {rows_each - held_out}


_REPEATED = [
  (0, 5, 1, False),
  (0, 6, 2, False),
  (0, 5, 3, False),
  (0, 7, 4, True),
  (0, 6, 5, True),
  (0, 7, 6, True),
]


def test_repeats_are_kept_or_dropped():
  rows = _rows(_REPEATED, test=True, num_users=1)
  assert _lists(split(rows, method="last")) == ([[5, 6, 5, 7, 6]], [[7]])
  assert _lists(split(rows, method="last", repeats="drop")) == ([[5, 6]], [[7]])
  assert _lists(split(rows)) == ([[5, 6, 5]], [[7, 6]])
  assert _lists(split(rows, repeats="drop")) == ([[5, 6]], [[7]])


def test_a_held_out_pair_that_is_trained_on_is_dropped_wherever_it_stands():
  rows = _rows([(0, 5, 1, True), (0, 6, 2, False), (0, 5, 3, False)], test=True, num_users=1)
  assert _lists(split(rows, repeats="drop")) == ([[6, 5]], [[]])


def test_users_with_too_few_rows():
  lonely = _rows([(0, 1, 0, False), (2, 2, 0, False), (2, 3, 1, False)], num_users=4)
  message = (
    "toy: 3 of 4 users have too few rows for split 'last_by_time', first user 0 with 1; "
    "expected at least 2 rows (too_few=train_only or drop lets them pass)"
  )
  with pytest.raises(DataError, match=re.escape(message)):
    split(lonely)
  kept = split(lonely, too_few="train_only")
  assert _lists(kept) == ([[1], [], [2], []], [[], [], [3], []])
  for method in ("last_by_order", "random"):
    dropped = split(lonely, method=method, too_few="drop")
    assert (dropped.num_users, dropped.num_items) == (1, 10)
    assert sorted(dropped.train.of(0).tolist() + dropped.test.of(0).tolist()) == [2, 3]
    assert _lists(split(lonely, method=method, too_few="train_only"))[1][0] == []


def test_dropped_repeats_count_for_too_few():
  rows = _rows([(0, 1, 0, False), (0, 1, 1, False)], num_users=1)
  assert _lists(split(rows)) == ([[1]], [[1]])
  with pytest.raises(DataError, match="first user 0 with 1"):
    split(rows, repeats="drop")
  with pytest.raises(DataError, match="all 1 users have too few rows"):
    split(rows, repeats="drop", too_few="drop")


def test_too_few_under_given_and_ratio():
  rows = _rows([(0, 1, 0, True), (1, 2, 0, False)], test=True)
  with pytest.raises(DataError, match="first user 0 with 1; expected a training row"):
    split(rows)
  assert _lists(split(rows, too_few="train_only")) == ([[], [2]], [[1], []])
  assert _lists(split(rows, too_few="drop")) == ([[2]], [[]])
  assert _lists(split(rows, method="ratio")) == ([[1], [2]], [[], []])
  empty = _rows([(1, 2, 0, False)])
  with pytest.raises(DataError, match="first user 0 with 0; expected at least 1 row"):
    split(empty, method="ratio")


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({"method": "newest"}, "split 'newest' is unknown, expected one of default given last"),
    ({"repeats": "merge"}, "repeats 'merge' is unknown, expected one of keep drop"),
    ({"too_few": "skip"}, "too_few 'skip' is unknown, expected one of error train_only drop"),
    ({"method": "ratio", "test_ratio": 1.0}, "test_ratio is 1.0, expected a number between 0"),
    ({"method": "last_by_time"}, "toy: split 'last_by_time' needs a time on every row"),
    ({"method": "given"}, "toy: split 'given' needs rows marked as test by the source"),
  ],
)
def test_bad_options_are_refused(options, message):
  with pytest.raises(DataError, match=message):
    split(_rows(time=False), **options)


@pytest.mark.parametrize("repeats", ["keep", "drop"])
@pytest.mark.parametrize("method", SPLIT_METHODS)
def test_every_row_goes_to_one_side(method, repeats):
  random = np.random.default_rng(0)
  users = random.integers(0, 30, 600)
  rows = Interactions(
    "many", users, random.integers(0, 40, 600), random.integers(0, 9, 600), 30, 40, users % 7 == 0
  )
  dataset = split(rows, method=method, repeats=repeats, too_few="train_only")
  pairs = [
    (int(user), int(item))
    for lists in (dataset.train, dataset.test, dataset.validation)
    if lists is not None
    for user, item in zip(lists.users, lists.items, strict=True)
  ]
  # A user's held-out items are a set.
  held_out = list(zip(dataset.test.users.tolist(), dataset.test.items.tolist(), strict=True))
  assert len(set(held_out)) == len(held_out)
  expected = list(zip(rows.users.tolist(), rows.items.tolist(), strict=True))
  if repeats == "keep":
    assert set(pairs) == set(expected)
    assert len(pairs) + dataset.reading.held_out_repeats == len(expected)
  else:
    assert sorted(pairs) == sorted(set(expected))
