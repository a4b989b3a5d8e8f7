"""Layout, merging and clipping of uploads, against plain loops."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedrecjax.types import ClientUpdates
from fedrecjax.uploads.rows import (
  clip_rows,
  compact,
  concatenate,
  item_rows,
  keep_clients,
  merge_rows,
  no_uploads,
  packed,
  ragged,
  scale_shared,
)

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


@pytest.mark.parametrize("used", [0, 1, 150, CAPACITY])
@pytest.mark.parametrize("spare", [0, 7])
def test_packed_keeps_used_places_in_their_order(used, spare):
  client, item, row = random_uploads(np.random.default_rng(used), SMALL_M, used)
  found = packed(ClientUpdates(jnp.asarray(client), jnp.asarray(item), jnp.asarray(row)), used + spare, SMALL_M)
  kept = item < SMALL_M
  assert found.item.tolist() == item[kept].tolist() + [SMALL_M] * spare
  assert found.client[:used].tolist() == client[kept].tolist()
  np.testing.assert_array_equal(found.row[:used], row[kept])


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


@pytest.mark.parametrize("used", [0, 1, 150, CAPACITY])
def test_compact_moves_used_places_forward(used):
  move = jax.jit(compact, static_argnames="num_items")
  for seed in range(5):
    client, item, row = random_uploads(np.random.default_rng([seed, used]), SMALL_M, used)
    uploads = with_shared(ClientUpdates(*map(jnp.asarray, (client, item, row))), {4: 7.0})
    moved, origin = move(uploads, SMALL_M)
    places = np.flatnonzero(item < SMALL_M)
    assert origin[:used].tolist() == places.tolist()
    for part, before in zip(moved[:3], (client, item, row), strict=True):
      np.testing.assert_array_equal(part[:used], before[places])
    assert (np.asarray(moved.item)[used:] == SMALL_M).all()
    # Values of the moved places, put where they came from, as verdicts are.
    values = jnp.arange(CAPACITY, dtype=jnp.int32)
    scattered = jnp.full(CAPACITY, -1).at[origin].set(values, mode="drop")
    assert np.asarray(scattered)[places].tolist() == list(range(used))
    chex.assert_trees_all_equal((moved.shared, moved.sent), (uploads.shared, uploads.sent))


@pytest.mark.parametrize(
  "item", [[], [5], [2], [2, 2, 5], [5, 5, 5], [5, 2, 1], [2, 5, 1, 5, 5, 0]], ids=str
)
def test_compact_of_few_places(item):
  item = np.array(item, np.int32)
  places = np.arange(len(item))
  uploads = ClientUpdates(
    jnp.asarray(places, jnp.int32), jnp.asarray(item), jnp.asarray(places[:, None], jnp.float32)
  )
  moved, origin = compact(uploads, 5)
  used = places[item < 5]
  assert moved.item.tolist() == item[used].tolist() + [5] * (len(item) - len(used))
  assert moved.client[: len(used)].tolist() == used.tolist() == origin[: len(used)].tolist()
  assert moved.row[: len(used), 0].tolist() == used.tolist()


NUM_CLIENTS = 20
ONE_ROW = ClientUpdates(jnp.array([3]), jnp.array([1]), jnp.array([[4.0]]))


def with_shared(uploads, sent):
  """The uploads with gradients of two shared parameters; `sent` maps clients' places to values."""
  values = np.zeros(NUM_CLIENTS, np.float32)
  values[list(sent)] = list(sent.values())
  return uploads._replace(
    shared={
      "bias": jnp.asarray(values),
      "weight": jnp.asarray(values)[:, None, None] * jnp.array([[1.0, 2.0], [3.0, 4.0]]),
    },
    sent=jnp.asarray(np.isin(np.arange(NUM_CLIENTS), list(sent))),
  )


