"""Targets and malicious clients."""

import dataclasses

import numpy as np
import pytest

from fedrecjax.config import AttackerConfig, ConfigError, TrainConfig
from fedrecjax.datasets import Dataset, ItemLists
from fedrecjax.federation.population import make_population, training_lists
from tests.support.lockstep import make_run, pairs_of


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


@pytest.mark.parametrize("membership", ["added", "converted"])
@pytest.mark.parametrize("ratio", [0.01, 0.03, 0.25, 0.5, 0.8])
def test_what_a_share_is_of(membership, ratio):
  """The largest number of malicious clients whose share of what is named is at most the ratio."""
  users = 943
  dataset = Dataset(
    "d", users, 5, ItemLists.from_lists([[0]] * users), ItemLists.from_lists([[1]] * users)
  )
  for ratio_of in ("users", "all", "benign"):

    def share(count, ratio_of=ratio_of):
      benign = users if membership == "added" else users - count
      return count / {"users": users, "all": benign + count, "benign": benign}[ratio_of]

    config = AttackerConfig(malicious_ratio=ratio, ratio_of=ratio_of, membership=membership)
    count = make_population(dataset, config, 0).num_malicious
    assert share(count) <= ratio + 1e-9 < share(count + 1)


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


def test_a_user_who_holds_every_item_is_named(small):
  lists = ItemLists.from_lists([range(30), *(small.train.of(user) for user in range(1, small.num_users))])
  named = dataclasses.replace(small, train=lists, user_names=[f"u{user}" for user in range(small.num_users)])
  population = make_population(named, AttackerConfig(malicious_ratio=0.0), 0)
  with pytest.raises(ConfigError, match=r"client 0 \(user u0\) has interacted with all 30 items"):
    training_lists(named, population, None)


@pytest.mark.parametrize("negatives", ["once", "every_round"])
def test_negatives_outside_everything_a_user_has_interacted_with(small, negatives):
  """Users 5 to 11 have held-out items that no other choice leaves out."""
  aside = ItemLists.from_lists([[(user + 20) % 30] for user in range(12)])
  dataset = Dataset("d", 12, 30, small.train, small.test, validation=aside)
  seen = {"training": set(), "interacted": set()}
  for outside, found in seen.items():
    train = TrainConfig(epochs=1, num_negatives=20, negatives=negatives, negatives_outside=outside)
    run = make_run(dataset, train=train)
    for number in range(len(run.rounds.clients)):
      _, drawn = pairs_of(run, number)
      for user in range(12):
        hidden = {*small.test.of(user).tolist(), *aside.of(user).tolist()}
        found |= {(user, item) for item in hidden & set(drawn[user].reshape(-1).tolist())}
        assert not set(drawn[user].reshape(-1).tolist()) & set(small.train.of(user).tolist())
  # A held-out item that is a training item too is never drawn.
  assert seen["interacted"] == set() and len(seen["training"]) > 15


def test_nothing_is_left_to_draw_outside_everything(small):
  full = ItemLists.from_lists([list(range(29))] + [[0]] * 11)
  dataset = Dataset("full", 12, 30, full, ItemLists.from_lists([[29]] + [[1]] * 11))
  with pytest.raises(ConfigError, match=r"train.negatives_outside: client 0 of full has interacted"):
    make_run(dataset, train=TrainConfig(epochs=1, negatives_outside="interacted"))
