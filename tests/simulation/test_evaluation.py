"""Evaluation of all users against the oracle: ties, masks, several held-out items, sampled
candidates, chunks.
"""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedrecjax import models
from fedrecjax.config import EvalConfig
from fedrecjax.datasets import DataError, Dataset, ItemLists
from fedrecjax.simulation import evaluation
from fedrecjax.simulation.evaluation import evaluate, evaluation_data, metric_names
from fedrecjax.types import Public
from tests.oracles import ranking

KS = (1, 3, 10)
FULL = EvalConfig(ks=KS)
MODEL = models.mf(dim=3)
run_evaluate = jax.jit(evaluate, static_argnames=("config", "num_users"))


def vectors(num_users, num_items, levels=3, seed=0):
  """Small whole numbers: scores are exact and often equal."""
  random = np.random.default_rng(seed)
  items, users = (
    random.integers(-levels, levels + 1, (count, 3)) for count in (num_items, num_users)
  )
  return Public(jnp.asarray(items, jnp.float32), ()), jnp.asarray(users, jnp.float32)


def evaluated(dataset, public, private, *, config=FULL, targets=(4, 5), users=None, key=0):
  users = np.arange(dataset.num_users) if users is None else users
  data = evaluation_data(dataset, config, np.array(targets, np.int32), users)
  means, values = run_evaluate(
    MODEL, public, private, data, jax.random.key(key), config=config, num_users=len(users)
  )
  names = metric_names(config)
  assert means.shape == (len(names),) and values.shape == (len(users), len(names))
  return dict(zip(names, np.asarray(means), strict=True)), dict(
    zip(names, np.asarray(values).T, strict=True)
  )


def expected_values(dataset, public, private, targets, users):
  """Every metric of every user by the oracle."""
  values = {name: [] for name in metric_names(FULL)}
  for place, user in enumerate(users):
    scores = np.asarray(public.items, float) @ np.asarray(private[place], float)
    train = dataset.train.of(user)
    for k in KS:
      both = ranking.held_out_list_metrics(scores, train, dataset.test.of(user).tolist(), k)
      values[f"hr@{k}"].append(both[0])
      values[f"ndcg@{k}"].append(both[1])
      values[f"er@{k}"].append(ranking.exposure(scores, train, targets, k))
    values["target_ndcg@10"].append(ranking.target_ndcg(scores, train, targets, 10))
  return values


def random_dataset(seed):
  """Users with none to three held-out items, some of them training items too; targets that some
  users have.
  """
  random = np.random.default_rng(seed)
  train = [random.choice(25, random.integers(0, 12), replace=True) for _ in range(18)]
  test = [random.choice(25, size, replace=False) for size in random.integers(0, 4, 18)]
  train[0], test[0] = [4, 5, 1], [4, 2]
  test[1] = []
  return Dataset("random", 18, 25, ItemLists.from_lists(train), ItemLists.from_lists(test))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
  "scores_per_chunk", [2**21, 25 * 7, 1], ids=["one chunk", "three chunks", "one user each"]
)
def test_every_metric_of_every_user(monkeypatch, seed, scores_per_chunk):
  # Three chunks of seven leave the last one padded.
  monkeypatch.setattr(evaluation, "SCORES_PER_CHUNK", scores_per_chunk)
  dataset = random_dataset(seed)
  public, private = vectors(18, 25, seed=seed)
  means, values = evaluated(dataset, public, private)
  expected = expected_values(dataset, public, private, [4, 5], range(18))
  assert math.isnan(expected["er@3"][0]) and math.isnan(expected["hr@1"][1])
  for name in metric_names(FULL):
    np.testing.assert_allclose(values[name], expected[name], atol=1e-6, err_msg=name)
    assert means[name] == pytest.approx(np.nanmean(expected[name]), abs=1e-6)


def test_users_are_those_of_the_clients():
  dataset, users = random_dataset(0), np.array([3, 9, 17, 2])
  public, private = vectors(6, 25)  # two malicious clients have vectors too
  _, values = evaluated(dataset, public, private, users=users)
  expected = expected_values(dataset, public, private, [4, 5], users)
  for name in metric_names(FULL):
    np.testing.assert_allclose(values[name], expected[name], atol=1e-6, err_msg=name)


def one_user(train, held_out, num_items=12):
  return Dataset(
    "one", 1, num_items, ItemLists.from_lists([train]), ItemLists.from_lists([held_out])
  )


def test_a_constant_model_scores_by_chance():
  # Ten items are ranked, of which one is held out and two are targets.
  public = Public(jnp.zeros((12, 3)), ())
  means, _ = evaluated(one_user([0, 1], [7]), public, jnp.ones((1, 3)))
  for k in KS:
    assert means[f"hr@{k}"] == pytest.approx(k / 10)
    assert means[f"er@{k}"] == pytest.approx(k / 10)


def test_a_held_out_training_item_is_never_hit():
  public, private = vectors(1, 12)
  config = EvalConfig(ks=(1, 12, 20))
  means, _ = evaluated(one_user([0, 7], [7]), public, private, config=config)
  assert [means[name] for name in metric_names(config)[:6]] == [0.0] * 6


