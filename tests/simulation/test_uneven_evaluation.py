"""Held-out lists of very different lengths: nobody's list takes room in others', and no metric changes by a bit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedrecjax import models
from fedrecjax.clients.sampling import distinct_ranks
from fedrecjax.config import EvalConfig
from fedrecjax.datasets import Dataset, ItemLists
from fedrecjax.methods.hyperparameters import as_arguments
from fedrecjax.simulation import evaluation
from fedrecjax.simulation.evaluation import evaluation_data, jitted_evaluation, metric_names
from fedrecjax.types import Public
from tests.oracles import padded_evaluation, ranking

N, M, KS, TARGETS = 30, 400, (1, 5, 20), (4, 5)


def uneven(seed, longest=300):
  """Users who hold out nothing, one item, a few, and hundreds; who train on nothing up to hundreds."""
  random = np.random.default_rng(seed)
  held_out = np.where(np.arange(N) % 3 == 0, 0, random.integers(1, 4, N))
  held_out[[1, 7, 20]] = 1, longest, longest // 2
  trained = random.integers(0, 9, N)
  trained[[2, 20]] = longest, 0
  drawn = [
    [random.choice(M, size, replace=False) for size in sizes] for sizes in (trained, held_out, random.integers(0, 4, N))
  ]
  drawn[0][4], drawn[1][4] = [4, 9], [9, 5]  # both targets and an item that is held out and trained on
  return Dataset("uneven", N, M, *(ItemLists.from_lists(lists) for lists in drawn))


def one_each(dataset):
  """The same users with their first held-out item alone."""
  test = ItemLists.from_lists([dataset.test.of(user)[:1] for user in range(N)])
  return Dataset("one each", N, M, dataset.train, test, dataset.validation)


def vectors(seed):
  """Small whole numbers: scores are exact whatever sums them up, and often equal."""
  random = np.random.default_rng(seed)
  items, users = (random.integers(-4, 5, (count, 3)).astype(np.float32) for count in (M, N))
  return Public(jnp.asarray(items), ()), jnp.asarray(users), users @ items.T


def evaluated(dataset, config, public, private, key):
  data = evaluation_data(dataset, config, np.array(TARGETS), np.arange(N))
  means, values = jitted_evaluation(
    as_arguments(models.mf(dim=3)), public, private, data, key, None, config=config, num_users=N
  )
  return np.asarray(means), np.asarray(values)


@pytest.mark.parametrize("users_per_chunk", [N, 7, 1])
def test_metrics_are_those_of_the_oracle(monkeypatch, users_per_chunk):
  monkeypatch.setattr(evaluation, "SCORES_PER_CHUNK", users_per_chunk * M)
  dataset, (public, private, scores) = uneven(0), vectors(0)
  config = EvalConfig(ks=KS)
  means, values = evaluated(dataset, config, public, private, jax.random.key(0))
  for user in range(N):
    hidden = [*dataset.train.of(user).tolist(), *dataset.validation.of(user).tolist()]
    test = dataset.test.of(user).tolist()
    utility = [ranking.held_out_list_metrics(scores[user], hidden, test, k) for k in KS]
    expected = [hr for hr, _ in utility] + [ndcg for _, ndcg in utility]
    expected += [ranking.exposure(scores[user], hidden, TARGETS, k) for k in KS]
    expected.append(ranking.target_ndcg(scores[user], hidden, TARGETS, 10))
    np.testing.assert_allclose(values[user], expected, atol=2e-6)
  assert np.isnan(values[0, 0]) and values[7, 2] > 0
  np.testing.assert_allclose(means, np.nanmean(values, axis=0), rtol=1e-5)


@pytest.mark.parametrize("users_per_chunk", [N, 7])
@pytest.mark.parametrize("exposure_among", ["unseen", "not_trained"])
@pytest.mark.parametrize("kind", ["uneven", "one each"])
def test_bits_are_those_of_padded_lists(monkeypatch, kind, exposure_among, users_per_chunk):
  monkeypatch.setattr(evaluation, "SCORES_PER_CHUNK", users_per_chunk * M)
  for seed in range(3):
    dataset = uneven(seed) if kind == "uneven" else one_each(uneven(seed))
    public, private, scores = vectors(seed)
    config = EvalConfig(ks=KS, exposure_among=exposure_among)
    _, values = evaluated(dataset, config, public, private, jax.random.key(0))
    expected = padded_evaluation.values_of_users(dataset, scores, TARGETS, KS, unseen=exposure_among == "unseen")
    np.testing.assert_array_equal(values.view(np.int32), expected.view(np.int32))


@pytest.mark.parametrize("held_out_negative", [False, True])
def test_bits_of_sampled_candidates_are_those_of_padded_lists(held_out_negative):
  dataset, (public, private, scores) = one_each(uneven(1)), vectors(1)
  config = EvalConfig(ks=KS, candidates="sampled", num_negatives=40, held_out_negative=held_out_negative)
  key = jax.random.key(5)

  def candidates(user, item):
    hidden = [*dataset.train.of(user), *dataset.validation.of(user), *([] if held_out_negative else [item])]
    free = np.setdiff1d(np.arange(M), hidden)
    return free[np.asarray(distinct_ranks(jax.random.fold_in(key, user), jnp.int32(len(free)), 40))]

  _, values = evaluated(dataset, config, public, private, key)
  expected = padded_evaluation.values_of_users(dataset, scores, TARGETS, KS, unseen=False, candidates=candidates)
  np.testing.assert_array_equal(values.view(np.int32), expected.view(np.int32))
  assert len(metric_names(config)) == values.shape[1]


def test_one_long_list_among_many_users_takes_the_room_of_its_items():
  num_users, num_items, longest = 20_000, 20_000, 10_000
  one = np.arange(num_users)
  held_out = ItemLists.from_pairs(
    np.concatenate([one[1:], np.zeros(longest, int)]), np.concatenate([one[1:], np.arange(longest)]),
    num_users=num_users,
  )
  train = ItemLists(np.arange(num_users + 1), (one + 1) % num_items)
  turned = Dataset("long training list", num_users, num_items, held_out, train)
  for dataset in (Dataset("long held-out list", num_users, num_items, train, held_out), turned):
    config = EvalConfig(exposure_among="unseen")
    data = evaluation_data(dataset, config, np.array(TARGETS), one)
    assert sum(leaf.nbytes for leaf in jax.tree.leaves(data)) < 2**20
    public, private = Public(jnp.zeros((num_items, 2)), ()), jnp.zeros((num_users, 2))
    compiled = jitted_evaluation.lower(
      as_arguments(models.mf(dim=2)), public, private, data, jax.random.key(0), None, config=config, num_users=num_users
    ).compile()
    # Beside the vectors and one chunk's scores, of which a few copies are made.
    sizes = compiled.memory_analysis()
    assert sizes.argument_size_in_bytes < 2**20 + public.items.nbytes + private.nbytes
    assert sizes.temp_size_in_bytes < 8 * 4 * evaluation.SCORES_PER_CHUNK


def test_shapes_do_not_depend_on_the_order_of_users():
  # A run's program is compiled for the data set and not for who comes first.
  dataset, order = uneven(2), np.random.default_rng(0).permutation(N)
  first, second = (
    evaluation_data(dataset, EvalConfig(), np.array(TARGETS), users) for users in (np.arange(N), order)
  )
  assert [leaf.shape for leaf in jax.tree.leaves(first)] == [leaf.shape for leaf in jax.tree.leaves(second)]
