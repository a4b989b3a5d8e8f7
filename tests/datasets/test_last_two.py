"""The split that sets a validation item aside, by hand."""

import re

import numpy as np
import pytest

from fedrecjax.datasets import DataError, Dataset, Interactions, ItemLists, split


def rows_of(lists, *, time=None, num_users=None):
  """Interactions by user, in file order; `time` likewise."""
  users = np.repeat(np.arange(len(lists)), [len(one) for one in lists])
  flat = None if time is None else np.concatenate([np.array(one, int) for one in time])
  items = np.concatenate([np.array(one, int) for one in lists])
  return Interactions("toy", users, items, flat, num_users or len(lists), 10, None)


def parts(dataset):
  return tuple(
    [lists.of(user).tolist() for user in range(dataset.num_users)]
    for lists in (dataset.train, dataset.validation, dataset.test)
  )


def test_time_decides_and_the_file_breaks_ties():
  rows = rows_of([[5, 6, 7, 8], [3, 2, 1]], time=[[9, 1, 9, 2], [4, 4, 4]])
  # User 0 by time: 6, 8, then 5 and 7 tied at 9.
  assert parts(split(rows, method="last_two")) == ([[6, 8], [3]], [[5], [2]], [[7], [1]])


def test_the_file_decides_where_no_time_is_known():
  rows = rows_of([[5, 6, 7, 8], [3, 2, 1]])
  assert parts(split(rows, method="last_two")) == ([[5, 6], [3]], [[7], [2]], [[8], [1]])


def test_users_need_not_stand_together_in_the_file():
  rows = Interactions(
    "toy", np.array([1, 0, 1, 0, 0, 1]), np.arange(6), np.array([5, 1, 6, 2, 3, 4]), 2, 10, None
  )
  assert parts(split(rows, method="last_two")) == ([[1], [5]], [[3], [0]], [[4], [2]])


SHORT = [[1, 2, 3, 4], [5, 6], [7], [], [8, 9, 0]]


def test_users_with_fewer_than_three_rows_are_refused():
  message = (
    "toy: 3 of 5 users have too few rows for split 'last_by_order', first user 1 with 2; expected"
    " at least 3 rows (too_few=train_only or drop lets them pass)"
  )
  with pytest.raises(DataError, match=re.escape(message)):
    split(rows_of(SHORT), method="last_two")


def test_users_with_fewer_than_three_rows_can_train_alone():
  found = split(rows_of(SHORT), method="last_two", too_few="train_only")
  assert parts(found) == (
    [[1, 2], [5, 6], [7], [], [8]], [[3], [], [], [], [9]], [[4], [], [], [], [0]]
  )


def test_users_with_fewer_than_three_rows_can_be_dropped():
  found = split(rows_of(SHORT), method="last_two", too_few="drop")
  assert parts(found) == ([[1, 2], [8]], [[3], [9]], [[4], [0]])
  assert (found.num_users, found.num_items) == (2, 10)
  with pytest.raises(DataError, match="all 1 users have too few rows"):
    split(rows_of([[1, 2]]), method="last_two", too_few="drop")


def test_dropped_repeats_count_for_too_few():
  rows = rows_of([[1, 1, 2, 3], [4, 4, 5]])
  assert parts(split(rows, method="last_two")) == ([[1, 1], [4]], [[2], [4]], [[3], [5]])
  with pytest.raises(DataError, match="first user 1 with 2"):
    split(rows, method="last_two", repeats="drop")


@pytest.mark.parametrize("method", ["last", "last_by_order", "random", "ratio"])
def test_other_splits_set_nothing_aside(method):
  assert split(rows_of([[5, 6, 7, 8], [3, 2, 1]]), method=method).validation is None


def test_it_holds_out_what_last_does():
  random = np.random.default_rng(0)
  users = random.integers(0, 30, 600)
  rows = Interactions("many", users, random.integers(0, 40, 600), random.integers(0, 9, 600), 30, 40, None)
  one, two = split(rows, method="last"), split(rows, method="last_two")
  np.testing.assert_array_equal(one.test.items, two.test.items)
  for user in range(30):
    assert one.train.of(user).tolist() == [*two.train.of(user), *two.validation.of(user)]


@pytest.mark.parametrize(
  ("validation", "message"),
  [([[1]], "1 validation lists, expected one for each of 2"), ([[1], [9]], "validation item 9 of user 1 is outside")],
)
def test_validation_items_are_checked(validation, message):
  lists = ItemLists.from_lists([[0], [1]])
  with pytest.raises(DataError, match=message):
    Dataset("bad", 2, 5, lists, lists, ItemLists.from_lists(validation))
