"""k-means, the number of clusters, the bounds and the contrastive gradient against the oracle."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedrecjax.attacks.untargeted.cluster import bounded, norm_statistics
from fedrecjax.attacks.untargeted.cluster_count import first_count, next_counts, update_count
from fedrecjax.attacks.untargeted.kmeans import kmeans, nearest_center, random_kmeans
from fedrecjax.types import ClientUpdates
from tests.oracles import cluster

jitted_kmeans = jax.jit(kmeans, static_argnames="max_iterations")
jitted_random = jax.jit(random_kmeans, static_argnames="max_iterations")


def rows_of(seed, count=40, dim=3):
  """Some groups and some rows between them."""
  random = np.random.default_rng(seed)
  middles = random.normal(size=(4, dim)) * 2
  rows = middles[random.integers(0, 4, count)] + 0.5 * random.normal(size=(count, dim))
  return rows.astype(np.float32)


@pytest.mark.parametrize("limit", [1, 2, 300])
@pytest.mark.parametrize("number", [1, 2, 5, 8])
@pytest.mark.parametrize("seed", range(4))
def test_kmeans_from_given_centers(seed, number, limit):
  rows = rows_of(seed)
  start = rows[np.random.default_rng(seed).permutation(len(rows))[:8]]
  found = jitted_kmeans(rows, start, number, tolerance=1e-4, max_iterations=limit)
  expected = cluster.lloyd(rows.astype(float), start[:number], limit=limit)
  assert np.asarray(found.label).tolist() == expected.labels
  np.testing.assert_allclose(found.center[:number], expected.centers, atol=1e-5)
  # Centres that are not used stay where they were.
  np.testing.assert_allclose(found.center[number:], start[number:], atol=1e-5)
  assert int(found.iterations) == expected.iterations


def test_a_large_tolerance_ends_early_and_an_empty_cluster_stays():
  rows = np.array([[0.0], [1.0], [10.0], [11.0], [6.0]], np.float32)
  start = np.array([[0.0], [1.0], [500.0]], np.float32)
  for tolerance in (6.1, 2.1, 1e-4):
    found = jitted_kmeans(rows, start, 3, tolerance=tolerance, max_iterations=50)
    expected = cluster.lloyd(rows.astype(float), start, tolerance)
    assert int(found.iterations) == expected.iterations
    np.testing.assert_allclose(found.center, expected.centers, rtol=1e-5)
    assert found.center[2, 0] == 500.0


def test_ties_go_to_the_first_center_and_repeated_rows_stay_together():
  centers = jnp.array([[0.0], [2.0], [2.0]])
  found = nearest_center(jnp.array([[1.0], [2.0], [0.0]]), centers, jnp.int32(3))
  assert found.tolist() == [0, 1, 0]
  rows = np.array([[1.0, 1.0]] * 4 + [[3.0, 3.0]] * 2, np.float32)
  found = jitted_kmeans(rows, rows[[0, 1, 4]], 3, tolerance=1e-4, max_iterations=9)
  assert found.label.tolist() == [0, 0, 0, 0, 2, 2] and found.center[1].tolist() == [1.0, 1.0]


def test_far_from_the_origin_rows_are_still_told_apart():
  rows = rows_of(7) + np.float32(1000)
  found = jitted_kmeans(rows, rows[:4], 4, tolerance=1e-4, max_iterations=300)
  expected = cluster.lloyd(rows.astype(float), rows[:4])
  assert found.label.tolist() == expected.labels
  np.testing.assert_allclose(found.center, expected.centers, rtol=1e-6)


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5, 9, 10])
def test_the_work_that_is_left_out_changes_nothing(number):
  rows = rows_of(11)
  first = np.random.default_rng(3).permutation(len(rows))[:10].astype(np.int32)
  found = jitted_random(jnp.asarray(rows), jnp.asarray(first), number, tolerance=1e-4, max_iterations=300)
  expected = cluster.lloyd(rows.astype(float), rows[first[:number]])
  assert found.center.shape == (10, 3)
  assert found.label.tolist() == expected.labels
  np.testing.assert_allclose(found.center[:number], expected.centers, atol=1e-5)


def numbers(losses, start, *, rounding, smallest=1, largest=50, **changes):
  """Number of clusters after each loss."""
  settings = {"threshold": 100.0, "growth": 0.0, "decay": 0.999} | changes
  more, fewer = next_counts(smallest, largest, rounding)

  def see(state, loss):
    state = update_count(
      state, loss, decay=settings["decay"], growth=settings["growth"], more=more, fewer=fewer
    )
    return state, state.number

  first = first_count(start, settings["threshold"])
  _, found = jax.lax.scan(see, first, jnp.asarray(losses, jnp.float32))
  return found.tolist()


@pytest.mark.parametrize("rounding", ["nearest", "floor"])
@pytest.mark.parametrize("decay", [0.0, 0.9, 0.999])
@pytest.mark.parametrize("seed", range(3))
def test_the_number_of_clusters_over_many_losses(seed, decay, rounding):
  random = np.random.default_rng(seed)
  drift = np.repeat(random.normal(size=20) * 0.1, 60)
  losses = 20 * np.exp(np.cumsum(drift) * 0.05 + 0.002 * random.normal(size=drift.size))
  # Ties of float32 would decide otherwise than the oracle's float64.
  losses = losses.astype(np.float32)
  for growth in (0.0, 0.25):
    oracle = cluster.AdaptiveCount(
      5, threshold=12, decay=decay, growth=growth, floor=rounding == "floor", largest=20
    )
    expected = [oracle.see(float(loss)) for loss in losses]
    assert len(set(expected)) > 2
    found = numbers(losses, 5, rounding=rounding, largest=20, threshold=12.0, growth=growth, decay=decay)
    assert found == expected


def test_published_and_printed_steps():
  rising, falling = np.arange(1, 204), np.arange(203, 0, -1)
  # 101 losses: the first is compared with nothing.
  assert numbers(rising, 2, rounding="floor")[99:101] == [2, 8]
  assert numbers(rising, 2, rounding="floor")[-2:] == [14, 14]
  assert numbers(rising, 2, rounding="nearest")[100] == 9
  assert numbers(rising, 8, rounding="nearest")[100] == 14
  for rounding in ("floor", "nearest"):
    assert numbers(falling, 2, rounding=rounding)[99:101] == [2, 1]
    assert numbers(falling, 2, rounding=rounding)[-1] == 1
  assert numbers(rising, 49, rounding="nearest")[-1] == 50


def test_a_steady_average_is_followed_to_the_last_digit():
  # With decay 0.999 the corrected average is a quotient of numbers near 0.001; losses that differ
  # by 1e-5 still decide as they should from the first rounds on.
  losses = 20 * (1 + 1e-5 * np.arange(200))
  oracle = cluster.AdaptiveCount(2)
  assert numbers(losses, 2, rounding="nearest") == [oracle.see(float(loss)) for loss in losses]


def uploads_of(clients, num_items, capacity):
  """One row per client and item, in order of items, unused places last."""
  entries = sorted(
    (item, client, row) for client, one in enumerate(clients) for item, row in one.items()
  )
  client = np.zeros(capacity, np.int32)
  item = np.full(capacity, num_items, np.int32)
  row = np.full((capacity, 2), 99.0, np.float32)
  for place, (one, by, value) in enumerate(entries):
    client[place], item[place], row[place] = by, one, value
  return ClientUpdates(jnp.asarray(client), jnp.asarray(item), jnp.asarray(row))


@pytest.mark.parametrize("statistics", ["all_rows", "touched"])
@pytest.mark.parametrize("sizes", [[3, 0, 5], [1], [0], [4, 4]], ids=str)
def test_norm_statistics(sizes, statistics):
  random = np.random.default_rng(len(sizes))
  clients = [
    {int(item): random.normal(size=2) for item in random.permutation(7)[:size]} for size in sizes
  ]
  clients = [{item: row.astype(np.float32) for item, row in one.items()} for one in clients]
  uploads = uploads_of(
    [{item: tuple(row) for item, row in one.items()} for one in clients], 7, 12
  )
  found = norm_statistics(uploads, 7, jnp.float32(len(sizes)), statistics)
  expected = cluster.norm_statistics(clients, 7, statistics == "all_rows")
  np.testing.assert_allclose([float(one) for one in found], expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("rule", ["clip", "rescale"])
def test_bounds(rule):
  random = np.random.default_rng(0)
  rows = random.normal(size=(30, 4)).astype(np.float32)
  rows[3] = 0.0
  bounds = random.exponential(size=30).astype(np.float32)
  bounds[5] = 0.0
  found = bounded(jnp.asarray(rows), jnp.asarray(bounds), rule)
  expected = [
    cluster.bounded_row(row.astype(float), float(bound), rule == "rescale")
    for row, bound in zip(rows, bounds, strict=True)
  ]
  np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)
  assert (np.linalg.norm(found, axis=1) < np.linalg.norm(rows, axis=1) - 1e-3).any()
  longer = (np.linalg.norm(found, axis=1) > np.linalg.norm(rows, axis=1) + 1e-3).any()
  assert longer == (rule == "rescale")
