"""Targets and malicious clients."""

import numpy as np
import pytest

from fedrecjax.config import AttackerConfig, ConfigError
from fedrecjax.datasets import Dataset, ItemLists
from fedrecjax.population import make_population, training_lists


def test_added_clients_leave_all_users_benign(small):
  population = make_population(small, AttackerConfig(malicious_ratio=0.3), 0)
  assert population.users.tolist() == list(range(12))
  assert (population.num_malicious, population.num_benign, population.num_clients) == (3, 12, 15)


def test_converted_clients_are_taken_from_the_users(small):
  drawn = [
    make_population(small, AttackerConfig(malicious_ratio=0.3, membership="converted"), s)
    for s in range(5)
  ]
  for population in drawn:
    assert len(set(population.users)) == 9 and population.users.max() < 12
    assert (np.diff(population.users) > 0).all()
    assert population.num_clients == 12
  assert len({tuple(population.users) for population in drawn}) > 1


@pytest.mark.parametrize(
  ("ratio", "users", "count"), [(0.29, 100, 29), (0.05, 943, 47), (0.01, 50, 0), (0.0, 9, 0)]
)
def test_number_of_malicious_clients_is_rounded_down(ratio, users, count):
  dataset = Dataset(
    "d", users, 5, ItemLists.from_lists([[0]] * users), ItemLists.from_lists([[1]] * users)
  )
  assert make_population(dataset, AttackerConfig(malicious_ratio=ratio), 0).num_malicious == count


def test_least_popular_targets_break_ties_at_random(small):
  config = AttackerConfig(targets="least_popular", num_targets=2)
  chosen = [make_population(small, config, seed).targets for seed in range(20)]
  least = np.sort(small.popularity)[:2]
  for targets in chosen:
    assert np.sort(small.popularity[targets]).tolist() == least.tolist()
  assert len({tuple(targets) for targets in chosen}) > 1


def test_random_targets_are_different_items(small):
  targets = make_population(small, AttackerConfig(num_targets=30), 0).targets
  assert sorted(targets) == list(range(30))


def test_given_targets_keep_their_order(small):
  config = AttackerConfig(targets="given", target_items=(9, 2))
  assert make_population(small, config, 3).targets.tolist() == [9, 2]


@pytest.mark.parametrize(
  ("config", "message"),
  [
    (
      AttackerConfig(targets="given", target_items=(30,)),
      "attacker.target_items: item 30 does not exist",
    ),
    (AttackerConfig(num_targets=31), "attacker.num_targets must be at most the 30 items"),
  ],
)
def test_targets_that_do_not_exist(small, config, message):
  with pytest.raises(ConfigError, match=message):
    make_population(small, config, 0)


def test_training_lists_append_profiles(small):
  population = make_population(
    small, AttackerConfig(malicious_ratio=0.2, membership="converted"), 0
  )
  lists = training_lists(small, population, [np.array([1, 2]), np.array([3])])
  for client, user in enumerate(population.users):
    assert lists.of(client).tolist() == small.train.of(user).tolist()
  assert [lists.of(client).tolist() for client in (10, 11)] == [[1, 2], [3]]
  assert training_lists(small, population, None).lengths[10:].tolist() == [0, 0]


def test_a_client_that_holds_every_item_is_refused(small):
  population = make_population(small, AttackerConfig(malicious_ratio=0.1), 0)
  with pytest.raises(ConfigError, match="client 12 has interacted with all 30 items"):
    training_lists(small, population, [np.arange(30)])
