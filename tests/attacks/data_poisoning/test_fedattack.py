"""FedAttack's samples against the oracle, for every kind of model."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedrecjax.attacks import fedattack
from fedrecjax.attacks.data_poisoning.fedattack import hard_items, user_vectors
from fedrecjax.clients.user_vectors import sequence_vectors, set_vectors
from fedrecjax.config import AttackerConfig, TrainConfig
from fedrecjax.models import fedgnn, lightgcn, mf, ncf, sasrec
from fedrecjax.simulation.round_attack import attack_view, attacking
from fedrecjax.simulation.round_clients import client_view
from tests.oracles import fedattack as oracle
from tests.oracles import training
from tests.support.lockstep import (
  assert_rounds_follow,
  final_state,
  make_run,
  pairs_of,
  present_clients,
  round_input,
)

M = 30
MODELS = {
  "mf": mf(dim=4, init_std=0.7),
  "ncf": ncf(dim=4, hidden=(5,), init_std=0.7),
  "lightgcn": lightgcn(dim=4, hidden=(5,), init_std=0.7),
  "fedgnn": fedgnn(dim=4, init_std=0.7),
  "sasrec": sasrec(dim=4, length=5, blocks=1, init_std=0.7),
}


def run_with(dataset, model, attack=None, attacker=None, **changes):
  attacker = attacker or {}
  return make_run(
    dataset, model=model, attack=attack or fedattack(),
    attacker=AttackerConfig(**({"malicious_ratio": 0.25, "own_items": 7} | attacker)),
    train=TrainConfig(
      **({"epochs": 2, "clients_per_round": 6, "learning_rate": 0.5, "num_negatives": 3} | changes)
    ),
  )


def poisoned(run, number=0, key=0):
  """Samples of a round before and after, and what the attackers see."""

  @jax.jit
  def samples_of(constants, state, inputs, key):
    before = client_view(run.structure, constants, state, inputs).samples
    seen = attack_view(run.structure, constants, state, inputs)
    after = constants.parts.samples(state.attack, before, seen, attacking(inputs), key)
    return before, after

  inputs = round_input(run, number)
  before, after = samples_of(run.constants, run.state, inputs, jax.random.key(key))
  seen = attack_view(run.structure, run.constants, run.state, inputs)
  return inputs, before, after, seen


def scores_of(run, seen, place, positives):
  """All items' scores for an attacker's vector, made of its own items in a model that does so."""
  model, (table, shared) = run.constants.parts.model, run.state.server.public
  model = model._replace(history=run.structure.history)
  user = seen.private[place]
  rows = table[np.asarray(positives)]
  if model.encode is not None:
    length = run.structure.history
    latest = rows[-length:]
    padded = jnp.concatenate([jnp.zeros((length - len(latest), rows.shape[1])), latest])
    valid = jnp.arange(length) >= length - len(latest)
    user = sequence_vectors(model, padded[None], valid[None], shared)[0, -1]
  elif model.attend is not None:
    nobody = jnp.zeros(len(rows), jnp.int32)
    user = set_vectors(model, user[None], rows, nobody, jnp.ones(len(rows), bool), shared)[0]
  return np.asarray(model.score(run.state.server.public, user, None), float)


@pytest.mark.parametrize("excluded", ["sample", "client"])
@pytest.mark.parametrize("membership", ["added", "converted"])
@pytest.mark.parametrize("name", MODELS)
def test_samples(small, name, membership, excluded):
  attacker = {"membership": membership}
  run = run_with(small, MODELS[name], fedattack(excluded=excluded), attacker)
  attackers = 0
  for number in range(run.rounds.per_epoch):
    _, before, after, seen = poisoned(run, number)
    own = np.asarray(seen.slot)[np.asarray(seen.active)]
    of_attacker = np.isin(before.client, own) & np.asarray(before.valid)
    for one, two in zip(before, after, strict=True):
      if one is not None and one.shape[0] == len(of_attacker):
        np.testing.assert_array_equal(np.asarray(one)[~of_attacker], np.asarray(two)[~of_attacker])
    np.testing.assert_array_equal(before.length, after.length)
    np.testing.assert_array_equal(before.trained, after.trained)
    items = np.concatenate([np.asarray(after.positive)[:, None], after.negatives], axis=1)
    sent = np.asarray(after.uploaded)
    unused = np.asarray(before.uploaded) == M
    assert (sent[unused] == M).all()
    np.testing.assert_array_equal(sent[~unused], items[~unused])
    for place in np.flatnonzero(seen.active):
      attackers += 1
      mine = of_attacker & (np.asarray(before.client) == int(seen.slot[place]))
      positives = np.asarray(before.positive)[mine]
      assert len(positives) > 0
      scores = scores_of(run, seen, place, positives)
      expected = oracle.samples(scores, positives, 3, exclude_all=excluded == "client")
      assert np.asarray(after.positive)[mine].tolist() == [one for one, _ in expected]
      assert np.asarray(after.negatives)[mine].tolist() == [many for _, many in expected]
  assert attackers == 3


def test_the_first_item_of_a_history_is_only_read(small):
  run = run_with(small, MODELS["sasrec"], clients_per_round=100)
  _, before, after, seen = poisoned(run)
  for slot in np.asarray(seen.slot)[np.asarray(seen.active)]:
    first = int(np.flatnonzero((np.asarray(before.client) == slot) & np.asarray(before.valid))[0])
    assert after.uploaded[first].tolist() == [int(after.positive[first]), M, M, M]
    assert (np.asarray(after.uploaded[first + 1]) < M).all()


def test_only_places_that_were_uploaded_are(small):
  run = run_with(small, MODELS["mf"], duplicates="first", clients_per_round=100)
  _, before, after, _ = poisoned(run)
  unused = np.asarray(before.uploaded) == M
  assert unused[np.asarray(before.valid)].any()
  np.testing.assert_array_equal(np.asarray(after.uploaded) == M, unused)


def test_ties_and_few_items():
  # Items of equal scores are ranked by id; 5 is the sample's own.
  highest, lowest = jnp.array([2, 5, 0, 1]), jnp.array([3, 4, 1, 0])
  positive, negatives = hard_items(highest, lowest, 1, jnp.arange(3), 0)
  assert int(positive) == 3 and negatives.tolist() == [2, 0, 1]
  positive, negatives = hard_items(highest, lowest, 4, jnp.arange(3), 2)
  assert int(positive) == 1 and negatives.tolist() == [2, 5, 0]


def test_all_items_tie(small):
  run = run_with(small, mf(dim=4), clients_per_round=100)
  state = run.state
  public = state.server.public._replace(items=jnp.zeros_like(state.server.public.items))
  run = run._replace(state=state._replace(server=state.server._replace(public=public)))
  _, before, after, seen = poisoned(run)
  checked = 0
  for place in np.flatnonzero(seen.active):
    mine = (np.asarray(before.client) == int(seen.slot[place])) & np.asarray(before.valid)
    positives = np.asarray(before.positive)[mine]
    expected = oracle.samples(np.zeros(M), positives, 3, exclude_all=False)
    assert np.asarray(after.positive)[mine].tolist() == [one for one, _ in expected]
    assert np.asarray(after.negatives)[mine].tolist() == [many for _, many in expected]
    checked += 1
  assert checked > 0


@pytest.mark.parametrize("excluded", ["sample", "client"])
def test_a_hard_share_is_drawn_from_evenly(small, excluded):
  # A fifth of 30 items: negatives from the best 6 that are allowed, positives from the last 6.
  attack = fedattack(hard_share=0.2, excluded=excluded)
  run = run_with(small, MODELS["mf"], attack, clients_per_round=100)
  _, before, _, seen = poisoned(run)
  slot = int(seen.slot[0])
  mine = (np.asarray(before.client) == slot) & np.asarray(before.valid)
  positives = np.asarray(before.positive)[mine]
  scores = scores_of(run, seen, 0, positives)

  @jax.jit
  def draw(samples, before, seen, hostile, keys):
    seen = seen._replace(num_clients=before.length.shape[0])
    return jax.vmap(lambda key: samples((), before, seen, hostile, key))(keys)

  hostile = attacking(round_input(run, 0))
  keys = jax.random.split(jax.random.key(1), 1500)
  after = draw(run.constants.parts.samples, before, seen, hostile, keys)
  negatives, drawn = np.asarray(after.negatives)[:, mine], np.asarray(after.positive)[:, mine]
  lowest = set(np.argsort(scores)[:6].tolist())
  for sample, positive in enumerate(positives):
    allowed = oracle.negatives_of(scores, positives if excluded == "client" else [positive], 6)
    counts = np.bincount(negatives[:, sample].ravel(), minlength=M)
    assert set(np.flatnonzero(counts).tolist()) == set(allowed)
    # 3 of 6 in each of 1500 rounds: 750, with a standard deviation below 20.
    assert np.abs(counts[allowed] - 750).max() < 120
    assert all(len(set(three.tolist())) == 3 for three in negatives[:, sample])
    found, times = np.unique(drawn[:, sample], return_counts=True)
    assert set(found.tolist()) == lowest and np.abs(times - 250).max() < 90
  # Samples are drawn apart from each other.
  assert (negatives[:, 0] != negatives[:, 1]).any() and (drawn[:, 0] != drawn[:, 1]).any()


def test_a_hard_share_is_never_too_small(small):
  run = run_with(small, MODELS["mf"], fedattack(hard_share=1e-6), clients_per_round=100)
  _, before, after, seen = poisoned(run)
  _, _, hardest, _ = poisoned(run_with(small, MODELS["mf"], clients_per_round=100))
  mine = np.isin(before.client, np.asarray(seen.slot)[np.asarray(seen.active)])
  mine &= np.asarray(before.valid)
  assert mine.any()
  np.testing.assert_array_equal(
    np.sort(np.asarray(after.negatives)[mine]), np.sort(np.asarray(hardest.negatives)[mine])
  )
  np.testing.assert_array_equal(after.positive, hardest.positive)


def test_rounds_train_rows_and_own_vectors_on_poisoned_samples(small):
  run = run_with(small, MODELS["mf"], loss="bpr", clients_per_round=5)

  def trained(number, one, users, table):
    positives, negatives = pairs_of(run, number)
    for client in present_clients(run, one):
      chosen, others = positives[client], negatives[client]
      if client >= run.structure.num_benign:
        hard = oracle.samples(table @ users[client], chosen, 3, exclude_all=False)
        chosen, others = [one for one, _ in hard], np.array([many for _, many in hard])
      _, for_user, rows = training.client_gradients(
        users[client], table, chosen, others, loss="bpr",
        reduction="mean" if run.structure.mean else "sum", duplicates="sum",
      )
      yield client, for_user, rows

  assert_rounds_follow(run, trained, tolerance=1e-4)


@pytest.mark.parametrize("name", MODELS)
def test_rounds_stay_finite(small, name):
  run = run_with(small, MODELS[name])
  chex.assert_tree_all_finite(final_state(run))


def test_a_vector_without_data_of_others(small):
  run = run_with(small, MODELS["lightgcn"], clients_per_round=100)
  inputs, before, _, seen = poisoned(run)
  hostile = attacking(inputs)
  seen = seen._replace(model=seen.model._replace(history=0))
  found = user_vectors(before, seen, hostile)
  changed = before._replace(
    positive=jnp.where(hostile[before.client], before.positive, (before.positive + 1) % M)
  )
  np.testing.assert_array_equal(found, user_vectors(changed, seen, hostile))


@pytest.mark.parametrize("share", [0.0, -0.5, 1.5])
def test_impossible_shares_are_named(share):
  with pytest.raises(ValueError, match=r"fedattack\.hard_share must be above 0 and at most 1"):
    fedattack(hard_share=share)
