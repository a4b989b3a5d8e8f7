"""Step sizes of the clients: one for all, or each client's own."""

import numpy as np
import pytest

from fedrecjax.config import TrainConfig
from fedrecjax.simulation.planning import client_rates
from tests.oracles import training
from tests.support.lockstep import make_run, pairs_of, simulated

COUNT = 4000


def rates(kind, low, high, *, seed=0, count=COUNT):
  train = TrainConfig(learning_rate=high, client_learning_rate=low, client_learning_rates=kind)
  return np.asarray(client_rates(train, count, seed), float)


def test_one_for_all():
  assert client_rates(TrainConfig(learning_rate=0.3), 5, 0) == 0.3
  assert client_rates(TrainConfig(learning_rate=0.3, client_learning_rate=0.1), 5, 0) == 0.1


@pytest.mark.parametrize(("low", "high"), [(0.001, 1.0), (0.5, 0.25)], ids=["below", "above"])
@pytest.mark.parametrize("kind", ["uniform", "log_uniform"])
def test_they_are_spread_over_the_range(kind, low, high):
  found = rates(kind, low, high)
  assert found.shape == (COUNT,)
  assert found.min() >= min(low, high) * (1 - 1e-6)
  assert found.max() <= max(low, high) * (1 + 1e-6)
  scaled = np.log if kind == "log_uniform" else np.asarray
  share = (scaled(found) - scaled(low)) / (scaled(high) - scaled(low))
  # A tenth of the clients in each tenth of the range, within five standard deviations.
  counts = np.histogram(share, bins=10, range=(-1e-6, 1 + 1e-6))[0]
  assert counts.sum() == COUNT
  assert np.abs(counts - COUNT / 10).max() < 5 * np.sqrt(COUNT * 0.1 * 0.9)


def test_the_two_distributions_differ():
  assert np.median(rates("uniform", 0.001, 1.0)) == pytest.approx(0.5, abs=0.05)
  assert np.median(rates("log_uniform", 0.001, 1.0)) == pytest.approx(0.0316, rel=0.3)


def test_they_follow_the_seed_and_each_client_has_its_own():
  first, again, other = (rates("uniform", 0.1, 1.0, seed=seed) for seed in (1, 1, 2))
  np.testing.assert_array_equal(first, again)
  assert not np.array_equal(first, other)
  assert len(np.unique(first)) > 0.99 * COUNT
  # More clients leave the first ones' alone.
  np.testing.assert_array_equal(rates("uniform", 0.1, 1.0, seed=1, count=10), first[:10])


@pytest.mark.parametrize("kind", ["uniform", "log_uniform"])
def test_rounds_use_them(small, kind):
  train = TrainConfig(
    epochs=2, clients_per_round=5, learning_rate=0.8, client_learning_rate=0.05,
    client_learning_rates=kind,
  )
  run = make_run(small, train=train, seed=3)
  own = np.asarray(client_rates(train, 12, 3), float)
  assert own.min() < 0.5 * own.max()
  users = np.asarray(run.state.private, float)
  for number, one in enumerate(simulated(run)):
    positives, negatives = pairs_of(run, number)
    table = np.asarray(one.before.server.public.items, float)
    expected = table.copy()
    present = [int(client) for client in one.inputs.clients if client < 12]
    for client in present:
      _, for_user, rows = training.client_gradients(
        users[client], table, positives[client], negatives[client],
        loss="bce", reduction="mean", duplicates="sum",
      )
      users[client] -= own[client] * for_user
      for item, row in rows.items():
        # The server has one step size for everybody's rows.
        expected[item] -= 0.8 * row
    np.testing.assert_allclose(one.after.private, users, atol=1e-5)
    np.testing.assert_allclose(one.after.server.public.items, expected, atol=1e-5)
