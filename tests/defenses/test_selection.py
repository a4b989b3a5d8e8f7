"""Krum's kernels against the oracle, on a thousand groups of 0 to 150 rows.

Groups come in two shapes, small and large ones, for which every kernel is compiled once. Groups of
small integers have many ties, and all arithmetic on them is exact: selections must then be those of
the stated rule. On real numbers a selection may differ from the oracle's where scores agree to a
part in 100,000.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedrecjax.defenses import selection
from fedrecjax.defenses.item_groups import ItemResult, map_items
from fedrecjax.types import ClientUpdates
from tests.oracles import krum as oracle

SMALL, LARGE = 16, 150
SIZES = (
  np.random.default_rng(0).permutation(np.arange(975) % (SMALL + 1)),
  np.append(np.arange(17, LARGE, 6), [64, 128, 129, LARGE]),
)
TOLERANCE = 1e-5
RULES = ("n-f-2", "n-f-1", "n-f")

distances_of = jax.jit(selection.pairwise_distances, static_argnames="squared")
scores_of = jax.jit(selection.krum_scores)
weights_of = jax.jit(selection.krum_weights, static_argnames="ties")
best_of = jax.jit(selection.best_scored)
iteratively = jax.jit(selection.iterative_selection)
bulyan_of = jax.jit(selection.mean_near_median)


class Groups(NamedTuple):
  """G groups: rows [K, G, d] with +inf beyond the count, count [G], and f [G], 2 f < count."""

  rows: np.ndarray
  count: np.ndarray
  f: np.ndarray

  def of(self, group: int) -> np.ndarray:
    """The rows of one group in float64."""
    return self.rows[: self.count[group], group].astype(np.float64)


def integer_rows(random: np.random.Generator, count: int) -> np.ndarray:
  rows = random.integers(-3, 4, (count, 2)).astype(float)
  return rows * random.choice([1, 100], (count, 1), p=[0.8, 0.2])


def real_rows(random: np.random.Generator, count: int) -> np.ndarray:
  """Rows among which some are equal, some zero and some far away, alone or all in one place."""
  rows = random.normal(size=(count, 5))
  kind = random.integers(8, size=count)
  rows[kind == 0] = 0.0
  if random.random() < 0.3:
    rows[kind == 1] *= 10.0 ** random.integers(1, 4)
  if random.random() < 0.3:
    rows[kind == 2] = 10.0 ** random.integers(0, 4)
  if count and random.random() < 0.3:
    rows[kind == 3] = rows[0]
  return rows


MAKERS = {"integers": integer_rows, "reals": real_rows}


@functools.cache
def batches(kind: str) -> tuple[Groups, ...]:
  """A thousand groups in two batches."""
  random = np.random.default_rng(len(kind))
  result = []
  for sizes, capacity in zip(SIZES, (SMALL, LARGE), strict=True):
    made = [MAKERS[kind](random, size) for size in sizes]
    rows = np.full((capacity, len(sizes), made[0].shape[1]), np.inf, np.float32)
    for group, some in enumerate(made):
      rows[: len(some), group] = some
    shares = random.choice([0.0, 0.05, 0.2, 0.5], len(sizes))
    f = np.minimum(shares * sizes, np.maximum(sizes - 1, 0) // 2)
    result.append(Groups(rows, sizes.astype(np.int32), f.astype(np.int32)))
  return tuple(result)


@functools.cache
def exact_distances(kind: str, batch: int, group: int, squared: bool) -> np.ndarray:
  rows = batches(kind)[batch].of(group)
  squares = ((rows[:, None] - rows) ** 2).sum(axis=-1)
  return squares if squared else np.sqrt(squares)


def neighbors_of(groups: Groups, rule: str) -> jax.Array:
  return jnp.asarray(groups.count) - 1 - selection.number_left_out(jnp.asarray(groups.f), rule)


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
  found = selection.pairwise_distances(jnp.asarray(rows), squared=True)
  np.testing.assert_allclose(found, ((rows[:, None] - rows) ** 2).sum(axis=-1), rtol=1e-5)


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


def test_equal_rows_share_and_are_kept_in_order():
  rows = np.random.default_rng(5).normal(size=(9, 1, 7)).astype(np.float32)
  rows[[2, 6, 7]] = rows[2]
  count = jnp.array([9])
  distances = selection.pairwise_distances(jnp.asarray(rows), squared=True)
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
  distances = selection.pairwise_distances(rows, squared=True)
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
    distances = selection.pairwise_distances(rows, squared=True)
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
