"""The L2 penalty in its three readings, against a round in NumPy."""

import collections

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedrecjax.attacks import random
from fedrecjax.config import AttackerConfig, EvalConfig, TrainConfig
from fedrecjax.models import mf, ncf
from fedrecjax.simulation.runner import simulate
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


def penalty_of(weight, user, table, rows, entries, l2_rows, duplicates):
  """Half the weight times the squared norms that a client penalizes."""
  squares = user @ user
  if l2_rows == "uploaded":
    squares += sum(table[item] @ table[item] for item in rows)
  elif l2_rows == "copies":
    for item in entries if duplicates == "sum" else set(entries):
      squares += table[item] @ table[item]
  else:
    squares += (table**2).sum()
  return weight / 2 * squares


def assert_rounds_match(run, train, l2_rows):
  users = np.asarray(run.state.private, float)
  table = np.asarray(run.state.server.public.items, float)
  repeated = 0
  for number, one in enumerate(simulated(run)):
    positives, negatives = pairs_of(run, number)
    uploads, penalty = [], 0.0
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
      if client < run.structure.num_benign:
        penalty += penalty_of(own, users[client], table, rows, entries, l2_rows, train.duplicates)
      moved[client] -= train.client_learning_rate * (for_user + own * users[client])
      rows = penalized(own, table, rows, entries, l2_rows, train.duplicates)
      uploads += [(client, item, row) for item, row in rows.items()]
    assert one.penalty == pytest.approx(penalty, rel=1e-5)
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
    public = one.before.server.public
  expected = 0.1 * WEIGHT * before if penalised else 0.0 * before
  np.testing.assert_allclose(np.asarray(ends[0]) - np.asarray(ends[1]), expected, atol=1e-6)
  assert one.penalty is not None
  if penalised:
    parts = [public.items, *jax.tree.leaves(public.shared)]
    squares = 12 * sum(float(jnp.sum(leaf**2)) for leaf in parts) + float(jnp.sum(one.before.private**2))
    assert one.penalty == pytest.approx(WEIGHT / 2 * squares, rel=1e-5)


def test_the_loss_with_the_term_stands_beside_the_one_without(small):
  """Points of two epochs; without the term there is one column."""
  train = TrainConfig(epochs=4, clients_per_round=5, learning_rate=0.05, l2=WEIGHT, l2_rows="copies")
  run = make_run(small, train=train)
  rounds = list(simulated(run))
  result = simulate(small, model=mf(dim=4, init_std=0.7), train=train, attacker=AttackerConfig(malicious_ratio=0.0),
                    evaluation=EvalConfig(ks=(5,), every=2))
  half = len(rounds) // 2
  for place, part in enumerate((rounds[:half], rounds[half:])):
    terms = sum(one.penalty for one in part) / sum(one.benign for one in part)
    added = result.metrics["train_loss_l2"][place] - result.metrics["train_loss"][place]
    assert added == pytest.approx(terms, rel=1e-4) and terms > 0
  plain = simulate(small, model=mf(dim=4), train=TrainConfig(epochs=1), evaluation=EvalConfig(ks=(5,)))
  assert "train_loss_l2" not in plain.metrics
