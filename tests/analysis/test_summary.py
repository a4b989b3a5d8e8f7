"""What a data set holds, against counts by hand."""

import dataclasses
import json

import numpy as np
import pytest

from fedrecjax.analysis import summarize, top_share
from fedrecjax.datasets import Dataset, Interactions, ItemLists, LeftOut, split

# User 0 has item 1 twice and holds it out; user 1 has one row; nobody has item 4, user 2 nothing.
ROWS = [(0, 1, 30), (0, 2, 10), (0, 3, 20), (0, 1, 5), (1, 5, 40), (3, 0, 2), (3, 5, 7)]
SOURCE = Interactions("toy", *(np.array(column) for column in zip(*ROWS, strict=True)), 4, 6, None)


def test_counts_by_hand():
  dataset = split(SOURCE, too_few="train_only")
  found = summarize(dataset)
  assert found._asdict() == {
    "name": "toy", "users": 4, "items": 6, "items_without": 1, "interactions": 7,
    "density": pytest.approx(7 / 24), "least": 0, "median": 1.5, "mean": 1.75, "most": 4, "training": 5, "held_out": 2,
    "validation": 0, "unrankable": 1, "not_evaluated": 2, "public": None, "top_share": pytest.approx(1 / 5),
  }
  assert json.loads(json.dumps(found._asdict()))["median"] == 1.5
  assert (found.held_out, found.unrankable) == (dataset.reading.held_out, dataset.reading.unrankable)


def test_what_is_left_out_is_not_in_it():
  dataset = split(SOURCE, too_few="drop", repeats="drop")
  found = summarize(dataset)
  assert (found.users, found.interactions, found.items_without, found.unrankable) == (2, 5, 1, 0)
  assert dataset.reading.left_out == (LeftOut("repeats", 1, 0), LeftOut("too_few", 1, 2))


def test_held_out_repeats_are_interactions():
  rows = dataclasses.replace(SOURCE, test=np.array([True, False, False, True, False, False, True]))
  dataset = split(rows, too_few="train_only")
  assert summarize(dataset).interactions == 7 and dataset.reading.held_out_repeats == 1


def test_parts_made_by_hand_are_counted():
  lists = [ItemLists.from_lists(one) for one in ([[0, 0], [1]], [[0, 2, 2], []], [[3], [3]])]
  found = summarize(Dataset("parts", 2, 5, *lists, public=lists[1]))
  assert (found.interactions, found.items_without) == (8, 1)
  assert (found.training, found.held_out, found.validation, found.public) == (3, 2, 2, 3)
  assert (found.unrankable, found.not_evaluated) == (1, 1)
  assert (found.least, found.most) == (2, 6)


def test_what_is_set_aside_cannot_be_ranked_either():
  lists = [ItemLists.from_lists(one) for one in ([[0]], [[1, 2]], [[2]])]
  assert summarize(Dataset("aside", 1, 3, *lists)).unrankable == 1
  rows = Interactions("aside", np.zeros(4), np.array([0, 1, 2, 2]), None, 1, 3, None)
  reading = split(rows, method="last_two").reading
  assert reading.unrankable == 1 and "same user too, or set aside for validation, which rankings" in reading.warnings[0]


def test_the_share_of_popular_items():
  assert top_share(np.arange(21)) == pytest.approx((20 + 19 + 18) / 210)
  assert top_share(np.array([2, 5, 1])) == pytest.approx(5 / 8)
