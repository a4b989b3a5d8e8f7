"""What popular items look like: each number against a definition written out, and a run's snapshots."""

import numpy as np
import pytest

import fedrecjax as frj
from fedrecjax import analysis
from fedrecjax.datasets import Dataset, ItemLists
from fedrecjax.simulation.planning import plan, round_inputs
from fedrecjax.simulation.round import jitted_rounds
from fedrecjax.simulation.trajectory import snapshots


def softmax(vector):
  weights = np.exp(vector - vector.max())
  return weights / weights.sum()


def test_pairwise_divergence_is_the_mean_over_pairs():
  random = np.random.default_rng(0)
  items, users = random.normal(size=(3, 4)), 5 * random.normal(size=(5, 4))
  pairs = [
    sum(p * np.log(p / q) for p, q in zip(softmax(item), softmax(user), strict=True))
    for item in items
    for user in users
  ]
  assert analysis.pairwise_divergence(items, users) == pytest.approx(np.mean(pairs))
  # A constant added to a vector changes nothing, and identical vectors do not diverge.
  assert analysis.pairwise_divergence(items + 7, users) == pytest.approx(np.mean(pairs))
  assert analysis.pairwise_divergence(items[:1], items[:1]) == pytest.approx(0, abs=1e-12)


def test_divergence_of_extreme_vectors_is_finite():
  value = analysis.pairwise_divergence(np.array([[900.0, 0.0]]), np.array([[0.0, 900.0]]))
  assert value == pytest.approx(900.0)


def test_delta_norms_and_the_largest():
  before, after = np.zeros((4, 2)), np.array([[3.0, 4.0], [0, 0], [0, 5], [0, 1]])
  norms = analysis.delta_norms(before, after)
  np.testing.assert_allclose(norms, [5, 0, 5, 1])
  assert analysis.largest(norms, 3).tolist() == [0, 2, 3]  # of equal ones the lower id


def test_mining_precision_counts_the_most_popular_share():
  popularity = np.array([9, 1, 8, 7, 0, 3, 3, 3, 3, 3])
  # A fifth of ten items: items 0 and 2.
  assert analysis.mining_precision(popularity, np.array([0, 2, 3, 4]), share=0.2) == 0.5
  assert analysis.mining_precision(popularity, np.array([0, 2]), share=0.01) == 0.5  # at least one
  assert analysis.popularity_ranks(popularity, np.array([4, 5, 6])).tolist() == [10, 4, 5]


def test_coverage_counts_users_once():
  dataset = Dataset(
    "four", 4, 3, ItemLists.from_lists([[0, 0, 1], [1], [2], []]), ItemLists.from_lists([[]] * 4)
  )
  assert analysis.user_coverage(dataset, np.array([0, 1])) == 0.5
  assert analysis.covered_users(dataset, np.array([0, 1])).tolist() == [0, 1]
  assert analysis.user_coverage(dataset, np.array([], int)) == 0


def test_uniformity_is_the_mean_distance_over_pairs():
  items = np.random.default_rng(1).normal(size=(7, 3))
  pairs = [np.linalg.norm(a - b) for n, a in enumerate(items) for b in items[:n]]
  assert analysis.uniformity(items) == pytest.approx(np.mean(pairs), rel=1e-5)


def planned():
  return plan(
    frj.load("synthetic"), model=frj.mf(dim=4), attack=frj.Attack(), defense=frj.Defense(),
    train=frj.TrainConfig(epochs=2), attacker=frj.AttackerConfig(), evaluation=frj.EvalConfig(),
    seed=0,
  )  # fmt: skip


def test_snapshots_are_the_states_of_the_run():
  run = planned()
  start = np.asarray(run.state.server.public.items)
  first, third = snapshots(run, [3, 0, 3])
  assert (first.round, third.round) == (0, 3)
  np.testing.assert_array_equal(first.items, start)
  run = planned()
  state, _ = jitted_rounds(
    run.structure, run.constants, run.state, round_inputs(run.rounds, slice(0, 3))
  )
  np.testing.assert_allclose(third.items, state.server.public.items, atol=1e-7)
  np.testing.assert_allclose(third.private, state.private, atol=1e-7)


@pytest.mark.parametrize("number", [-1, 9])
def test_rounds_outside_the_run_are_refused(number):
  with pytest.raises(ValueError, match=f"between 0 and the 8 of the run, got {number}"):
    list(snapshots(planned(), [number]))
