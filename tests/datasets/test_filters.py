"""From ratings to interactions: what is left out, and that it is counted."""

import numpy as np
import pytest

from fedrecjax.datasets import DataError, Interactions, LeftOut, core, load, read

TABLE = "user,item,rating,behavior\n" + "".join(
  f"{user},{item},{rating},{behavior}\n"
  for user, item, rating, behavior in [
    (1, 10, 5, "play"), (1, 20, 2, "play"), (1, 30, 4, "purchase"), (2, 10, 4.5, "play"), (2, 20, 4, "play"),
    (3, 40, 1, "play"),
  ]
)


def test_nothing_is_left_out_unless_asked(write):
  dataset = load(write("a.csv", TABLE), too_few="train_only")
  assert dataset.reading.left_out == () and dataset.reading.rows == 6
  assert (dataset.num_users, dataset.num_items) == (3, 4)


def test_low_ratings_and_other_values(write):
  path = write("a.csv", TABLE)
  liked = read(path, min_rating=4)
  assert len(liked) == 4 and liked.user_names.tolist() == [1, 2] and liked.item_names.tolist() == [10, 20, 30]
  assert liked.reading.left_out == (LeftOut("min_rating", 2, 1),)
  played = read(path, keep_if="behavior=play", min_rating=4.0)
  assert len(played) == 3 and played.reading.left_out == (LeftOut("keep_if", 1, 0), LeftOut("min_rating", 2, 1))
  with pytest.raises(DataError, match=r"a\.csv: data.min_rating=6 leaves none of 6 rows"):
    read(path, min_rating=6)
  with pytest.raises(DataError, match=r"b\.csv:3: column stars \(rating\): expected a rating, found 'good'"):
    read(write("b.csv", "user,item,stars\n1,2,3\n1,3,good\n"), min_rating=3)


def _interactions(pairs):
  users, items = np.array(pairs).T
  return Interactions("toy", users, items, None, int(users.max()) + 1, int(items.max()) + 1, None)


def test_a_core_is_repeated_until_nothing_changes():
  # Without user 3 item 2 has one row, without which user 2 has one, without which item 1 has two.
  rows = _interactions([(0, 0), (0, 1), (1, 0), (1, 1), (2, 1), (2, 2), (3, 2)])
  left = core(rows, user_core=2, item_core=2)
  assert left.user_names is None and left.num_users == 2
  assert list(zip(left.users.tolist(), left.items.tolist(), strict=True)) == [(0, 0), (0, 1), (1, 0), (1, 1)]
  assert left.reading.left_out == (LeftOut("core", 3, 2),)
  assert core(rows, user_core=1, item_core=0) is rows
  for asked in ({"user_core": 3}, {"item_core": 4}):
    with pytest.raises(DataError, match="leave none of 7 rows"):
      core(rows, **asked)
  with pytest.raises(DataError, match="expected at least 0"):
    core(rows, user_core=-1)


def test_a_core_of_one_leaves_out_what_never_occurs():
  rows = Interactions("toy", np.array([0, 0]), np.array([1, 3]), None, 2, 5, None)
  left = core(rows, user_core=1, item_core=1)
  assert (left.num_users, left.num_items, left.item_names.tolist()) == (1, 2, [1, 3])
  assert left.reading.left_out == (LeftOut("core", 0, 1),)


def test_a_core_is_one():
  random = np.random.default_rng(0)
  rows = _interactions(np.c_[random.integers(0, 60, 500), random.zipf(1.6, 500) % 80])
  left = core(rows, user_core=5, item_core=4)
  assert 0 < len(left) < 500
  assert np.bincount(left.users).min() >= 5 and np.bincount(left.items).min() >= 4
  assert np.bincount(left.users).size == left.num_users and np.bincount(left.items).size == left.num_items
  assert len(left) + left.reading.left_out[0].rows == 500


def test_repeats_count_once_in_a_core_where_they_are_dropped():
  rows = _interactions([(0, 0), (0, 0), (1, 0), (1, 1), (0, 1)])
  assert len(core(rows, user_core=3)) == 3
  with pytest.raises(DataError, match="leave none of 5 rows"):
    core(rows, user_core=3, repeats="drop")
  assert core(rows, user_core=2, repeats="drop") is rows
