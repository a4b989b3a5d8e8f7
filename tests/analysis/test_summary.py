"""What a data set holds, against counts by hand."""

import json

import numpy as np
import pytest

from fedrecjax.analysis import summarize, top_share
from fedrecjax.datasets import Dataset, Interactions, ItemLists, split

# User 0 has item 1 twice and holds it out; user 1 has one row; nobody has item 4, user 2 nothing.
ROWS = [(0, 1, 30), (0, 2, 10), (0, 3, 20), (0, 1, 5), (1, 5, 40), (3, 0, 2), (3, 5, 7)]
SOURCE = Interactions("toy", *(np.array(column) for column in zip(*ROWS, strict=True)), 4, 6, None)


def test_counts_by_hand():
  found = summarize(split(SOURCE, too_few="train_only"), SOURCE)
  assert found._asdict() == {
    "name": "toy", "users": 4, "items": 6, "items_without": 1, "interactions": 7, "repeats": 1,
    "density": pytest.approx(7 / 24), "least": 0, "median": 1.5, "mean": 1.75, "most": 4, "training": 5, "held_out": 2,
    "validation": 0, "unrankable": 1, "not_evaluated": 2, "dropped": 0, "public": None,
    "top_share": pytest.approx(1 / 5), "first_time": 2, "last_time": 40, "first_users": (0, 1, 3),
    "first_items": (1, 2, 3),
  }
  assert json.loads(json.dumps(found._asdict()))["first_users"] == [0, 1, 3]


def test_what_the_division_leaves_out_is_counted():
  found = summarize(split(SOURCE, too_few="drop", repeats="drop"), SOURCE)
  assert (found.users, found.dropped, found.interactions, found.repeats, found.unrankable) == (2, 2, 7, 1, 0)


def test_without_the_source_the_parts_are_counted():
  lists = [ItemLists.from_lists(one) for one in ([[0, 0], [1]], [[0, 2, 2], []], [[3], [3]])]
  found = summarize(Dataset("parts", 2, 5, *lists, public=lists[1]))
  assert (found.interactions, found.repeats, found.items_without, found.dropped) == (8, 3, 1, None)
  assert (found.training, found.held_out, found.validation, found.public) == (3, 2, 2, 3)
  assert (found.unrankable, found.not_evaluated, found.first_time) == (1, 1, None)
  assert (found.least, found.most) == (2, 6)


def test_what_is_set_aside_cannot_be_ranked_either():
  lists = [ItemLists.from_lists(one) for one in ([[0]], [[1, 2]], [[2]])]
  assert summarize(Dataset("aside", 1, 3, *lists)).unrankable == 1


def test_the_share_of_popular_items():
  assert top_share(np.arange(21)) == pytest.approx((20 + 19 + 18) / 210)
  assert top_share(np.array([2, 5, 1])) == pytest.approx(5 / 8)
