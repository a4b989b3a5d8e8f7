"""Mapping a rule over items with groups of any size, and the sorting network."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedrecjax.types import ClientUpdates
from fedrecjax.uploads import item_groups
from fedrecjax.uploads.item_groups import ItemResult, map_items, sort_rows


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 8, 16, 17, 32, 64, 96, 128, 150, 256])
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
  group; keeps the rows that begin with a positive number.
  """
  member = jnp.arange(values.shape[0])[:, None] < count
  rest_is_infinite = jnp.all(jnp.where(member[..., None], True, jnp.isinf(values)), axis=(0, 2))
  total = jnp.sum(jnp.where(member[..., None], values, 0.0), axis=0)
  promises = count * (rest_is_infinite & (count <= values.shape[0]))
  return ItemResult(total.at[:, -1].set(promises), values[..., 0] > 0)


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


def uploads_of(counts, spare=5, clients=None):
  """Rows of small integers, as many for each item as are told, and unused places at the end."""
  random = np.random.default_rng(1)
  used = int(np.sum(counts))
  item = np.append(np.repeat(np.arange(len(counts)), counts), [len(counts)] * spare)
  row = random.integers(-9, 10, (used + spare, 3)).astype(np.float32)
  client = np.zeros(used + spare, np.int32)
  if clients is not None:
    client[:used] = np.concatenate([random.choice(clients, one, replace=False) for one in counts])
  return ClientUpdates(jnp.asarray(client), jnp.asarray(item.astype(np.int32)), jnp.asarray(row))


def dense(rows, num_items):
  """Item rows added up into a table."""
  table = np.zeros((num_items, rows.row.shape[1]))
  for item, row in zip(np.asarray(rows.item), np.asarray(rows.row), strict=True):
    if item < num_items:
      table[item] += row
  return table


@pytest.mark.parametrize(("work", "tile"), [("rows", 8), ("rows", 2048), ("pairs", 8)])
@pytest.mark.parametrize("case", CASES)
def test_map_items_gives_each_item_its_rows(monkeypatch, case, work, tile):
  # Small tiles: many of them in a class, and a last one that runs past the class.
  monkeypatch.setattr(item_groups, "TILE_ROWS", tile)
  monkeypatch.setattr(item_groups, "TILE_PAIRS", 64 * tile)
  counts = np.array(CASES[case])
  uploads = uploads_of(counts)
  used, item, row = int(counts.sum()), np.asarray(uploads.item), np.asarray(uploads.row)
  # The promised bound is met exactly, and is no power of two in most cases.
  bound = max(int(counts.max()), 1)
  rows, kept = map_items(check_rule, uploads, num_items=len(counts), max_count=bound, work=work)
  expected = np.zeros((len(counts), 3))
  np.add.at(expected, item[:used], row[:used])
  expected[:, -1] = counts
  np.testing.assert_array_equal(dense(rows, len(counts)), expected)
  np.testing.assert_array_equal(kept[:used], row[:used, 0] > 0)
  assert not kept[used:].any()


def test_a_rule_need_not_tell_what_it_keeps():
  _, kept = map_items(
    lambda values, count: ItemResult(values[0]), uploads_of([2, 5]), num_items=2, max_count=9
  )
  assert kept is None


def place_rule(values, count):
  """Sum of the rows times their places from 1, in the last coordinate the count; keeps even places,
  and says so of absent ones too.
  """
  place = jnp.arange(values.shape[0])[:, None]
  member = place < count
  total = jnp.sum(jnp.where(member[..., None], (place + 1)[..., None] * values, 0.0), axis=0)
  rest_is_infinite = jnp.all(member[..., None] | jnp.isinf(values), axis=(0, 2))
  total = total.at[:, -1].set(count * rest_is_infinite)
  return ItemResult(total, jnp.broadcast_to(place % 2 == 0, values.shape[:2]))


@pytest.mark.parametrize("work", ["rows", "pairs"])
@pytest.mark.parametrize("present", [1, 20, 37, 40])
def test_absent_rows_stand_as_zeros_in_their_clients_places(present, work):
  counts = np.minimum([0, 1, 3, present, 2, 0, 17, 5] * 9, present)
  uploads = uploads_of(counts, clients=present)
  rows, kept = map_items(
    place_rule,
    uploads,
    num_items=len(counts),
    max_count=40,
    work=work,
    absent_rows=jnp.int32(present),
  )
  expected = np.zeros((len(counts), 3))
  used = int(counts.sum())
  client, item, row = (np.asarray(one)[:used] for one in uploads[:3])
  for one, two, three in zip(client, item, row, strict=True):
    expected[two] += (one + 1) * three
  expected[:, -1] = np.where(counts > 0, present, 0)
  np.testing.assert_array_equal(dense(rows, len(counts)), expected)
  np.testing.assert_array_equal(kept[:used], client % 2 == 0)
  assert not kept[used:].any()


@pytest.mark.parametrize("work", ["rows", "pairs"])
def test_map_items_does_not_pay_for_a_bound_beyond_the_capacity(work):
  sizes = []

  def rule(values, count):
    sizes.append(values.shape[0])
    return ItemResult(values[0])

  jax.eval_shape(
    lambda uploads: map_items(rule, uploads, num_items=3, max_count=100_000, work=work),
    uploads_of([2, 1, 0], spare=1),
  )
  assert set(sizes) == {4}


@pytest.mark.parametrize("bound", [1, 4, 5, 150, 256, 1000])
def test_size_classes_reach_the_bound_and_not_further(bound):
  for work in ("rows", "pairs"):
    sizes = item_groups._size_classes(work, bound)
    assert sizes == sorted(set(sizes)) and sizes[-1] >= bound
    assert all(size < bound for size in sizes[:-1])


@pytest.mark.parametrize("many", [False, True])
@pytest.mark.parametrize("size", [4, 32, 64, 128, 256, 512, 1024, 4096])
def test_tiles_of_pairs_stay_small(size, many):
  tile = item_groups._tile("pairs", size, many=many)
  # Eight megabytes of distances, unless a single group has more.
  assert tile == 1 or 1 < tile * size**2 <= 2**21
