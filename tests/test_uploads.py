"""Layout, merging and clipping of uploads, against plain loops."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedrecjax.types import ClientUpdates
from fedrecjax.uploads import clip_rows, concatenate, item_rows, keep_clients, merge_rows, ragged

CAPACITY = 300
# 2^25 items and 300 places do not fit in one 32-bit word: the other way of sorting.
SMALL_M, LARGE_M = 40, 2**25
merge = jax.jit(merge_rows, static_argnames="num_items")


def random_uploads(random, num_items, used, num_clients=20):
  """Integer rows of clients in order, with repeated items and unused places in between."""
  client = np.sort(random.integers(0, num_clients, CAPACITY))
  item = random.choice(random.integers(0, num_items, 30), CAPACITY)
  item[random.choice(CAPACITY, CAPACITY - used, replace=False)] = num_items
  row = random.integers(-9, 10, (CAPACITY, 3)).astype(np.float32)
  return client.astype(np.int32), item.astype(np.int32), row


@pytest.mark.parametrize("num_items", [SMALL_M, LARGE_M])
@pytest.mark.parametrize("used", [0, 1, 150, CAPACITY])
def test_merge_rows_adds_up_the_rows_of_one_client_and_item(num_items, used):
  for seed in range(10):
    client, item, row = random_uploads(np.random.default_rng([seed, used]), num_items, used)
    merged = merge(ClientUpdates(*map(jnp.asarray, (client, item, row))), num_items)
    expected = {}
    for one, two, three in zip(client, item, row, strict=True):
      if two < num_items:
        expected[two, one] = expected.get((two, one), 0.0) + three
    count = len(expected)
    places = list(
      zip(
        np.asarray(merged.item)[:count].tolist(),
        np.asarray(merged.client)[:count].tolist(),
        strict=True,
      )
    )
    assert places == sorted(expected)
    assert (np.asarray(merged.item)[count:] == num_items).all()
    np.testing.assert_array_equal(
      merged.row[:count], [expected[place] for place in places] or np.zeros((0, 3))
    )
    assert (np.asarray(merged.row)[count:] == 0).all()


def test_merge_rows_of_one_place_and_of_none():
  one = ClientUpdates(jnp.array([3], jnp.int32), jnp.array([5], jnp.int32), jnp.ones((1, 2)))
  for part, same in zip(merge_rows(one, 6), one, strict=True):
    np.testing.assert_array_equal(part, same)
  empty = ClientUpdates(jnp.zeros(0, jnp.int32), jnp.zeros(0, jnp.int32), jnp.zeros((0, 2)))
  assert merge_rows(empty, 6).row.shape == (0, 2)


def test_the_last_item_is_kept_at_the_limit_of_the_packed_sort():
  # 9 bits for 300 places leave 23: M = 2^23 - 1 is the largest that is packed, M = 2^23 the first
  # that is not.
  for num_items in (2**23 - 1, 2**23):
    client = np.zeros(CAPACITY, np.int32)
    item = np.full(CAPACITY, num_items, np.int32)
    item[[7, 290]] = num_items - 1
    merged = merge(
      ClientUpdates(*map(jnp.asarray, (client, item, np.ones((CAPACITY, 1), np.float32)))),
      num_items,
    )
    assert merged.item[:2].tolist() == [num_items - 1, num_items]
    assert merged.row[:2, 0].tolist() == [2.0, 0.0]


@pytest.mark.parametrize(
  "lengths", [[2, 0, 1], [0, 0, 0], [0, 3], [8], [4, 4], [0, 5, 0, 0, 3, 0]], ids=str
)
def test_ragged_lays_lists_end_to_end(lengths):
  layout = ragged(jnp.array(lengths, jnp.int32), 8)
  expected = [
    (segment, offset) for segment, length in enumerate(lengths) for offset in range(length)
  ]
  assert np.asarray(layout.valid).sum() == len(expected)
  used = len(expected)
  assert np.asarray(layout.valid)[:used].all()
  places = zip(
    np.asarray(layout.segment)[:used].tolist(),
    np.asarray(layout.offset)[:used].tolist(),
    strict=True,
  )
  assert list(places) == expected
  assert ((np.asarray(layout.segment) >= 0) & (np.asarray(layout.segment) < len(lengths))).all()


@pytest.mark.parametrize("own", [False, True], ids=["same items", "own items"])
def test_item_rows(own):
  items = jnp.array([[4, 1], [0, 2], [3, 3]] if own else [4, 1])
  rows = jnp.arange(12.0).reshape(3, 2, 2)
  uploads = item_rows(jnp.array([7, 5, 2]), jnp.array([True, False, True]), items, rows, 6)
  assert uploads.client.tolist() == [7, 7, 5, 5, 2, 2]
  assert uploads.item.tolist() == [4, 1, 6, 6, *([3, 3] if own else [4, 1])]
  np.testing.assert_array_equal(uploads.row, rows.reshape(6, 2))


def test_keep_clients_and_concatenate():
  first = item_rows(
    jnp.array([0, 1]), jnp.array([True, True]), jnp.array([2, 3]), jnp.ones((2, 2, 1)), 5
  )
  second = item_rows(jnp.array([2]), jnp.array([True]), jnp.array([4]), 2 * jnp.ones((1, 1, 1)), 5)
  both = keep_clients(concatenate(first, second), jnp.array([True, False, True]), 5)
  assert both.item.tolist() == [2, 3, 5, 5, 4]
  assert both.row[:, 0].tolist() == [1, 1, 1, 1, 2]


def test_clip_rows():
  rows = jnp.array([[3.0, 4.0], [0.3, 0.4], [0.0, 0.0], [-30.0, 40.0], [1e-20, 0.0]])
  clipped = clip_rows(rows, 1.0)
  np.testing.assert_allclose(
    clipped, [[0.6, 0.8], [0.3, 0.4], [0.0, 0.0], [-0.6, 0.8], [1e-20, 0.0]], rtol=1e-6
  )
  # Rows within the bound stay as they are to the last bit.
  np.testing.assert_array_equal(clip_rows(rows, 50.0), rows)
