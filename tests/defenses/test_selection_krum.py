"""Distances and Krum's scores and choice, on a thousand groups against the oracle."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedrecjax.defenses import selection
from fedrecjax.numerics.distances import pairwise_distances
from tests.defenses.row_groups import (
  LARGE,
  MAKERS,
  RULES,
  SMALL,
  TOLERANCE,
  batches,
  distances_of,
  exact_distances,
  neighbors_of,
)
from tests.oracles import krum as oracle

scores_of = jax.jit(selection.krum_scores)
weights_of = jax.jit(selection.krum_weights, static_argnames="ties")


def test_the_groups_hold_what_matters():
  for kind in MAKERS:
    every = batches(kind)
    sizes = np.concatenate([groups.count for groups in every])
    f = np.concatenate([groups.f for groups in every])
    assert len(sizes) >= 1000 and set(range(SMALL + 1)) | {LARGE} <= set(sizes.tolist())
    assert (f[sizes >= 3] > 0).mean() > 0.3 and (2 * f == sizes - 1).sum() > 50


@pytest.mark.parametrize("squared", [True, False])
def test_pairwise_distances(squared):
  groups = batches("reals")[0]
  found = np.asarray(distances_of(jnp.asarray(groups.rows), squared=squared))
  np.testing.assert_array_equal(found, found.swapaxes(0, 1))
  pairs = 0
  for group, count in enumerate(groups.count[:40]):
    expected = oracle.pairwise(groups.of(group), squared=squared)
    np.testing.assert_allclose(found[:count, :count, group], expected, rtol=2e-6, atol=0)
    pairs += (expected == 0).sum() - count
  assert pairs > 50


@pytest.mark.parametrize("dim", [1, 8, 9, 32])
def test_pairwise_distances_of_any_dimension(dim):
  rows = np.random.default_rng(dim).normal(size=(3, 2, dim)).astype(np.float32)
  found = pairwise_distances(jnp.asarray(rows), squared=True)
  np.testing.assert_allclose(found, ((rows[:, None] - rows) ** 2).sum(axis=-1), rtol=1e-5)


@pytest.mark.parametrize("dim", [1, 2, 8, 9])
def test_distances_are_not_worked_out_again_where_they_are_compared(dim):
  """What the compiler has inlined it may round otherwise in each place, and equal distances are then unequal."""
  program = distances_of.lower(jax.ShapeDtypeStruct((3, 2, dim), jnp.float32), squared=True).compile()
  assert " while(" in program.as_text()


@pytest.mark.parametrize("rule", RULES)
def test_number_of_neighbors(rule):
  count, f = (one.ravel() for one in np.meshgrid(np.arange(2, 40), np.arange(40)))
  found = jnp.clip(count - 1 - selection.number_left_out(jnp.asarray(f), rule), 1, count - 1)
  expected = [oracle.neighbor_count(*one, rule) for one in zip(count, f, strict=True)]
  np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("squared", [True, False])
@pytest.mark.parametrize("rule", RULES)
def test_krum_scores(rule, squared):
  for batch, groups in enumerate(batches("reals")):
    distances = distances_of(jnp.asarray(groups.rows), squared=squared)
    found = np.asarray(scores_of(distances, groups.count, neighbors_of(groups, rule)))
    for group, count in enumerate(groups.count):
      exact = exact_distances("reals", batch, group, squared)
      expected = oracle.scores(exact, range(count), groups.f[group], rule)
      np.testing.assert_allclose(found[:count, group], list(expected.values()), rtol=2e-6)
      assert np.all(found[count:, group] == np.inf)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("ties", ["average", "first", "last"])
def test_krum_with_exact_ties(rule, ties):
  tied = 0
  for batch, groups in enumerate(batches("integers")):
    distances = distances_of(jnp.asarray(groups.rows), squared=True)
    found = weights_of(distances, groups.count, neighbors_of(groups, rule), ties=ties)
    expected = np.zeros(groups.rows.shape[:2])
    for group, count in enumerate(groups.count):
      exact = exact_distances("integers", batch, group, True)
      expected[:count, group] = oracle.krum(exact, groups.f[group], rule=rule, ties=ties)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    tied += ((expected > 0).sum(axis=0) > 1).sum()
  assert tied > 100 if ties == "average" else tied == 0


@pytest.mark.parametrize("squared", [True, False])
@pytest.mark.parametrize("rule", RULES)
def test_krum_of_real_rows(rule, squared):
  for batch, groups in enumerate(batches("reals")):
    distances = distances_of(jnp.asarray(groups.rows), squared=squared)
    weights = np.asarray(weights_of(distances, groups.count, neighbors_of(groups, rule)))
    np.testing.assert_allclose(weights.sum(axis=0), groups.count > 0, rtol=1e-6)
    for group, count in enumerate(groups.count):
      exact = exact_distances("reals", batch, group, squared)
      score = oracle.scores(exact, range(count), groups.f[group], rule)
      best = min(score.values(), default=0.0)
      for row in np.flatnonzero(weights[:, group]):
        assert score[row] <= best * (1 + TOLERANCE)


@pytest.mark.parametrize("kind", MAKERS)
def test_the_order_of_rows_does_not_matter_to_krum(kind):
  groups = batches(kind)[0]
  random = np.random.default_rng(3)
  order = np.tile(np.arange(SMALL), (len(groups.count), 1))
  for row, count in zip(order, groups.count, strict=True):
    row[:count] = random.permutation(count)
  shuffled = groups._replace(rows=np.take_along_axis(groups.rows, order.T[..., None], axis=0))
  weights = []
  for some in (groups, shuffled):
    distances = distances_of(jnp.asarray(some.rows), squared=True)
    weights.append(np.asarray(weights_of(distances, some.count, neighbors_of(some, "n-f-2"))))
  np.testing.assert_array_equal(weights[1], np.take_along_axis(weights[0], order.T, axis=0))
