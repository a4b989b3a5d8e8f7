"""Tests of the data model."""

import numpy as np
import pytest

from fedrecjax.datasets import DataError, Dataset, Interactions, ItemLists


def _interactions(users, items, **options):
  given = {"name": "toy", "time": None, "num_users": 3, "num_items": 4, "test": None} | options
  return Interactions(users=np.array(users), items=np.array(items), **given)


def test_columns_get_their_types():
  rows = _interactions([0, 2], [3, 1], time=[5, 6], test=[0, 1])
  assert len(rows) == 2
  assert (rows.users.dtype, rows.items.dtype, rows.time.dtype, rows.test.dtype) == (
    np.int32,
    np.int32,
    np.int64,
    np.bool_,
  )


@pytest.mark.parametrize(
  ("users", "items", "options", "message"),
  [
    ([], [], {}, "toy: no interactions"),
    ([0, 1], [0], {}, r"toy: items has shape \(1,\), expected \(2,\)"),
    ([0, 1], [0, 0], {"time": [1]}, r"toy: time has shape \(1,\)"),
    ([0, 1], [0, 0], {"test": [True]}, r"toy: test has shape \(1,\)"),
    ([0, 3], [0, 0], {}, r"toy: user 3 of row 1 is outside \[0, 3\)"),
    ([0, 1], [0, -1], {}, r"toy: item -1 of row 1 is outside \[0, 4\)"),
    ([0, 1], [4, 0], {}, r"toy: item 4 of row 0 is outside \[0, 4\)"),
  ],
)
def test_bad_interactions_are_refused(users, items, options, message):
  with pytest.raises(DataError, match=message):
    _interactions(users, items, **options)


def test_lists_keep_the_order_of_pairs_within_a_user():
  lists = ItemLists.from_pairs([2, 0, 2, 0, 2], [9, 8, 7, 6, 7], num_users=4)
  assert [lists.of(user).tolist() for user in range(4)] == [[8, 6], [], [9, 7, 7], []]
  assert lists.lengths.tolist() == [2, 0, 3, 0]
  assert lists.users.tolist() == [0, 0, 2, 2, 2]
  assert len(lists) == lists.num_users == 4
  same = ItemLists.from_lists([[8, 6], [], [9, 7, 7], []])
  assert np.array_equal(same.indptr, lists.indptr)
  assert np.array_equal(same.items, lists.items)


def test_lists_of_nobody():
  assert len(ItemLists.from_lists([])) == 0


def test_bad_lists_are_refused():
  with pytest.raises(DataError, match="indptr must run from 0"):
    ItemLists(np.array([0, 3]), np.array([1]))
  with pytest.raises(DataError, match="indptr must not decrease"):
    ItemLists(np.array([0, 2, 1, 3]), np.array([1, 1, 1]))
  with pytest.raises(DataError, match=r"user 5 of row 0 is outside \[0, 2\)"):
    ItemLists.from_pairs([5], [1], num_users=2)
  with pytest.raises(DataError, match="users but"):
    ItemLists.from_pairs([0, 1], [1], num_users=2)
  with pytest.raises(DataError, match=r"user 2 is outside \[0, 1\)"):
    ItemLists.from_lists([[1]]).of(2)


def test_popularity_counts_training_rows_only():
  dataset = Dataset(
    name="toy",
    num_users=2,
    num_items=4,
    train=ItemLists.from_lists([[1, 1, 2], [2]]),
    test=ItemLists.from_lists([[3], []]),
  )
  assert dataset.popularity.tolist() == [0, 2, 2, 0]
  assert dataset.popularity is dataset.popularity


@pytest.mark.parametrize(
  ("train", "test", "message"),
  [
    ([[0], [1]], [[4], []], r"toy: held-out item 4 of user 0 is outside \[0, 4\)"),
    ([[0], [0, -1]], [[], []], r"toy: training item -1 of user 1 is outside \[0, 4\)"),
    ([[0]], [[], []], "toy: 1 train lists, expected one for each of 2 users"),
    ([[0], [1]], [[]], "toy: 1 test lists, expected one for each of 2 users"),
    ([[], []], [[1], []], "toy: no training items"),
  ],
)
def test_bad_datasets_are_refused(train, test, message):
  with pytest.raises(DataError, match=message):
    Dataset(
      name="toy",
      num_users=2,
      num_items=4,
      train=ItemLists.from_lists(train),
      test=ItemLists.from_lists(test),
    )
