"""What papers' protocols change: who is evaluated, what is set aside, whom exposure looks at."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedrecjax import attacks, defenses, models
from fedrecjax.config import AttackerConfig, EvalConfig, TrainConfig
from fedrecjax.datasets import DataError, Dataset, ItemLists
from fedrecjax.federation.population import Population, make_population
from fedrecjax.simulation import evaluation
from fedrecjax.simulation.evaluation import evaluate, evaluation_data, metric_names
from fedrecjax.simulation.planning import plan
from fedrecjax.simulation.runner import simulate
from fedrecjax.types import Public
from tests.oracles import ranking

N, M, KS, TARGETS = 18, 25, (1, 3, 10), [4, 5]
MODEL = models.mf(dim=3)
run_evaluate = jax.jit(evaluate, static_argnames=("config", "num_users"))


def dataset_of(seed):
  """Users with none to four held-out items and up to two set aside, all lists overlapping."""
  random = np.random.default_rng(seed)
  train, test, validation = (
    [random.choice(M, size, replace=False) for size in random.integers(low, high, N)]
    for low, high in ((0, 12), (0, 5), (0, 3))
  )
  train[0], test[0], validation[0] = [1, 7], [4, 2], [5]
  train[1], test[1], validation[1] = [4, 5, 2], [9, 1, 3], []
  test[2], validation[3] = [], [4, 5]
  return Dataset("random", N, M, *(ItemLists.from_lists(one) for one in (train, test, validation)))


def vectors(seed):
  random = np.random.default_rng(seed)
  items, users = (random.integers(-3, 4, (count, 3)) for count in (M, N))
  return Public(jnp.asarray(items, jnp.float32), ()), jnp.asarray(users, jnp.float32)


def values_of(dataset, public, private, config, evaluated=None):
  data = evaluation_data(dataset, config, np.array(TARGETS), np.arange(N), evaluated=evaluated)
  means, values = run_evaluate(
    MODEL, public, private, data, jax.random.key(0), config=config, num_users=N
  )
  names = metric_names(config)
  return dict(zip(names, np.asarray(means), strict=True)), dict(zip(names, np.asarray(values).T, strict=True))


def expected_values(dataset, public, private, exposure_among):
  values = {name: [] for name in metric_names(EvalConfig(ks=KS))}
  for user in range(N):
    scores = np.asarray(public.items, float) @ np.asarray(private[user], float)
    test = dataset.test.of(user).tolist()
    hidden = dataset.train.of(user).tolist()
    if dataset.validation is not None:
      hidden = hidden + dataset.validation.of(user).tolist()
    seen = hidden + (test if exposure_among == "unseen" else [])
    for k in KS:
      hit, gain = ranking.held_out_list_metrics(scores, hidden, test, k)
      values[f"hr@{k}"].append(hit)
      values[f"ndcg@{k}"].append(gain)
      values[f"er@{k}"].append(ranking.exposure(scores, seen, TARGETS, k))
    values["target_ndcg@10"].append(ranking.target_ndcg(scores, seen, TARGETS, 10))
  return values


@pytest.mark.parametrize("scores_per_chunk", [2**21, M * 7])
@pytest.mark.parametrize("exposure_among", ["not_trained", "unseen"])
@pytest.mark.parametrize("seed", range(3))
def test_every_metric_of_every_user(monkeypatch, seed, exposure_among, scores_per_chunk):
  monkeypatch.setattr(evaluation, "SCORES_PER_CHUNK", scores_per_chunk)
  dataset, (public, private) = dataset_of(seed), vectors(seed)
  config = EvalConfig(ks=KS, exposure_among=exposure_among)
  means, values = values_of(dataset, public, private, config)
  expected = expected_values(dataset, public, private, exposure_among)
  assert math.isnan(expected["er@1"][1]) and math.isnan(expected["er@1"][3])
  # Both targets of user 0 are out: one is held out, one set aside.
  assert math.isnan(expected["er@1"][0]) == (exposure_among == "unseen")
  for name in metric_names(config):
    np.testing.assert_allclose(values[name], expected[name], atol=1e-6, err_msg=name)
    assert means[name] == pytest.approx(np.nanmean(expected[name]), abs=1e-6)


def test_a_perfect_ranking_of_several_held_out_items_is_one():
  # More held-out items than places in the list still leave a best list of that length.
  held_out = [0, 1, 2, 3]
  dataset = Dataset("one", 1, M, ItemLists.from_lists([[9]]), ItemLists.from_lists([held_out]))
  public = Public(jnp.outer(jnp.arange(M, 0.0, -1.0), jnp.array([1.0, 0, 0])), ())
  config = EvalConfig(ks=(2, 4, 10))
  data = evaluation_data(dataset, config, np.array([20]), np.array([0]))
  means, _ = evaluate(
    MODEL, public, jnp.ones((1, 3)), data, jax.random.key(0), config=config, num_users=1
  )
  np.testing.assert_allclose(means[:6], [0.5, 1, 1, 1, 1, 1], rtol=1e-6)


def test_items_set_aside_are_no_sampled_candidates():
  train, validation = [[0, 1]] * 4, [[2, 3]] * 4
  dataset = Dataset(
    "aside", 4, 10, *(ItemLists.from_lists(one) for one in (train, [[4]] * 4, validation))
  )
  # The items set aside have the best scores; with five candidates all that are left are drawn.
  public = Public(jnp.outer(jnp.array([9.0, 9, 8, 8, 7, 6, 5, 4, 3, 2]), jnp.array([1.0, 0, 0])), ())
  config = EvalConfig(ks=(1,), candidates="sampled", num_negatives=5)
  data = evaluation_data(dataset, config, np.array([5]), np.arange(4))
  means, _ = evaluate(
    MODEL, public, jnp.ones((4, 3)), data, jax.random.key(0), config=config, num_users=4
  )
  assert float(means[0]) == 1.0
  with pytest.raises(DataError, match="user 0 has only 5 items"):
    too_many = EvalConfig(candidates="sampled", num_negatives=6)
    evaluation_data(dataset, too_many, np.array([5]), np.arange(4))


def test_users_who_are_left_out_do_not_count():
  dataset, (public, private) = dataset_of(5), vectors(5)
  config = EvalConfig(ks=KS)
  evaluated = np.arange(N) % 3 > 0
  means, values = values_of(dataset, public, private, config, evaluated)
  expected = expected_values(dataset, public, private, "not_trained")
  for name in metric_names(config):
    kept = np.where(evaluated, expected[name], math.nan)
    np.testing.assert_allclose(values[name], kept, atol=1e-6, err_msg=name)
    assert means[name] == pytest.approx(np.nanmean(kept), abs=1e-6)
  with pytest.raises(DataError, match="no user has a held-out item"):
    evaluation_data(dataset, config, np.array(TARGETS), np.arange(N), evaluated=np.zeros(N, bool))


@pytest.mark.parametrize(("share", "count"), [(0.0, 0), (0.05, 47), (0.29, 273), (0.5, 471)])
def test_number_of_users_left_out_is_rounded_down(share, count):
  users = np.arange(943)
  drawn = np.random.default_rng(0).permutation(943)
  evaluated = Population(users, 0, np.array([1]), drawn).evaluated(share)
  assert evaluated.shape == (943,) and (~evaluated).sum() == count
  assert set(users[~evaluated]) == set(drawn[:count])


def test_malicious_users_are_left_out_first(small):
  for share, benign_left_out in ((0.25, 0), (0.5, 3), (0.0, 0)):
    population = make_population(
      small, AttackerConfig(malicious_ratio=0.25, membership="converted"), 4
    )
    evaluated = population.evaluated(share)
    assert evaluated.shape == (9,) and (~evaluated).sum() == benign_left_out
  added = make_population(small, AttackerConfig(malicious_ratio=0.25), 4)
  assert (~added.evaluated(0.25)).sum() == 3


def test_who_is_left_out_does_not_depend_on_the_share_of_malicious_clients(small):
  left = []
  for ratio in (0.0, 0.1, 0.25):
    population = make_population(
      small, AttackerConfig(malicious_ratio=ratio, membership="converted"), 2
    )
    evaluated = population.users[population.evaluated(0.5)]
    left.append(sorted(set(range(12)) - set(evaluated.tolist())))
  assert left[0] == left[1] == left[2] and len(left[0]) == 6


def test_a_run_trains_on_nothing_that_is_set_aside_and_evaluates_the_others(small):
  aside = [[item for item in range(30) if item not in {*small.train.of(user), *small.test.of(user)}][:1]
           for user in range(12)]
  dataset = Dataset("aside", 12, 30, small.train, small.test, ItemLists.from_lists(aside))
  train = TrainConfig(epochs=1, clients_per_round=6)
  options = {"model": models.mf(dim=4), "train": train, "attacker": AttackerConfig(0.25, "converted")}
  config = EvalConfig(ks=(5,), left_out=0.5)
  run = plan(dataset, attack=attacks.explicit_boosting(), defense=defenses.none(), evaluation=config,
             seed=1, **options)
  data = run.constants.data.training
  for client, user in enumerate(run.population.users):
    own = slice(int(data.start[client]), int(data.start[client] + data.length[client]))
    assert data.positive[own].tolist() == small.train.of(user).tolist()
  result = simulate(dataset, attack=attacks.explicit_boosting(), evaluation=config, seed=1, **options)
  evaluated = run.population.evaluated(0.5)
  assert (~evaluated).sum() == 3
  assert np.isnan(result.per_user["er@5"][~evaluated]).all()
  assert np.isfinite(result.per_user["er@5"][evaluated]).any()
  assert result.metrics["er@5"][-1] == pytest.approx(np.nanmean(result.per_user["er@5"]), rel=1e-5)
