"""Malicious clients that do not attack in a round, or attack by their data alone, do what every client does."""

import dataclasses

import chex
import jax.numpy as jnp
import numpy as np
import pytest

from fedrecjax import attacks, defenses
from fedrecjax.config import AttackerConfig, TrainConfig
from fedrecjax.methods.hyperparameters import remade
from fedrecjax.metrics.stealth import COUNTS
from fedrecjax.simulation.round_attack import attacking
from fedrecjax.simulation.round_clients import client_view, train
from fedrecjax.types import Attack, Defense
from tests.support.lockstep import honest_uploads, make_run, round_input, step

HIDING = {"pseudo_items": 2}
TERMS = {
  "pieck_reg": defenses.pieck_reg(num_popular=5, mining_differences=1),
  "union": defenses.union(num_sampled=10, num_contrastive=3),
}
# Every attack whose clients hold data of their own.
ATTACKS = {
  "label_flip": attacks.label_flip(),
  "fedattack": attacks.fedattack(),
  "gaussian": attacks.gaussian(pool=3),
  "cluster": attacks.cluster(max_clusters=8),
  "boosted_targeted": attacks.boosted_targeted(),
  "pipattack": attacks.pipattack(estimator_steps=3),
}


def run_of(small, attack, *, start, defense=None, **train):
  config = {"epochs": 2, "clients_per_round": "all", "learning_rate": 0.5, "l2": 0.1} | train
  attacker = AttackerConfig(malicious_ratio=0.4, own_items=6, start_epoch=start)
  return make_run(small, attack=attack, defense=defense, attacker=attacker, train=TrainConfig(**config))


def all_honest(run):
  """The same federation in which nobody is malicious."""
  structure = run.structure._replace(num_benign=run.structure.num_clients, own_rows=0, pool_capacity=0)
  parts = run.constants.parts._replace(poison=None, samples=None)
  return run._replace(structure=structure, constants=run.constants._replace(parts=parts))


# What an attack does later and what a defence asks of clients do not meet here.
@pytest.mark.parametrize(
  ("attack", "defense"), [*(("label_flip", defense) for defense in TERMS), *((attack, None) for attack in ATTACKS)]
)
def test_before_its_start_an_attacker_is_an_honest_user(small, attack, defense):
  """Under label flipping to the bit; elsewhere another order of adding up may round otherwise."""
  run = run_of(small, ATTACKS[attack], start=1, defense=TERMS.get(defense), l2_clients="benign", **HIDING)
  honest = all_honest(run)
  state, expected = run.state, run.state
  for number in range(run.rounds.per_epoch):
    inputs = round_input(run, number)
    assert (np.asarray(inputs.malicious) < 0).all()
    state, _ = step(run.structure, run.constants, state, inputs)
    expected, _ = step(honest.structure, honest.constants, expected, inputs)
  chex.assert_trees_all_close(state.server.public, expected.server.public, atol=1e-6)
  chex.assert_trees_all_close(state.private, expected.private, atol=1e-6)


@pytest.mark.parametrize("defense", [None, *TERMS])
@pytest.mark.parametrize("attack", ["label_flip", "fedattack"])
def test_poisoned_data_is_uploaded_like_any_other(small, attack, defense):
  """What is sent is what the same clients would send for the same samples if they were honest."""
  run = run_of(small, ATTACKS[attack], start=0, defense=TERMS.get(defense), **HIDING)
  inputs = round_input(run, 0)
  assert bool(attacking(inputs).any())
  view = client_view(run.structure, run.constants, run.state, inputs)
  nobody = jnp.zeros(inputs.clients.shape[0], bool)
  found = train(run.structure, run.constants, run.state, view, attacking(inputs)).uploads
  expected = train(run.structure, run.constants, run.state, view, nobody).uploads
  assert found.item.tolist() == expected.item.tolist() and found.client.tolist() == expected.client.tolist()
  np.testing.assert_array_equal(found.row, expected.row)


