"""Neighbours for FedGNN's graph expansion."""

import numpy as np
import pytest

from fedrecjax.datasets import ItemLists
from fedrecjax.federation.neighbors import draw_neighbors

LISTS = [[], [0], [1, 2, 2], [2, 3], [7], [3, 3, 3, 9], [], [2]]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("count", [1, 3, 20])
def test_neighbors_are_different_others_that_share_an_item(seed, count):
  random = np.random.default_rng(seed)
  lists = [random.choice(30, random.integers(0, 6)).tolist() for _ in range(25)] + [[5, 5]]
  found = draw_neighbors(ItemLists.from_lists(lists), count, 31, seed)
  assert found.shape == (26, count) and found.dtype == np.int32
  drawn = 0
  for client, row in enumerate(found):
    others = row[row < 26]
    drawn += len(others)
    assert client not in others and len(set(others.tolist())) == len(others)
    assert (row >= 0).all() and (row <= 26).all()
    assert all(set(lists[client]) & set(lists[other]) for other in others)
    if not lists[client]:
      assert len(others) == 0
  assert drawn > 0


def test_with_many_draws_all_that_share_an_item_are_found_and_nobody_else():
  found = draw_neighbors(ItemLists.from_lists(LISTS), 300, 12, 0)
  for client, own in enumerate(LISTS):
    sharing = {
      other for other, theirs in enumerate(LISTS) if other != client and set(own) & set(theirs)
    }
    assert {int(other) for other in found[client] if other < len(LISTS)} == sharing
  assert (found[[0, 1, 4, 6]] == len(LISTS)).all()


def test_draws_are_uniform_over_items_and_then_over_their_holders():
  # Client 0 has items 0 and 1. One draw: with 1/2 item 0, held by 0 and 1; with 1/2 item 1, held by
  # 0, 2 and 3. It meets itself with 1/4 + 1/6, client 1 with 1/4, 2 and 3 with 1/6 each.
  lists = ItemLists.from_lists([[0, 1], [0], [1], [1]])
  draws = np.array([draw_neighbors(lists, 1, 2, seed)[0, 0] for seed in range(2000)])
  for other, share in ((1, 1 / 4), (2, 1 / 6), (3, 1 / 6), (4, 5 / 12)):
    deviation = np.sqrt(share * (1 - share) / len(draws))
    assert abs(np.mean(draws == other) - share) < 5 * deviation


def test_draws_repeat_with_the_seed_alone():
  lists = ItemLists.from_lists([list(range(10))] * 40)
  first, again, other = (draw_neighbors(lists, 4, 10, seed) for seed in (1, 1, 2))
  assert (first == again).all() and (first != other).any()
