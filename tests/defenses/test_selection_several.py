"""Kernels that select several rows, for Multi-Krum and Bulyan, on a thousand groups."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedrecjax.defenses import selection
from fedrecjax.numerics.distances import pairwise_distances
from fedrecjax.types import ClientUpdates
from fedrecjax.uploads.item_groups import ItemResult, map_items
from tests.defenses.row_groups import (
  MAKERS,
  RULES,
  SMALL,
  TOLERANCE,
  Groups,
  batches,
  distances_of,
  exact_distances,
  neighbors_of,
)
from tests.oracles import krum as oracle

weights_of = jax.jit(selection.krum_weights, static_argnames="ties")
best_of = jax.jit(selection.best_scored)
iteratively = jax.jit(selection.iterative_selection)
bulyan_of = jax.jit(selection.mean_near_median)


def picks_of(select, groups: Groups, rule: str, squared: bool, picks: np.ndarray) -> np.ndarray:
  """What a kernel selects, bool [K, G]."""
  distances = distances_of(jnp.asarray(groups.rows), squared=squared)
  third = selection.number_left_out(jnp.asarray(groups.f), rule)
  if select is best_of:
    third = neighbors_of(groups, rule)
  return np.asarray(select(distances, groups.count, third, picks))


@pytest.mark.parametrize("rule", RULES)
def test_multi_krum_in_one_step_with_exact_ties(rule):
  for batch, groups in enumerate(batches("integers")):
    found = picks_of(best_of, groups, rule, True, groups.count - groups.f)
    for group in range(len(groups.count)):
      exact = exact_distances("integers", batch, group, True)
      expected = oracle.multi_krum_drop(exact, groups.f[group], rule=rule)
      assert np.flatnonzero(found[:, group]).tolist() == sorted(expected)


@pytest.mark.parametrize("squared", [True, False])
def test_multi_krum_in_one_step_of_real_rows(squared):
  for batch, groups in enumerate(batches("reals")):
    found = picks_of(best_of, groups, "n-f-2", squared, groups.count - groups.f)
    for group in range(len(groups.count)):
      exact = exact_distances("reals", batch, group, squared)
      picked = set(np.flatnonzero(found[:, group]).tolist())
      assert oracle.could_drop_to(
        exact, picked, groups.f[group], rule="n-f-2", tolerance=TOLERANCE
      )


@pytest.mark.parametrize("rule", RULES)
def test_iterative_selection_with_exact_ties(rule):
  for batch, groups in enumerate(batches("integers")):
    found = picks_of(iteratively, groups, rule, True, groups.count - 2 * groups.f)
    for group in range(len(groups.count)):
      exact = exact_distances("integers", batch, group, True)
      expected = oracle.multi_krum_iterative(exact, groups.f[group], rule=rule)
      assert np.flatnonzero(found[:, group]).tolist() == sorted(expected)


@pytest.mark.parametrize(("rule", "squared"), [("n-f-2", True), ("n-f-2", False), ("n-f", False)])
def test_iterative_selection_of_real_rows(rule, squared):
  for batch, groups in enumerate(batches("reals")):
    found = picks_of(iteratively, groups, rule, squared, groups.count - 2 * groups.f)
    for group in range(len(groups.count)):
      exact = exact_distances("reals", batch, group, squared)
      picked = set(np.flatnonzero(found[:, group]).tolist())
      assert oracle.could_iterate_to(
        exact, picked, groups.f[group], rule=rule, tolerance=TOLERANCE
      )


@pytest.mark.parametrize("kind", MAKERS)
def test_bulyan(kind):
  for groups in batches(kind):
    f = np.where(4 * groups.f < groups.count, groups.f, groups.count // 5).astype(np.int32)
    found = picks_of(iteratively, groups._replace(f=f), "n-f-2", True, groups.count - 2 * f)
    result = bulyan_of(jnp.asarray(groups.rows), jnp.asarray(found), 2 * f)
    assert (f > 0).sum() > 10
    for group in np.flatnonzero(groups.count):
      expected = oracle.bulyan(groups.of(group), np.flatnonzero(found[:, group]), f[group])
      np.testing.assert_allclose(result[group], expected, rtol=1e-5, atol=1e-6)


def test_equal_rows_share_and_are_kept_in_order():
  rows = np.random.default_rng(5).normal(size=(9, 1, 7)).astype(np.float32)
  rows[[2, 6, 7]] = rows[2]
  count = jnp.array([9])
  distances = pairwise_distances(jnp.asarray(rows), squared=True)
  weights = selection.krum_weights(distances, count, jnp.array([3]))[:, 0]
  np.testing.assert_allclose(weights, [0, 0, 1 / 3, 0, 0, 0, 1 / 3, 1 / 3, 0], rtol=1e-6)
  picked = selection.iterative_selection(distances, count, jnp.array([5]), jnp.array([2]))[:, 0]
  assert np.flatnonzero(picked).tolist() == [2, 6]
  picked = selection.best_scored(distances, count, jnp.array([3]), jnp.array([2]))[:, 0]
  assert np.flatnonzero(picked).tolist() == [2, 6]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e30])
def test_rows_that_are_no_numbers_are_never_chosen(bad):
  rows = np.random.default_rng(6).normal(size=(20, 1, 3)).astype(np.float32)
  rows[[0, 5, 11], 0, 1] = bad
  rows[17] = bad
  rows = jnp.asarray(rows)
  count, f = jnp.array([20]), jnp.array([4])
  distances = pairwise_distances(rows, squared=True)
  neighbors = count - 1 - selection.number_left_out(f, "n-f-2")
  weights = selection.krum_weights(distances, count, neighbors)
  steps = selection.iterative_selection(
    distances, count, selection.number_left_out(f, "n-f-2"), count - 2 * f
  )
  once = selection.best_scored(distances, count, neighbors, count - f)
  for kept in (weights > 0, steps, once):
    assert not np.any(kept[np.array([0, 5, 11, 17])])
  assert np.isfinite(selection.weighted_sum(rows, weights)).all()
  assert np.isfinite(selection.weighted_sum(rows, selection.equal_weights(once))).all()
  assert np.isfinite(selection.mean_near_median(rows, steps, 2 * f)).all()


def test_drift_does_not_decide():
  # Of a hundred equal rows far away most are picked first. What is then left of the other sums is a
  # millionth of what they were.
  random = np.random.default_rng(8)
  rows = np.full((140, 1, 4), 1e3, np.float32)
  near = random.choice(140, 40, replace=False)
  rows[near, 0] = random.normal(size=(40, 4))
  f = 25
  exact = oracle.pairwise(rows[:, 0].astype(np.float64), squared=True)
  found = iteratively(
    distances_of(jnp.asarray(rows), squared=True),
    jnp.array([140]),
    selection.number_left_out(jnp.array([f]), "n-f-2"),
    jnp.array([128]),
  )
  picked = set(np.flatnonzero(found[:, 0]).tolist())
  assert 0 < len(picked & set(near.tolist())) < 40
  remaining = list(range(140))
  # More picks than 140 - 2 f, to get to where the sums are small.
  for _ in range(128):
    score = oracle.scores(exact, remaining, f, "n-f-2")
    best = min(picked & set(remaining), key=lambda row: (score[row], row))
    assert score[best] <= min(score.values()) * (1 + TOLERANCE)
    remaining.remove(best)


@pytest.mark.parametrize(("extra", "share"), [(0, 1), (3, 1), (0, 0), (-1, 0)])
def test_selecting_all_or_none(extra, share):
  groups = batches("reals")[0]
  distances = distances_of(jnp.asarray(groups.rows), squared=True)
  picks = share * groups.count + np.int32(extra)
  expected = (np.arange(SMALL)[:, None] < groups.count) & (share == 1)
  found = iteratively(distances, groups.count, np.ones_like(picks), picks)
  np.testing.assert_array_equal(found, expected)
  np.testing.assert_array_equal(best_of(distances, groups.count, groups.count, picks), expected)


def test_some_groups_select_all_and_others_do_not():
  groups = batches("integers")[0]
  distances = distances_of(jnp.asarray(groups.rows), squared=True)
  picks = np.where(np.arange(len(groups.count)) % 2, groups.count, groups.count - 2 * groups.f)
  found = np.asarray(iteratively(distances, groups.count, groups.f + 1, picks.astype(np.int32)))
  for group, count in enumerate(groups.count):
    picked = np.flatnonzero(found[:, group]).tolist()
    if group % 2:
      assert picked == list(range(count))
    else:
      exact = exact_distances("integers", 0, group, True)
      assert picked == sorted(oracle.multi_krum_iterative(exact, groups.f[group], rule="n-f-2"))


def test_a_whole_round_of_clients_as_one_group():
  rows = np.random.default_rng(9).normal(size=(256, 20))
  exact = oracle.pairwise(rows, squared=True)
  distances, count, f = jnp.asarray(exact, jnp.float32)[..., None], jnp.array([256]), 12
  neighbors = count - 1 - selection.number_left_out(jnp.array([f]), "n-f-2")
  weights = weights_of(distances, count, neighbors)[:, 0]
  np.testing.assert_array_equal(weights, oracle.krum(exact, f, rule="n-f-2"))
  found = iteratively(distances, count, jnp.array([f + 1]), count - 2 * f)
  picked = set(np.flatnonzero(found[:, 0]).tolist())
  assert oracle.could_iterate_to(exact, picked, f, rule="n-f-2", tolerance=TOLERANCE)


@pytest.mark.parametrize("absent", [False, True])
def test_items_of_a_round(absent):
  """Iterative Multi-Krum per item, among the clients that touched it or all 21 of the round."""
  random = np.random.default_rng(11)
  num_items, present, capacity = 40, 21, 24
  counts = random.integers(0, present + 1, num_items)
  clients = [random.choice(present, count, replace=False) for count in counts]
  dense = np.zeros((num_items, present, 2))
  for item, some in enumerate(clients):
    dense[item, some] = random.integers(-2, 3, (len(some), 2))
  uploads = ClientUpdates(
    jnp.asarray(np.concatenate(clients), jnp.int32),
    jnp.asarray(np.repeat(np.arange(num_items), counts), jnp.int32),
    jnp.asarray(np.concatenate([dense[one] for one in enumerate(clients)]), jnp.float32),
  )

  def rule(rows, count):
    f = count // 5
    distances = pairwise_distances(rows, squared=True)
    picked = selection.iterative_selection(
      distances, count, selection.number_left_out(f, "n-f-2"), count - 2 * f
    )
    return ItemResult(selection.weighted_sum(rows, selection.equal_weights(picked)), picked)

  @jax.jit
  def per_item(uploads, present):
    rows, kept = map_items(
      rule,
      uploads,
      num_items=num_items,
      max_count=capacity,
      work="pairs",
      absent_rows=present if absent else None,
    )
    return jnp.zeros((num_items, 2)).at[rows.item].add(rows.row, mode="drop"), kept

  found, kept = per_item(uploads, jnp.int32(present))
  expected, expected_kept = np.zeros((num_items, 2)), []
  for item, some in enumerate(clients):
    rows = dense[item] if absent else dense[item][some]
    if len(some):
      distances = oracle.pairwise(rows, squared=True)
      picked = oracle.multi_krum_iterative(distances, len(rows) // 5, rule="n-f-2")
      expected[item] = rows[picked].mean(axis=0)
      places = some if absent else np.arange(len(some))
      expected_kept.extend(np.isin(places, picked))
  np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)
  np.testing.assert_array_equal(kept, expected_kept)
