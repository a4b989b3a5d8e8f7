"""Sizes beside the printed ones, and how unevenly items are chosen."""

import pytest

from experiments.data.tables import popularity_table, size_verdict, statistics_table
from experiments.recipes.printed_statistics import Printed
from fedrecjax.analysis import summarize
from fedrecjax.datasets import Dataset, ItemLists


def made(lists, num_items, held_out=()):
  empty = ItemLists.from_lists([list(held_out)] + [[]] * (len(lists) - 1))
  return Dataset("made", len(lists), num_items, ItemLists.from_lists(lists), empty)


def test_popularity_in_numbers():
  """Item 0 has three of six training interactions, which is half; the held-out one does not count."""
  (row,) = popularity_table([made([[0, 1], [0, 2], [0, 3]], 4, held_out=(1,))]).rows
  assert row == ("made", "0.500", "1", "0.250", "3", "1")
  (row,) = popularity_table([made([[0, 1], [0, 2], [3, 4]], 5)]).rows
  assert row[2:4] == ("2", "0.400")


@pytest.mark.parametrize(("printed", "said"), [
  ((3, 4, 6, "2", "50.00"), "agrees: all three as printed"),
  ((3, 5, 6, "2", "50.00"), "differs: here -1 items"),
  ((1, 4, 1000, "", "50.00"), "differs: here +2 users, -994 interactions"),
  ((3, 4, 6, "2", "50.00", "a subset"), "not comparable: a subset"),
])  # fmt: skip
def test_a_printed_size_agrees_or_says_by_how_much_it_differs(printed, said):
  summary = summarize(made([[0, 1], [0, 2], [0, 3]], 4))
  assert str(size_verdict(summary, Printed("made", "Nobody, Table 1", *printed))) == said


def test_sets_that_no_paper_prints_have_no_table():
  assert statistics_table([summarize(made([[0], [1]], 2))]) is None