def behaving():
  """An attack in which malicious clients send what they would send anyway."""
  return Attack(lambda state, uploads, view, key: (uploads, state), requires=frozenset({"own_data"}))


@pytest.mark.parametrize("scope", ["item", "client"])
@pytest.mark.parametrize(
  "rule",
  [
    # Their last picks tie: of two rows that are each other's nearest one is taken.
    defenses.multi_krum(f=1.0, f_rule="number"),
    defenses.multi_krum(f=1.0, f_rule="number", reading="drop"),
    defenses.bulyan(f=1.0, f_rule="number"),
    defenses.krum(f=1.0, f_rule="number"),
    defenses.median(),
    defenses.none(scale="mean"),
  ],
  ids=["iterative", "drop", "bulyan", "krum", "median", "mean"],
)
def test_attackers_that_behave_are_treated_like_others(small, rule, scope):
  run = run_of(small, behaving(), start=0, defense=remade(rule, scope=scope), l2=0.0)
  honest = all_honest(run)
  state, expected = run.state, run.state
  for number in range(2):
    inputs = round_input(run, number)
    assert bool(attacking(inputs).any())
    state, report = step(run.structure, run.constants, state, inputs)
    expected, of_honest = step(honest.structure, honest.constants, expected, inputs)
    if report.verdicts is not None:
      # Rows left out, whoever sent them.
      assert report.verdicts[0, 1, [0, 2]].sum() == of_honest.verdicts[0, 1, [0, 2]].sum()
  chex.assert_trees_all_close(state.server.public, expected.server.public, atol=1e-5)


def test_rows_of_an_item_are_in_order_of_clients_whoever_attacks(small):
  def look(state, uploads, view):
    item, client = uploads.item, uploads.client
    used = (item[1:] < view.num_items) & (item[1:] == item[:-1])
    return uploads, state + jnp.stack([jnp.sum(used), jnp.sum(used & (client[1:] <= client[:-1]))])

  watching = Defense(filter=look, init=lambda key, context: jnp.zeros(2, jnp.int32))
  run = run_of(small, behaving(), start=0, defense=watching)
  state, _ = step(run.structure, run.constants, run.state, round_input(run, 0))
  pairs, disordered = state.server.defense[0].tolist()
  assert pairs > 10 and disordered == 0


@pytest.mark.parametrize("transform", [None, Defense(client_transform=lambda state, uploads, view: (uploads, state))])
def test_stealth_counts_one_row_per_client_and_item(small, transform):
  """By hand: what each client uploads for an item counts once, whatever the defence asks for."""
  run = run_of(small, behaving(), start=0, defense=transform, num_negatives=3, l2=0.0)
  inputs = round_input(run, 0)
  uploads = honest_uploads(run, run.state, inputs)
  pairs = {(client, item) for client, item in zip(uploads.client.tolist(), uploads.item.tolist()) if item < 30}
  hostile = set(np.flatnonzero(attacking(inputs)).tolist())
  _, report = step(run.structure, run.constants, run.state, inputs)
  found = dict(zip(COUNTS, report.stealth.tolist(), strict=True))
  assert found["malicious_rows"] == sum(client in hostile for client, _ in pairs)
  assert found["benign_rows"] == sum(client not in hostile for client, _ in pairs)
  assert int((uploads.item < 30).sum()) > len(pairs)


def test_whoever_has_nothing_to_train_on_stays_where_it_is(small):
  lists = [small.train.of(user).tolist() for user in range(small.num_users)]
  lists[2] = []
  dataset = dataclasses.replace(small, train=type(small.train).from_lists(lists))
  run = make_run(dataset, train=TrainConfig(epochs=1, clients_per_round="all", learning_rate=0.5, l2=0.3))
  after, _ = step(run.structure, run.constants, run.state, round_input(run, 0))
  moved = (np.asarray(after.private) != np.asarray(run.state.private)).any(axis=1)
  assert moved.tolist() == [user != 2 for user in range(small.num_users)]
