"""Norms, inner products, distances and clipping of whole uploads, against the oracle."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedrecjax import defenses
from fedrecjax.defenses import whole_uploads
from fedrecjax.types import ClientUpdates
from fedrecjax.uploads.rows import keep_clients, merge_rows, no_uploads
from tests.defenses.whole_rounds import CAPACITY, C, D, M, random_round, stacked, view_of
from tests.oracles import whole_uploads as oracle

BATCH = 100
MAX_NORM = 20.0  # about the middle of the norms in large rounds


def dense(uploads):
  """`[C, M * D]` of a round's uploads."""
  table = jnp.zeros((C, M, D)).at[uploads.client, uploads.item].add(uploads.row, mode="drop")
  return table.reshape(C, M * D)


def measured(uploads):
  """Everything measured of one round, and its uploads after clipping."""
  uploads = merge_rows(uploads, M)
  sizes = {"num_items": M}
  bound = defenses.norm_bound(max_norm=MAX_NORM, scope="client")
  clipped, _ = bound.filter((), uploads, view_of(jnp.int32(C)))
  return {
    "norms": whole_uploads.client_norms(uploads, C, **sizes),
    "gram": whole_uploads.client_gram(uploads, C, **sizes),
    "squared": whole_uploads.client_distances(uploads, C, squared=True, **sizes),
    "distances": whole_uploads.client_distances(uploads, C, squared=False, **sizes),
    "clipped": dense(clipped),
  }


measured_rounds = jax.jit(functools.partial(jax.lax.map, measured))
distances_of = jax.jit(
  whole_uploads.client_distances, static_argnames=("num_clients", "num_items", "squared")
)


def assert_rounds_match(seeds, measure=measured_rounds):
  rounds = [random_round(seed) for seed in seeds]
  found = measure(stacked(rounds))
  found = {name: np.asarray(values) for name, values in found.items()}
  for number, one in enumerate(rounds):
    vectors = np.zeros((C, M * D))
    vectors[: one.clients] = one.vectors
    message = f"round {seeds[number]}"
    gram, squared = found["gram"][number], found["squared"][number]
    np.testing.assert_array_equal(gram, oracle.inner_products(vectors), message)
    np.testing.assert_array_equal(squared, oracle.distances(vectors, squared=True), message)
    np.testing.assert_allclose(found["distances"][number], np.sqrt(squared), rtol=1e-6)
    np.testing.assert_allclose(found["norms"][number], oracle.norms(vectors), rtol=1e-6)
    bounded = oracle.norm_bound(vectors, MAX_NORM)
    np.testing.assert_allclose(found["clipped"][number], bounded, rtol=1e-6, err_msg=message)
    assert not squared[np.ix_(one.twins, one.twins)].any()
  return rounds


@pytest.mark.parametrize("batch", range(10))
def test_random_rounds(batch):
  rounds = assert_rounds_match(range(batch * BATCH, (batch + 1) * BATCH))
  # What the rounds are meant to hold.
  sizes = {
    int(size) for one in rounds for size in np.bincount(one.uploads.item, minlength=M)[:M]
  }
  assert {0, 1, 2} <= sizes and max(sizes) >= 150
  norms = np.concatenate([oracle.norms(one.vectors) for one in rounds])
  assert (norms == 0).any() and (norms > MAX_NORM).mean() > 0.1 and (norms < MAX_NORM).mean() > 0.1
  assert any(one.twins.size > 2 for one in rounds)
  assert {1, C} <= {one.clients for one in rounds}


@pytest.mark.parametrize(("largest", "tile"), [(4, 1), (8, 64), (64, 1024)])
def test_items_with_more_clients_than_the_largest_class(monkeypatch, largest, tile):
  monkeypatch.setattr(whole_uploads, "LARGEST_CLASS", largest)
  monkeypatch.setattr(whole_uploads, "TILE_ROWS", tile)
  # A function of its own, because these sizes are no part of jit's cache.
  assert_rounds_match(range(40), jax.jit(lambda uploads: jax.lax.map(measured, uploads)))


def random_uploads(random, lists, num_items, dim):
  """Uploads of clients that send the given lists of items with random rows, in order of items."""
  client = np.repeat(np.arange(len(lists)), [len(one) for one in lists])
  item = np.concatenate([np.sort(one) for one in lists])
  row = random.normal(size=(len(item), dim)) * 10.0 ** random.integers(-3, 2, (len(item), 1))
  order = np.argsort(item, kind="stable")
  client, item, row = client[order], item[order], row[order].astype(np.float32)
  table = np.zeros((len(lists), num_items, dim))
  table[client, item] = row
  uploads = map(jnp.asarray, (client.astype(np.int32), item.astype(np.int32), row))
  return ClientUpdates(*uploads), table.reshape(len(lists), -1)


