"""Standing, HR, NDCG and exposure of single items against the oracle, with ties."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedrecjax.metrics.exposure import exposure_ratio, target_ndcg
from fedrecjax.metrics.ranking import discounts, gain, hit, standing
from tests.oracles import ranking

M = 14
place_of = jax.jit(jax.vmap(standing, in_axes=(None, 0)))


def random_scores(seed, levels):
  """Scores with many ties, and masked items."""
  random = np.random.default_rng(seed)
  masked = np.flatnonzero(random.random(M) < 0.3)
  return random.integers(0, levels, M) / 4, masked


# K beyond M too: a list longer than the catalogue.
@pytest.mark.parametrize("k", [1, 3, M, M + 6])
@pytest.mark.parametrize("levels", [1, 3, 1000])
def test_hit_and_gain_of_every_item(k, levels):
  for seed in range(10):
    scores, masked = random_scores(seed, levels)
    seen = scores.copy()
    seen[masked] = -np.inf
    places = place_of(jnp.asarray(seen, jnp.float32), jnp.asarray(seen, jnp.float32))
    for item in range(M):
      expected = ranking.held_out_metrics(scores, masked, item, k)
      place = jax.tree.map(lambda array, item=item: array[item], places)
      assert (float(hit(place, k)), float(gain(place, k))) == pytest.approx(expected, abs=1e-6), (
        seed,
        item,
      )


@pytest.mark.parametrize("k", [1, 4, M])
def test_a_constant_model_hits_by_chance(k):
  place = standing(jnp.zeros(M), jnp.array(0.0))
  assert float(hit(place, k)) == pytest.approx(k / M)
  assert float(gain(place, k)) == pytest.approx(
    sum(1 / np.log2(1 + rank) for rank in range(1, k + 1)) / M
  )


@pytest.mark.parametrize("k", [1, 2, 5, M, M + 6])
@pytest.mark.parametrize("levels", [1, 3, 1000])
def test_exposure_of_targets(k, levels):
  targets = [3, 0, 9, 13]
  for seed in range(10):
    scores, masked = random_scores(seed, levels)
    if seed == 0:
      masked = np.union1d(masked, targets)  # nothing to promote
    seen = scores.copy()
    seen[masked] = -np.inf
    seen = jnp.asarray(seen, jnp.float32)
    places, eligible = place_of(seen, seen[jnp.array(targets)]), seen[jnp.array(targets)] > -jnp.inf
    expected = (
      ranking.exposure(scores, masked, targets, k),
      ranking.target_ndcg(scores, masked, targets, k),
    )
    found = (float(exposure_ratio(places, eligible, k)), float(target_ndcg(places, eligible, k)))
    assert found == pytest.approx(np.nan_to_num(expected), abs=1e-6), seed


def test_discounts():
  np.testing.assert_allclose(
    discounts(3), [0, 1, 1 + 1 / np.log2(3), 1 + 1 / np.log2(3) + 0.5], rtol=1e-6
  )
