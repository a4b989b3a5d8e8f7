"""Label flipping in whole rounds, against gradients of the flipped loss."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedrecjax.attacks import label_flip
from fedrecjax.config import AttackerConfig, TrainConfig
from fedrecjax.models import sasrec
from fedrecjax.simulation.round_attack import attack_view, attacking
from fedrecjax.simulation.round_clients import client_view, train
from tests.oracles import label_flip as oracle
from tests.oracles import training
from tests.support.lockstep import assert_rounds_follow, make_run, pairs_of, present_clients, round_input


@pytest.fixture
def flipped(small):
  """A run in which three of twelve clients flip their labels."""

  def make(membership="added", **changes):
    config = {"epochs": 2, "clients_per_round": 6, "learning_rate": 0.5} | changes
    attacker = AttackerConfig(malicious_ratio=0.25, own_items=7, membership=membership)
    return make_run(small, attack=label_flip(), attacker=attacker, train=TrainConfig(**config))

  return make


@pytest.mark.parametrize("negatives", [1, 3])
@pytest.mark.parametrize("reduction", ["sum", "mean"])
@pytest.mark.parametrize("loss", ["bce", "bpr"])
def test_uploads_are_gradients_of_the_flipped_loss(flipped, loss, reduction, negatives):
  run = flipped(loss=loss, reduction=reduction, num_negatives=negatives, negatives="every_round")

  @jax.jit
  def uploads_of(run_constants, state, inputs):
    structure = run.structure
    view = client_view(structure, run_constants, state, inputs)
    seen = attack_view(structure, run_constants, state, inputs)
    hostile = attacking(inputs)
    samples = run_constants.parts.samples(state.attack, view.samples, seen, hostile, jax.random.key(0))
    return train(structure, run_constants, state, view._replace(samples=samples), hostile).uploads

  checked = 0
  for number in range(len(run.rounds.clients)):
    inputs = round_input(run, number)
    uploads = uploads_of(run.constants, run.state, inputs)
    positives, others = pairs_of(run, number)
    for place, client in enumerate(np.asarray(inputs.clients)):
      if not run.structure.num_benign <= client < run.structure.num_clients:
        continue
      _, _, expected = oracle.gradients(
        np.asarray(run.state.private[client], float),
        np.asarray(run.state.server.public.items, float),
        positives[client], others[client], loss=loss, reduction=reduction,
      )
      found = {}
      used = (np.asarray(uploads.client) == place) & (np.asarray(uploads.item) < 30)
      for item, row in zip(np.asarray(uploads.item)[used], np.asarray(uploads.row)[used], strict=True):
        found[int(item)] = found.get(int(item), 0.0) + row.astype(float)
      assert set(found) == set(expected)
      for item, row in expected.items():
        np.testing.assert_allclose(found[item], row, atol=1e-5)
      checked += 1
  assert checked == 2 * 3


@pytest.mark.parametrize("membership", ["added", "converted"])
@pytest.mark.parametrize("loss", ["bce", "bpr"])
def test_rounds_match_a_loop_over_clients(flipped, loss, membership):
  run = flipped(membership, loss=loss, num_negatives=2)
  flips = []

  def trained(number, one, users, table):
    positives, negatives = pairs_of(run, number)
    for client in present_clients(run, one):
      options = {"loss": loss, "reduction": "sum" if not run.structure.mean else "mean"}
      data = users[client], table, positives[client], negatives[client]
      if client < run.structure.num_benign:
        _, for_user, rows = training.client_gradients(*data, duplicates="sum", **options)
      else:
        _, for_user, rows = oracle.gradients(*data, **options)
        flips.append(len(rows) > 0)
      yield client, for_user, rows

  assert_rounds_follow(run, trained, tolerance=1e-4)
  assert sum(flips) == 2 * 3


def test_outside_their_window_clients_behave(small):
  attacker = AttackerConfig(malicious_ratio=0.25, own_items=7, start_epoch=1, stop_epoch=2)
  run = make_run(
    small, attack=label_flip(), attacker=attacker, train=TrainConfig(epochs=3, clients_per_round=6)
  )
  view = run.constants.parts.samples
  for number in range(len(run.rounds.clients)):
    inputs = round_input(run, number)
    hostile = attacking(inputs)
    inside = number // run.rounds.per_epoch == 1
    data = client_view(run.structure, run.constants, run.state, inputs).samples
    flipped_ones = view((), data, None, hostile, None).flipped
    assert np.array_equal(flipped_ones, hostile)
    malicious = np.asarray(inputs.clients) >= run.structure.num_benign
    malicious &= np.asarray(inputs.clients) < run.structure.num_clients
    assert np.asarray(flipped_ones).any() == (inside and malicious.any())


def test_a_history_is_read_as_it_is_and_ranked_the_other_way_round(small):
  model = sasrec(dim=4, length=5, blocks=1, dropout=0.0, init_std=0.5)
  attacker = AttackerConfig(malicious_ratio=0.25, own_items=7)
  train_config = TrainConfig(epochs=1, clients_per_round=100, loss="bpr", reduction="sum")
  run = make_run(small, model=model, attack=label_flip(), attacker=attacker, train=train_config)
  inputs = round_input(run, 0)
  view = client_view(run.structure, run.constants, run.state, inputs)
  hostile = attacking(inputs)

  @jax.jit
  def losses(constants, state, view, flipped):
    view = view._replace(samples=view.samples._replace(flipped=flipped), num_items=30)
    return train(run.structure, constants, state, view, ~flipped).loss

  honest, after = (
    losses(run.constants, run.state, view, one) for one in (jnp.zeros_like(hostile), hostile)
  )
  same = np.asarray(honest) == np.asarray(after)
  assert (same | np.asarray(hostile)).all()
  assert not same[np.asarray(hostile)].any()