def test_accuracy_with_hundreds_of_clients_and_one_that_sends_everything():
  random = np.random.default_rng(0)
  num_items, num_clients = 60, 600
  lists = [random.choice(num_items, random.integers(1, 30), replace=False) for _ in range(599)]
  # Item 0 is beyond the largest class, by two blocks and a part of one.
  lists = [np.unique(np.append(one, 0)) for one in lists] + [np.arange(num_items)]
  uploads, vectors = random_uploads(random, lists, num_items, 6)
  assert np.sum(np.asarray(uploads.item) == 0) > 2 * whole_uploads.LARGEST_CLASS
  found = np.asarray(distances_of(uploads, num_clients, num_items=num_items, squared=True))
  squares = oracle.norms(vectors) ** 2
  error = np.abs(found - oracle.distances(vectors, squared=True)) / (squares[:, None] + squares)
  assert error.max() < 3e-6
  np.testing.assert_array_equal(found, found.T)
  assert not np.diagonal(found).any()


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 13, 60, 100, 300])
def test_identical_uploads_are_at_distance_zero(size):
  random = np.random.default_rng(size)
  num_items, num_clients = 40, 300
  row = random.normal(size=(num_items, 32)).astype(np.float32)
  twins = np.sort(random.choice(num_clients, size, replace=False))
  sent = random.random((num_items, num_clients)) < random.random((num_items, 1))
  sent[:, twins] = (random.random(num_items) < 0.7)[:, None]
  item, client = np.nonzero(sent)
  rows = np.where(np.isin(client, twins)[:, None], row[item], random.normal(size=(len(item), 32)))
  capacity = num_items * num_clients
  unused = capacity - len(item)
  uploads = ClientUpdates(
    jnp.asarray(np.append(client, np.zeros(unused)), jnp.int32),
    jnp.asarray(np.append(item, np.full(unused, num_items)), jnp.int32),
    jnp.asarray(np.append(rows, np.zeros((unused, 32)), axis=0), jnp.float32),
  )
  found = np.asarray(distances_of(uploads, num_clients, num_items=num_items, squared=False))
  assert not found[np.ix_(twins, twins)].any()
  others = np.setdiff1d(np.flatnonzero(sent.any(axis=0)), twins)
  assert (found[np.ix_(others, twins)] > 0.1).all()


@pytest.mark.parametrize("capacity", [0, 1, 7])
def test_a_round_without_uploads(capacity):
  uploads = ClientUpdates(
    jnp.zeros(capacity, jnp.int32), jnp.full(capacity, 5, jnp.int32), jnp.zeros((capacity, 3))
  )
  assert whole_uploads.client_norms(uploads, 4, num_items=5).tolist() == [0.0] * 4
  assert whole_uploads.client_gram(uploads, 4, num_items=5).tolist() == [[0.0] * 4] * 4
  distances = distances_of(uploads, 4, num_items=5, squared=False)
  assert distances.tolist() == [[0.0] * 4] * 4


def test_one_client():
  uploads = ClientUpdates(jnp.array([0]), jnp.array([2]), jnp.array([[3.0, 4.0]]))
  assert whole_uploads.client_norms(uploads, 1, num_items=3).tolist() == [5.0]
  assert whole_uploads.client_gram(uploads, 1, num_items=3).tolist() == [[25.0]]
  assert distances_of(uploads, 1, num_items=3, squared=True).tolist() == [[0.0]]


def test_an_upload_that_overflows_is_infinitely_far_from_all_others():
  row = jnp.array([[1.0, 2.0], [3e25, 3e25], [3e25, 3e25], [2.0, 2.0]])
  uploads = ClientUpdates(jnp.arange(4), jnp.zeros(4, jnp.int32), row)
  distances = distances_of(uploads, 4, num_items=1, squared=True)
  inf = np.inf
  expected = [[0, inf, inf, 1], [inf, 0, inf, inf], [inf, inf, 0, inf], [1, inf, inf, 0]]
  np.testing.assert_array_equal(distances, expected)
  gram = whole_uploads.client_gram(uploads, 4, num_items=1)
  np.testing.assert_array_equal(jnp.diagonal(gram), [5.0, inf, inf, 8.0])


def test_places_that_an_earlier_filter_has_dropped_do_not_count():
  # Filters of a chain follow one another without the unused places being moved to the end.
  uploads = ClientUpdates(
    jnp.array([0, 0, 1, 0]), jnp.array([0, 1, 1, 3]), jnp.array([[3.0], [4.0], [7.0], [9.0]])
  )
  assert whole_uploads.client_norms(uploads, 2, num_items=3).tolist() == [5.0, 7.0]
  kept = keep_clients(uploads, jnp.array([True, False]), 3)
  assert whole_uploads.client_norms(kept, 2, num_items=3).tolist() == [5.0, 0.0]


def test_bounds_per_client_and_per_row_differ():
  uploads = ClientUpdates(
    jnp.array([0, 0, 1]), jnp.array([0, 1, 1]), jnp.array([[3.0], [4.0], [2.0]])
  )
  view = view_of(jnp.int32(2))._replace(num_items=2, num_clients=2)
  rows = {
    scope: defenses.norm_bound(max_norm=2.5, scope=scope).filter((), uploads, view)[0].row[:, 0]
    for scope in ("row", "client")
  }
  np.testing.assert_allclose(rows["row"], [2.5, 2.5, 2.0])
  np.testing.assert_allclose(rows["client"], [1.5, 2.0, 2.0])


def test_a_round_without_places_can_be_clipped():
  bound = defenses.norm_bound(max_norm=1.0, scope="client")
  clipped, _ = bound.filter((), no_uploads(D), view_of(jnp.int32(0)))
  assert clipped.row.shape == (0, D)


def test_capacity_holds_every_round():
  assert M * C * 1.1 < CAPACITY