def shared_of(uploads):
  """The inverse of :func:`with_shared`."""
  weight, bias = (np.asarray(uploads.shared[name]) for name in ("weight", "bias"))
  np.testing.assert_array_equal(weight, bias[:, None, None] * np.array([[1.0, 2.0], [3.0, 4.0]]))
  sent = np.flatnonzero(np.asarray(uploads.sent))
  assert not np.delete(bias, sent).any()
  return dict(zip(sent.tolist(), bias[sent].tolist(), strict=True))


def test_scale_shared_scales_each_client_by_its_factor_and_leaves_rows_alone():
  uploads = with_shared(ONE_ROW, {0: 2.0, 3: 5.0})
  scaled = scale_shared(uploads, jnp.arange(NUM_CLIENTS) / 2)
  assert shared_of(scaled) == {0: 0.0, 3: 7.5}
  for part, before in zip(scaled[:3], ONE_ROW, strict=False):
    np.testing.assert_array_equal(part, before)
  assert scale_shared(ONE_ROW, jnp.arange(NUM_CLIENTS) / 2).shared == ()


def test_keep_clients_takes_out_shared_gradients_too():
  uploads = with_shared(ONE_ROW, {0: 2.0, 3: 5.0, 7: 1.0})
  kept = keep_clients(uploads, jnp.arange(NUM_CLIENTS) != 3, 5)
  assert shared_of(kept) == {0: 2.0, 7: 1.0} and kept.item.tolist() == [5]
  # A client that is kept but sent nothing still has sent nothing.
  assert shared_of(keep_clients(uploads, jnp.arange(NUM_CLIENTS) >= 3, 5)) == {3: 5.0, 7: 1.0}


@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_a_client_that_is_taken_out_leaves_nothing_behind(value):
  uploads = with_shared(ONE_ROW, {0: 2.0, 3: value})
  assert shared_of(keep_clients(uploads, jnp.arange(NUM_CLIENTS) != 3, 5)) == {0: 2.0}


@pytest.mark.parametrize("swapped", [False, True])
def test_concatenate_puts_shared_gradients_of_both_groups_together(swapped):
  other = ClientUpdates(jnp.array([8, 9]), jnp.array([0, 2]), jnp.array([[1.0], [2.0]]))
  groups = with_shared(ONE_ROW, {0: 2.0, 3: 5.0}), with_shared(other, {8: 1.0, 9: 4.0})
  both = concatenate(*(reversed(groups) if swapped else groups))
  assert shared_of(both) == {0: 2.0, 3: 5.0, 8: 1.0, 9: 4.0}
  assert both.client.tolist() == ([8, 9, 3] if swapped else [3, 8, 9])
  assert both.row[:, 0].tolist() == ([1.0, 2.0, 4.0] if swapped else [4.0, 1.0, 2.0])


@pytest.mark.parametrize("swapped", [False, True])
def test_concatenate_with_clients_that_send_rows_only(swapped):
  groups = (
    with_shared(ONE_ROW, {0: 2.0, 3: 5.0}),
    item_rows(jnp.array([8]), jnp.array([True]), jnp.array([2]), jnp.ones((1, 1, 1)), 5),
  )
  both = concatenate(*(reversed(groups) if swapped else groups))
  assert shared_of(both) == {0: 2.0, 3: 5.0}
  assert sorted(both.client.tolist()) == [3, 8]


def test_concatenate_without_any_shared_gradients():
  both = concatenate(ONE_ROW, no_uploads(1))
  assert both.shared == () and both.sent is None and both.item.tolist() == [1]


def test_clip_rows():
  rows = jnp.array([[3.0, 4.0], [0.3, 0.4], [0.0, 0.0], [-30.0, 40.0], [1e-20, 0.0]])
  clipped = clip_rows(rows, 1.0)
  np.testing.assert_allclose(
    clipped, [[0.6, 0.8], [0.3, 0.4], [0.0, 0.0], [-0.6, 0.8], [1e-20, 0.0]], rtol=1e-6
  )
  # Rows within the bound stay as they are to the last bit.
  np.testing.assert_array_equal(clip_rows(rows, 50.0), rows)
