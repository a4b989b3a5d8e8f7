"""Whole rounds with attackers that know honest gradients, beside a loop over clients."""

import numpy as np
import pytest

from fedrecjax.attacks import lie, lie_targeted
from fedrecjax.config import AttackerConfig, TrainConfig
from tests.oracles import crafted, training
from tests.support.lockstep import assert_rounds_follow, make_run, pairs_of, present_clients, simulated


@pytest.mark.parametrize("items", ["known", "own"])
@pytest.mark.parametrize("membership", ["added", "converted"])
@pytest.mark.parametrize("knowledge", ["own", "benign"])
def test_lie(small, knowledge, membership, items):
  # A pool of three are all malicious clients, which take part in some rounds and not in others.
  run = make_run(
    small, attack=lie(z=0.8, knowledge=knowledge, pool=3, items=items),
    attacker=AttackerConfig(malicious_ratio=0.25, own_items=7, membership=membership),
    train=TrainConfig(epochs=2, clients_per_round=6, learning_rate=0.5, negatives="every_round"),
  )
  benign_clients = run.structure.num_benign
  attacked = []

  def trained(number, one, users, table):
    positives, negatives = pairs_of(run, number)
    present = present_clients(run, one)
    malicious = range(benign_clients, run.structure.num_clients)
    gradients = {
      client: training.client_gradients(
        users[client], table, positives[client], negatives[client], loss="bce", reduction="mean",
        duplicates="sum",
      )
      for client in {*present, *malicious}
    }
    known = malicious if knowledge == "own" else [one for one in present if one < benign_clients]
    statistics = crafted.rows_by_item(
      [(client, item, row) for client in known for item, row in gradients[client][2].items()]
    )
    for client in present:
      rows = gradients[client][2]
      if client >= benign_clients:
        attacked.append(client)
        sent = rows if items == "own" else statistics
        rows = {
          item: crafted.lie_row(statistics[item], 0.8, "minus") if item in statistics else rows[item]
          for item in sent
        }
      yield client, gradients[client][1], rows

  assert_rounds_follow(run, trained, tolerance=1e-4)
  assert len(attacked) == 2 * 3


def test_rounds_before_the_attack_are_honest(small):
  def state_after(**changes):
    run = make_run(
      small, attack=lie_targeted(pool=2),
      attacker=AttackerConfig(malicious_ratio=0.25, own_items=7, **changes),
      train=TrainConfig(epochs=2, clients_per_round=20, learning_rate=0.5),
    )
    return [np.asarray(one.after.server.public.items) for one in simulated(run)]

  never, later, always = (
    state_after(start_epoch=2), state_after(start_epoch=1), state_after(start_epoch=0)
  )
  np.testing.assert_allclose(never[0], later[0], atol=1e-6)
  assert np.abs(never[1] - later[1]).max() > 1e-4
  assert np.abs(never[0] - always[0]).max() > 1e-4
