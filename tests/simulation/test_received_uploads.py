"""What the server receives in chosen rounds, against the rounds that a run goes through."""

import numpy as np
import pytest

from fedrecjax import attacks
from fedrecjax.config import AttackerConfig, TrainConfig
from fedrecjax.defenses.union import draw_round
from fedrecjax.simulation.received_uploads import received_uploads
from fedrecjax.simulation.round_attack import attacking
from fedrecjax.simulation.round_clients import client_view
from fedrecjax.simulation.round_server import server_view
from tests.support.lockstep import as_summed, final_state, honest_uploads, make_run, round_input

TRAIN = TrainConfig(epochs=3, clients_per_round=5, learning_rate=0.3)


def entries(uploads, num_items):
  client, item, row = (np.asarray(part) for part in uploads[:3])
  used = item < num_items
  return list(zip(client[used].tolist(), item[used].tolist(), row[used].astype(float), strict=True))


def test_rows_are_those_of_the_round(small):
  def made():
    return make_run(small, train=TRAIN)

  run = made()
  before = final_state(run, 4)
  inputs = round_input(run, 4)
  first, second = received_uploads(made(), [4, 2])
  assert (first.round, second.round) == (2, 4)
  places = np.asarray(inputs.clients) < run.structure.num_clients
  np.testing.assert_array_equal(second.present, places)
  assert not second.malicious.any()
  sent = entries(honest_uploads(run, before, inputs), small.num_items)
  for client in np.flatnonzero(places):
    expected = as_summed([one for one in sent if one[0] == client])
    found = {int(item): row for item, row in zip(second.item[second.client == client],
                                                  second.row[second.client == client], strict=True)}
    assert set(found) == set(expected)
    for item, row in found.items():
      np.testing.assert_allclose(row, expected[item], atol=1e-6)


def test_how_far_apart_an_upload_alone_leaves_the_sampled_items(small):
  attacker = AttackerConfig(malicious_ratio=0.35)
  run = make_run(small, train=TRAIN, attack=attacks.explicit_boosting(), attacker=attacker)
  before, inputs = final_state(run, 1), round_input(run, 1)
  (one,) = received_uploads(make_run(small, train=TRAIN, attack=attacks.explicit_boosting(), attacker=attacker), [1],
                            num_sampled=12)
  np.testing.assert_array_equal(one.malicious, attacking(inputs))
  assert one.malicious.any() and set(one.item[one.malicious[one.client]]) == set(run.population.targets)
  length = client_view(run.structure, run.constants, before, inputs).samples.trained
  seen = server_view(run.structure, run.constants, before, inputs, length)
  items = np.asarray(draw_round(seen, sample="shared", num_sampled=12, num_references=1).items)
  table = np.asarray(before.server.public.items, float)
  for client in np.flatnonzero(one.present):
    moved = table.copy()
    own = one.client == client
    np.subtract.at(moved, one.item[own], 0.3 * one.row[own])
    sampled = moved[items]
    apart = np.linalg.norm(sampled[:, None] - sampled[None], axis=2)
    pairs = len(items) * (len(items) - 1)
    assert one.uniformity[client] == pytest.approx(apart.sum() / pairs, rel=1e-4)


def test_a_round_that_there_is_not(small):
  with pytest.raises(ValueError, match=r"between 0 and the run's last, 8, got 9"):
    list(received_uploads(make_run(small, train=TRAIN), [9]))
