"""Mapping a rule over items with groups of any size, and the sorting network."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedrecjax.defenses import item_groups
from fedrecjax.defenses.item_groups import map_items, sort_rows
from fedrecjax.types import ClientUpdates


@pytest.mark.parametrize("size", [1, 2, 4, 8, 16, 32, 64, 128, 256])
def test_sort_rows(size):
  random = np.random.default_rng(size)
  values = random.integers(-5, 6, (size, 7, 3)).astype(np.float32)
  values[random.random(values.shape) < 0.2] = np.inf
  values[:, 0] = np.inf
  values[:, 1] = np.arange(size)[::-1, None]
  values[0, 2] = -np.inf
  np.testing.assert_array_equal(sort_rows(jnp.asarray(values)), np.sort(values, axis=0))


def check_rule(values, count):
  """Sum of the rows, and in the last coordinate the product of what the mapping promises of a
  group.
  """
  member = jnp.arange(values.shape[0])[:, None] < count
  rest_is_infinite = jnp.all(jnp.where(member[..., None], True, jnp.isinf(values)), axis=(0, 2))
  total = jnp.sum(jnp.where(member[..., None], values, 0.0), axis=0)
  return total.at[:, -1].set(count * (rest_is_infinite & (count <= values.shape[0])))


CASES = {
  "all of one size": [3] * 40,
  "all of size four": [4] * 40,
  "nobody": [0] * 9,
  "one row": [0, 0, 1, 0],
  "one item": [17],
  "every class": [0, 1, 2, 4, 5, 8, 9, 16, 17, 31, 32, 33, 64, 65],
  "one huge": [1] * 20 + [300] + [0] * 5,
  "more rows than a tile": [40] * 60,
  "random": np.random.default_rng(0).integers(0, 70, 60).tolist(),
}


@pytest.mark.parametrize("tile_rows", [8, 2048])
@pytest.mark.parametrize("case", CASES)
def test_map_items_gives_each_item_its_rows(monkeypatch, case, tile_rows):
  # Small tiles: many of them in a class, and a last one that runs past the class.
  monkeypatch.setattr(item_groups, "TILE_ROWS", tile_rows)
  counts = np.array(CASES[case])
  random = np.random.default_rng(1)
  used, spare = int(counts.sum()), 5
  item = np.append(np.repeat(np.arange(len(counts)), counts), [len(counts)] * spare).astype(
    np.int32
  )
  row = random.integers(-9, 10, (used + spare, 3)).astype(np.float32)
  uploads = ClientUpdates(jnp.zeros(used + spare, jnp.int32), jnp.asarray(item), jnp.asarray(row))
  # The promised bound is met exactly, and is no power of two in most cases.
  rows = map_items(check_rule, uploads, num_items=len(counts), max_count=max(int(counts.max()), 1))
  found = np.zeros((len(counts), 3))
  for one, two in zip(np.asarray(rows.item), np.asarray(rows.row), strict=True):
    if one < len(counts):
      found[one] += two
  expected = np.zeros((len(counts), 3))
  np.add.at(expected, item[:used], row[:used])
  expected[:, -1] = counts
  np.testing.assert_array_equal(found, expected)


def test_map_items_does_not_pay_for_a_bound_beyond_the_capacity():
  item = jnp.array([0, 0, 1, 3], jnp.int32)
  uploads = ClientUpdates(jnp.zeros(4, jnp.int32), item, jnp.ones((4, 1)))
  sizes = []

  def rule(values, count):
    sizes.append(values.shape[0])
    return values[0]

  jax.eval_shape(lambda uploads: map_items(rule, uploads, num_items=3, max_count=100_000), uploads)
  assert set(sizes) == {4}