@pytest.mark.parametrize("held_out_negative", [False, True])
def test_sampling_every_free_item_is_the_full_list_of_them(held_out_negative):
  random = np.random.default_rng(0)
  drawn = [random.choice(25, 9, replace=False) for _ in range(18)]
  dataset = Dataset(
    "even",
    18,
    25,
    ItemLists.from_lists([one[1:] for one in drawn]),
    ItemLists.from_lists([one[:1] for one in drawn]),
  )
  public, private = vectors(18, 25)
  config = EvalConfig(
    ks=KS,
    candidates="sampled",
    num_negatives=16 + held_out_negative,
    held_out_negative=held_out_negative,
  )
  _, values = evaluated(dataset, public, private, config=config)
  for user in range(18):
    scores = np.asarray(public.items, float) @ np.asarray(private[user], float)
    held_out = int(dataset.test.of(user)[0])
    free = np.setdiff1d(np.arange(25), dataset.train.of(user))
    negatives = free if held_out_negative else free[free != held_out]
    for k in KS:
      expected = ranking.held_out_metrics(scores, dataset.train.of(user), held_out, k, negatives)
      assert (values[f"hr@{k}"][user], values[f"ndcg@{k}"][user]) == pytest.approx(
        expected, abs=1e-6
      )


@pytest.mark.parametrize(
  ("held_out", "held_out_negative"),
  [(7, False), (7, True), (1, False), (1, True), (11, False)],
  ids=["free", "free, may be drawn", "in train", "in train, may be drawn", "last item"],
)
def test_sampled_candidates_are_every_set_equally_often(held_out, held_out_negative):
  # Items 0 to 2 are training items; the scores of all items differ, and the held-out item stands in
  # the middle.
  train, num_negatives = [0, 1, 2], 3
  scores = np.array([0, 4.5, 0, 9, 8, 7, 1, 4.5, 2, 6, 3, 4.5]) + np.arange(12) * 1e-3
  scores[held_out] = 5
  public = Public(jnp.asarray(np.outer(scores, [1, 0, 0]), jnp.float32), ())
  config = EvalConfig(
    ks=KS, candidates="sampled", num_negatives=num_negatives, held_out_negative=held_out_negative
  )
  data = evaluation_data(one_user(train, [held_out]), config, np.array([4, 5]), np.array([0]))
  keys = jax.random.split(jax.random.key(3), 4000)
  means, _ = jax.vmap(
    lambda key: evaluate(
      MODEL, public, jnp.array([[1.0, 0, 0]]), data, key, config=config, num_users=1
    )
  )(keys)
  pool = [item for item in range(3, 12) if held_out_negative or item != held_out]
  sets = list(itertools.combinations(pool, num_negatives))
  for column, name in enumerate(metric_names(config)[:6]):
    metric, k = name.split("@")
    each = [
      ranking.held_out_metrics(scores, train, held_out, int(k), one)[metric == "ndcg"]
      for one in sets
    ]
    # Five standard errors of the mean of 4000 draws.
    tolerance = 5 * np.std(each) / math.sqrt(len(keys)) + 1e-6
    assert float(np.mean(means[:, column])) == pytest.approx(np.mean(each), abs=tolerance), name


def test_sampled_candidates_are_drawn_anew_by_key_and_user():
  train = ItemLists.from_lists([[0]] * 18)
  dataset = Dataset("same", 18, 25, train, ItemLists.from_lists([[12]] * 18))
  # All scores differ, and the held-out item stands in the middle.
  public, private = (
    Public(jnp.outer(jnp.arange(25.0), jnp.array([1.0, 0, 0])), ()),
    jnp.ones((18, 3)),
  )
  config = EvalConfig(ks=KS, candidates="sampled", num_negatives=4)
  first, second = (
    evaluated(dataset, public, private, config=config, key=key)[1]["ndcg@3"] for key in (0, 1)
  )
  assert len(set(first.tolist())) > 1
  assert (first != second).any()
  again = evaluated(dataset, public, private, config=config, key=0)[1]["ndcg@3"]
  np.testing.assert_array_equal(first, again)


def test_exposure_is_ranked_among_all_items_even_when_candidates_are_sampled():
  dataset = Dataset(
    "same", 18, 25, ItemLists.from_lists([[0]] * 18), ItemLists.from_lists([[12]] * 18)
  )
  public, private = vectors(18, 25)
  full, sampled = (
    evaluated(dataset, public, private, config=config)[1]
    for config in (FULL, EvalConfig(ks=KS, candidates="sampled", num_negatives=4))
  )
  for name in ("er@1", "er@3", "er@10", "target_ndcg@10"):
    np.testing.assert_array_equal(full[name], sampled[name])


@pytest.mark.parametrize(
  ("train", "held_out", "num_negatives", "message"),
  [
    ([[0]], [[]], 3, "no user has a held-out item"),
    ([[0]], [[1, 2]], 3, "sampled needs at most one held-out item per user, and user ann has 2"),
    ([[0, 1]], [[2]], 10, "num_negatives=10 candidates asked for, but user ann has only 9"),
  ],
)
def test_what_cannot_be_evaluated(train, held_out, num_negatives, message):
  lists = [ItemLists.from_lists([*one, []]) for one in (train, held_out)]
  dataset = Dataset("bad", 2, 12, *lists, user_names=["ann", "bob"])
  config = EvalConfig(candidates="sampled", num_negatives=num_negatives)
  with pytest.raises(DataError, match=message):
    evaluation_data(dataset, config, np.array([4]), np.array([0]))


def test_an_item_held_out_twice_is_one_hit_at_most():
  train, once, twice = [[0], [1]], [[2, 3], [4]], [[2, 3, 2], [4, 4]]
  public, private = vectors(2, 12)
  found = []
  for held_out in (once, twice):
    dataset = Dataset("twice", 2, 12, ItemLists.from_lists(train), ItemLists.from_lists(held_out))
    found.append(evaluated(dataset, public, private)[1])
  for name, values in found[0].items():
    np.testing.assert_array_equal(values, found[1][name], err_msg=name)
    assert np.nanmax(found[1][name]) <= 1
