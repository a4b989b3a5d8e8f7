"""What clients do with their own vectors: descent, an Adam each, one Adam over the table."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from fedrecjax.clients.optimizer import init_client_optimizer, step_private
from fedrecjax.config import TrainConfig
from tests.oracles import training
from tests.oracles.adam import Adam
from tests.support.lockstep import make_run, pairs_of, simulated

N, D = 6, 3
EMPTY = N
# The last round is short, and client 5 never takes part.
ROUNDS = [[0, 3, 1], [3, 2, 0], [4, 1, 3], [0, EMPTY, EMPTY]]
step = jax.jit(step_private)


def gradients(number):
  return np.random.default_rng(number).normal(size=(3, D)).astype(np.float32)


def start():
  return np.random.default_rng(9).normal(size=(N, D)).astype(np.float32)


def all_rounds(name, rates):
  private = jnp.asarray(start())
  optimizer = init_client_optimizer(name, private)
  for number, clients in enumerate(ROUNDS):
    before = np.asarray(private)
    private, optimizer = step(
      optimizer, private, jnp.array(clients), jnp.asarray(gradients(number)), jnp.asarray(rates)
    )
    yield clients, before, np.asarray(private), optimizer


def test_descent():
  rates = np.array([0.1, 0.2, 0.3], np.float32)
  for number, (clients, before, after, optimizer) in enumerate(all_rounds("sgd", rates)):
    expected = before.copy()
    for place, client in enumerate(clients):
      if client < N:
        expected[client] -= rates[place] * gradients(number)[place]
    np.testing.assert_allclose(after, expected, atol=1e-6)
    assert optimizer == ()


def test_each_client_has_an_adam_that_advances_when_it_takes_part():
  rates = np.array([0.1, 0.2, 0.3], np.float32)
  oracles = [Adam((D,)) for _ in range(N)]
  expected = start().astype(float)
  for number, (clients, before, after, optimizer) in enumerate(all_rounds("adam", rates)):
    for place, client in enumerate(clients):
      if client < N:
        direction = oracles[client].direction(gradients(number)[place].astype(float))
        expected[client] -= rates[place] * direction
    np.testing.assert_allclose(after, expected, atol=2e-5)
    resting = np.setdiff1d(np.arange(N), clients)
    np.testing.assert_array_equal(after[resting], before[resting])
    assert optimizer.steps.tolist() == [oracle.step_number for oracle in oracles]
    np.testing.assert_allclose(optimizer.first, [one.first for one in oracles], atol=1e-6)
    np.testing.assert_allclose(optimizer.second, [one.second for one in oracles], atol=1e-6)
  assert optimizer.steps.tolist() == [3, 2, 1, 3, 1, 0]


def test_one_adam_over_the_table_moves_everybody_in_every_round():
  oracle = Adam((N, D))
  expected = start().astype(float)
  seen = set()
  for number, (clients, before, after, _) in enumerate(all_rounds("adam_table", [0.1] * 3)):
    dense = np.zeros((N, D))
    for place, client in enumerate(clients):
      if client < N:
        dense[client] = gradients(number)[place]
    seen |= set(clients)
    expected -= 0.1 * oracle.direction(dense)
    np.testing.assert_allclose(after, expected, atol=2e-5)
    moved = (after != before).all(axis=1)
    assert np.flatnonzero(moved).tolist() == sorted(seen - {EMPTY})


@pytest.mark.parametrize("name", ["adam", "adam_table"])
def test_both_are_adam_where_everybody_always_takes_part(name):
  private = jnp.asarray(start())
  optimizer = init_client_optimizer(name, private)
  plain = optax.adam(0.1)
  parameters, state = private, plain.init(private)
  order = jnp.array([4, 0, 5, 1, 3, 2])
  for number in range(4):
    gradient = jnp.asarray(np.random.default_rng(number).normal(size=(N, D)), jnp.float32)
    private, optimizer = step(optimizer, private, order, gradient[order], jnp.full(N, 0.1))
    changes, state = plain.update(gradient, state)
    parameters = optax.apply_updates(parameters, changes)
    np.testing.assert_allclose(private, parameters, atol=2e-5)


@pytest.mark.parametrize("name", ["adam", "adam_table"])
def test_rounds_match_the_oracle(small, name):
  train = TrainConfig(
    epochs=2, clients_per_round=5, learning_rate=0.4, client_learning_rate=0.05,
    client_optimizer=name,
  )
  run = make_run(small, train=train)
  each, together = [Adam((4,)) for _ in range(12)], Adam((12, 4))
  users = np.asarray(run.state.private, float)
  for number, one in enumerate(simulated(run)):
    positives, negatives = pairs_of(run, number)
    table = np.asarray(one.before.server.public.items, float)
    dense = np.zeros((12, 4))
    present = [int(client) for client in one.inputs.clients if client < 12]
    for client in present:
      dense[client] = training.client_gradients(
        users[client], table, positives[client], negatives[client],
        loss="bce", reduction="mean", duplicates="sum",
      )[1]
    if name == "adam_table":
      users = users - 0.05 * together.direction(dense)
    else:
      for client in present:
        users[client] -= 0.05 * each[client].direction(dense[client])
    np.testing.assert_allclose(one.after.private, users, atol=2e-5)
