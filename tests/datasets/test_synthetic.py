"""Tests of the embedded set: its statistics against those of MovieLens-100K."""

import numpy as np
import pytest

from fedrecjax.datasets import DataError, load, read_named, split, synthetic


def test_statistics_resemble_movielens_100k():
  rows = synthetic()
  activity, popularity = np.bincount(rows.users), np.bincount(rows.items)
  assert (rows.num_users, rows.num_items, len(rows)) == (943, 1682, 100_000)
  assert len(set(zip(rows.users.tolist(), rows.items.tolist(), strict=True))) == 100_000
  # MovieLens-100K: 20, 65, 737 rows per user; 1, 27, 583 rows per item, 141 items with one row.
  assert activity.min() == 20
  assert 58 <= np.median(activity) <= 72
  assert 600 <= activity.max() <= 760
  assert popularity.min() == 1
  assert 23 <= np.median(popularity) <= 31
  assert 500 <= popularity.max() <= 620
  assert 110 <= np.sum(popularity == 1) <= 170
  assert 0.52 <= np.sort(popularity)[-252:].sum() / 100_000 <= 0.58


def test_rows_tie_in_time_and_are_not_sorted():
  rows = synthetic()
  assert np.any(np.diff(rows.users) < 0)
  order = np.lexsort((rows.time, rows.users))
  same_user = np.diff(rows.users[order]) == 0
  ties = np.mean(np.diff(rows.time[order])[same_user] == 0)
  assert 0.2 < ties < 0.6
  assert rows.time.min() > 0


def test_popularity_predicts_the_last_item_as_on_movielens_100k():
  dataset = split(synthetic())
  random = np.random.default_rng(0)
  hits = []
  for user in range(dataset.num_users):
    unseen = np.setdiff1d(np.arange(1682), dataset.train.of(user))
    negatives = random.choice(np.setdiff1d(unseen, dataset.test.of(user)), 99, replace=False)
    hits.append(
      np.sum(dataset.popularity[negatives] >= dataset.popularity[dataset.test.of(user)]) < 10
    )
  # 0.41 on MovieLens-100K, leave-last-out by time.
  assert 0.35 <= np.mean(hits) <= 0.47


def test_tastes_go_beyond_popularity():
  def explained(strength):
    matrix = np.zeros((943, 1682))
    rows = synthetic(taste_strength=strength)
    matrix[rows.users, rows.items] = 1
    expected = matrix.mean(1, keepdims=True) * matrix.mean(0) / matrix.mean()
    values = np.linalg.svd((matrix - expected) @ (matrix - expected).T, compute_uv=False)
    return values[:8].sum() / values.sum()

  assert explained(1.9) > explained(0.0) + 0.1


def test_the_seed_decides():
  first, again, other = synthetic(seed=5), synthetic(seed=5), synthetic(seed=6)
  for column in ("users", "items", "time"):
    assert np.array_equal(getattr(first, column), getattr(again, column))
  assert not np.array_equal(first.items, other.items)


def test_the_named_set_is_one_set_for_all_seeds():
  assert np.array_equal(read_named("synthetic").items, synthetic().items)
  assert np.array_equal(load("synthetic", seed=4).train.items, load("synthetic").train.items)


@pytest.mark.parametrize(
  ("num_users", "num_items", "num_interactions", "min_per_user"),
  [(20, 60, 600, 20), (5, 4, 20, 1), (1, 30, 20, 20), (300, 40, 7000, 20), (50, 3000, 1100, 20)],
)
def test_other_sizes(num_users, num_items, num_interactions, min_per_user):
  rows = synthetic(
    num_users=num_users,
    num_items=num_items,
    num_interactions=num_interactions,
    min_per_user=min_per_user,
  )
  assert (rows.num_users, rows.num_items, len(rows)) == (num_users, num_items, num_interactions)
  assert np.bincount(rows.users, minlength=num_users).min() >= min_per_user
  assert len(np.unique(rows.users.astype(np.int64) * num_items + rows.items)) == num_interactions


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({"num_users": 0}, "num_users is 0, expected at least 1"),
    ({"taste_strength": -1.0}, "taste_strength is -1.0, expected at least 0"),
    ({"num_interactions": 100}, "num_interactions is 100, expected 18860 to 1586126"),
    ({"num_items": 10}, "num_interactions is 100000, expected 18860 to 9430"),
  ],
)
def test_impossible_sizes_are_refused(options, message):
  with pytest.raises(DataError, match=message):
    synthetic(**options)
