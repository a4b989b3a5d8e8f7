"""Draws of items outside a user's list: exactness for every rank, uniformity by chi-square."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from fedrecjax.clients.sampling import (
  complement_of,
  distinct_ranks,
  draw_negatives,
  item_of_rank,
  uniform_below,
)
from fedrecjax.datasets import ItemLists

M = 23
# Empty, first items, last items, all but one, repeats, every second.
LISTS = [[], [0, 1, 2], [22, 21], list(range(1, M)), [5, 5, 9, 5], list(range(0, M, 2))]
draw = jax.jit(draw_negatives, static_argnames=("count", "num_items"))


def outside(items):
  return np.setdiff1d(np.arange(M), items)


@pytest.mark.parametrize("user", range(len(LISTS)))
def test_every_rank_names_one_item_outside_the_list(user):
  complement = complement_of(ItemLists.from_lists(LISTS))
  expected = outside(LISTS[user])
  assert M - int(complement.length[user]) == len(expected)
  ranks = jnp.arange(len(expected))
  found = item_of_rank(complement, jnp.full_like(ranks, user), ranks, M)
  assert found.tolist() == expected.tolist()


def test_every_rank_in_large_random_lists():
  random = np.random.default_rng(0)
  lists = [random.choice(1000, size, replace=False) for size in (0, 1, 500, 999, 3, 64)]
  complement = complement_of(ItemLists.from_lists(lists))
  for user, items in enumerate(lists):
    expected = np.setdiff1d(np.arange(1000), items)
    ranks = jnp.arange(len(expected))
    np.testing.assert_array_equal(
      item_of_rank(complement, jnp.full_like(ranks, user), ranks, 1000), expected
    )


def test_lists_without_any_item():
  complement = complement_of(ItemLists.from_lists([[], []]))
  assert item_of_rank(complement, jnp.array([0, 1]), jnp.array([3, 7]), 10).tolist() == [3, 7]


def test_negatives_are_uniform_over_the_items_outside_the_list():
  complement = complement_of(ItemLists.from_lists(LISTS))
  draws = 4000
  users = jnp.repeat(jnp.arange(len(LISTS)), draws)
  number = jnp.tile(jnp.arange(draws), len(LISTS))
  items = np.asarray(draw(jax.random.key(1), complement, users, number, count=2, num_items=M))
  for user, listed in enumerate(LISTS):
    counts = np.bincount(items[user * draws : (user + 1) * draws].reshape(-1), minlength=M)
    allowed = outside(listed)
    assert counts[allowed].sum() == counts.sum()  # never an item of the list
    assert len(allowed) == 1 or stats.chisquare(counts[allowed]).pvalue > 1e-4
  # The two draws of one sample are independent of each other: the table of pairs is uniform too.
  pairs = items[:draws, 0] * M + items[:draws, 1]
  assert stats.chisquare(np.bincount(pairs, minlength=M * M)).pvalue > 1e-4


def test_draws_do_not_depend_on_their_batch():
  complement = complement_of(ItemLists.from_lists(LISTS))
  users, number = jnp.array([4, 0, 2, 4, 1]), jnp.array([0, 3, 1, 2, 0])
  key = jax.random.key(5)
  together = draw(key, complement, users, number, count=3, num_items=M)
  for order in ([3, 1, 0, 2, 4], [4], [0, 0]):
    part = draw(
      key, complement, users[jnp.array(order)], number[jnp.array(order)], count=3, num_items=M
    )
    np.testing.assert_array_equal(part, together[jnp.array(order)])
  assert (np.asarray(together[0]) != np.asarray(together[3])).any()


@pytest.mark.parametrize("bound", [1, 2, 3, 1682, 65535, 65536, 65537, 10**6, 2**30 + 7, 2**31 - 1])
def test_uniform_below_is_the_upper_word_of_the_product(bound):
  random = np.random.default_rng(bound)
  bits = np.concatenate(
    [random.integers(0, 2**32, 500), [0, 1, 65535, 65536, 2**31, 2**32 - 1]]
  ).astype(np.uint32)
  found = uniform_below(jnp.asarray(bits), jnp.int32(bound))
  assert found.tolist() == [int(one) * bound >> 32 for one in bits]


@pytest.mark.parametrize(("bound", "count"), [(6, 3), (5, 5), (7, 1)])
def test_distinct_ranks_are_every_set_equally_often(bound, count):
  keys = jax.random.split(jax.random.key(2), 6000)
  drawn = np.sort(
    np.asarray(jax.vmap(lambda key: distinct_ranks(key, jnp.int32(bound), count))(keys)), axis=1
  )
  assert drawn.min() >= 0 and drawn.max() < bound
  assert (np.diff(drawn, axis=1) > 0).all()
  sets, counts = np.unique(drawn, axis=0, return_counts=True)
  assert len(sets) == math.comb(bound, count)
  assert len(sets) == 1 or stats.chisquare(counts).pvalue > 1e-4
