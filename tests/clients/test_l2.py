"""The L2 penalty in its three readings, against a round in NumPy."""

import collections

import numpy as np
import pytest

from fedrecjax.attacks import random
from fedrecjax.config import AttackerConfig, TrainConfig
from fedrecjax.models import ncf
from tests.oracles import training
from tests.support.lockstep import as_summed, make_run, pairs_of, simulated

WEIGHT = 0.3


def penalized(weight, table, rows, entries, l2_rows, duplicates):
  """A client's rows with the gradient of half the weight times the squared norms of its rows."""
  rows = dict(rows)
  if l2_rows == "uploaded":
    for item in rows:
      rows[item] = rows[item] + weight * table[item]
  elif l2_rows == "copies":
    for item, count in collections.Counter(entries).items():
      copies = count if duplicates == "sum" else 1
      rows[item] = rows[item] + weight * copies * table[item]
  return rows


def assert_rounds_match(run, train, l2_rows):
  users = np.asarray(run.state.private, float)
  table = np.asarray(run.state.server.public.items, float)
  repeated = 0
  for number, one in enumerate(simulated(run)):
    positives, negatives = pairs_of(run, number)
    uploads = []
    moved = users.copy()
    for client in one.inputs.clients.tolist():
      if client >= run.structure.num_clients:
        continue
      entries = [
        int(item)
        for positive, others in zip(positives[client], negatives[client], strict=True)
        for item in (positive, *others)
      ]
      repeated += len(entries) - len(set(entries))
      _, for_user, rows = training.client_gradients(
        users[client], table, positives[client], negatives[client],
        loss=train.loss, reduction=train.reduction, duplicates=train.duplicates,
      )
      own = WEIGHT if train.l2_clients == "all" or client < run.structure.num_benign else 0.0
      moved[client] -= train.client_learning_rate * (for_user + own * users[client])
      rows = penalized(own, table, rows, entries, l2_rows, train.duplicates)
      uploads += [(client, item, row) for item, row in rows.items()]
    update = as_summed(uploads)
    users = moved
    after = table.copy()
    for item in range(len(table)):
      step = update.get(item, 0.0) + (WEIGHT * table[item] if l2_rows == "table" else 0.0)
      after[item] = table[item] - train.learning_rate * step
    table = after
    np.testing.assert_allclose(one.after.private, users, atol=2e-5, err_msg=f"round {number}")
    np.testing.assert_allclose(
      one.after.server.public.items, table, atol=2e-5, err_msg=f"round {number}"
    )
  assert repeated > 10


@pytest.mark.parametrize("duplicates", ["sum", "first"])
@pytest.mark.parametrize("l2_rows", ["uploaded", "copies", "table"])
def test_rounds_match_the_reading(small, l2_rows, duplicates):
  train = TrainConfig(
    epochs=2, clients_per_round=5, loss="bpr", reduction="sum", num_negatives=3, learning_rate=0.05,
    client_learning_rate=0.02, l2=WEIGHT, l2_rows=l2_rows, duplicates=duplicates,
  )
  assert_rounds_match(make_run(small, train=train), train, l2_rows)


def test_a_mean_over_terms_leaves_the_penalty_alone(small):
  train = TrainConfig(
    epochs=1, clients_per_round=5, num_negatives=3, learning_rate=0.05, client_learning_rate=0.02,
    l2=WEIGHT, l2_rows="uploaded",
  )
  assert_rounds_match(make_run(small, train=train), train, "uploaded")


@pytest.mark.parametrize("l2_clients", ["all", "benign"])
@pytest.mark.parametrize("l2_rows", ["uploaded", "copies", "table"])
def test_malicious_clients_with_profiles_may_train_without_it(small, l2_rows, l2_clients):
  train = TrainConfig(
    epochs=2, clients_per_round=5, loss="bpr", num_negatives=3, learning_rate=0.05, client_learning_rate=0.02,
    l2=WEIGHT, l2_rows=l2_rows, l2_clients=l2_clients,
  )
  run = make_run(small, train=train, attack=random(max_rows=16), attacker=AttackerConfig(malicious_ratio=0.25))
  assert run.structure.num_clients > run.structure.num_benign
  assert_rounds_match(run, train, l2_rows)


def test_the_readings_differ_where_items_repeat(small):
  ends = []
  for l2_rows in ("uploaded", "copies", "table"):
    train = TrainConfig(
      epochs=1, clients_per_round=12, num_negatives=3, learning_rate=0.1, l2=WEIGHT, l2_rows=l2_rows
    )
    [one] = simulated(make_run(small, train=train))
    ends.append(np.asarray(one.after.server.public.items))
  for first, second in ((0, 1), (0, 2), (1, 2)):
    assert np.abs(ends[first] - ends[second]).max() > 1e-3


@pytest.mark.parametrize(("l2_rows", "penalised"), [("uploaded", False), ("copies", False), ("table", True)])
def test_shared_parameters_are_penalised_as_part_of_the_table_alone(small, l2_rows, penalised):
  ends = []
  for weight in (0.0, WEIGHT):
    train = TrainConfig(
      epochs=1, clients_per_round=12, learning_rate=0.1, l2=weight, l2_rows=l2_rows
    )
    [one] = simulated(make_run(small, train=train, model=ncf(dim=4, hidden=(3,), init_std=0.7)))
    ends.append(one.after.server.public.shared["kernel"])
    before = np.asarray(one.before.server.public.shared["kernel"])
  expected = 0.1 * WEIGHT * before if penalised else 0.0 * before
  np.testing.assert_allclose(np.asarray(ends[0]) - np.asarray(ends[1]), expected, atol=1e-6)
