"""Samples mapped in tiles of one client each, with parameters of the client's own."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedrecjax.clients.tiles import TILE_SAMPLES, map_samples, tiles_of
from fedrecjax.uploads.rows import ragged

LENGTHS = [0, 1, 2, 31, 32, 33, 65, 0]
CAPACITY = 192  # 164 used


def layout(lengths=LENGTHS, spare_tiles=3):
  length = jnp.array(lengths)
  places = ragged(length, CAPACITY)
  first = jnp.arange(CAPACITY, dtype=jnp.int32) - places.offset
  num_tiles = sum(-(-one // TILE_SAMPLES) for one in lengths) + spare_tiles
  return places, tiles_of(length, places.segment, first, num_tiles)


def function(shared, left, right):
  """Scalar and vector result of one sample `[3]`, `[4]`."""
  hidden = jnp.tanh(left @ shared["kernel"] + shared["bias"])
  return jnp.dot(hidden, right), hidden


def arguments(num_clients=None):
  random = np.random.default_rng(0)
  size = () if num_clients is None else (num_clients,)
  shared = {"kernel": random.normal(size=(*size, 3, 4)), "bias": random.normal(size=(*size, 4))}
  samples = random.normal(size=(CAPACITY, 3)), random.normal(size=(CAPACITY, 4))
  return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), (shared, *samples))


@pytest.mark.parametrize("spare_tiles", [0, 3])
def test_every_sample_meets_its_own_clients_parameters(spare_tiles):
  places, tiles = layout(spare_tiles=spare_tiles)
  shared, left, right = arguments(len(LENGTHS))
  scalars, vectors = map_samples(function, shared, tiles, left, right)
  for place in np.flatnonzero(places.valid):
    client = int(places.segment[place])
    own = jax.tree.map(lambda leaf, client=client: np.asarray(leaf[client]), shared)
    hidden = np.tanh(np.asarray(left[place]) @ own["kernel"] + own["bias"])
    np.testing.assert_allclose(vectors[place], hidden, atol=1e-6)
    np.testing.assert_allclose(scalars[place], hidden @ np.asarray(right[place]), atol=1e-5)


def test_with_equal_parameters_it_is_the_plain_mapping_and_gradients_tell_clients_apart():
  places, tiles = layout()
  shared, left, right = arguments()
  copies = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (len(LENGTHS), *leaf.shape)), shared)
  weight = jnp.where(places.valid, jnp.linspace(-1.0, 2.0, CAPACITY), 0.0)

  def total(shared, left, right, tiles, weight):
    scalars, vectors = map_samples(function, shared, tiles, left, right)
    return jnp.sum(weight * scalars) + jnp.sum(weight[:, None] * vectors**2)

  slope = jax.jit(jax.value_and_grad(total, argnums=(0, 1, 2)))
  plain = slope(shared, left, right, None, weight)
  tiled = slope(copies, left, right, tiles, weight)
  assert float(tiled[0]) == pytest.approx(float(plain[0]), rel=1e-5)
  chex.assert_trees_all_close(tiled[1][1:], plain[1][1:], rtol=1e-7, atol=1e-5)
  added_up = jax.tree.map(lambda leaf: leaf.sum(axis=0), tiled[1][0])
  chex.assert_trees_all_close(added_up, plain[1][0], rtol=1e-7, atol=1e-4)
  for client, length in enumerate(LENGTHS):
    alone = slope(shared, left, right, None, jnp.where(places.segment == client, weight, 0.0))
    own = jax.tree.map(lambda leaf, client=client: leaf[client], tiled[1][0])
    chex.assert_trees_all_close(own, alone[1][0], rtol=1e-7, atol=1e-5)
    assert bool(jnp.any(own["kernel"] != 0)) == (length > 0)


def test_a_round_without_samples_is_finite():
  places, tiles = layout([0, 0], spare_tiles=1)
  shared, left, right = arguments(2)
  scalars, _ = map_samples(function, shared, tiles, left, right)
  assert scalars.shape == (CAPACITY,) and not places.valid.any()
  assert bool(jnp.all(jnp.isfinite(scalars)))
