"""What clients do with their own vectors: an optimiser each, or one Adam over the table."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from fedrecjax.clients.optimizer import init_client_optimizer, step_private
from fedrecjax.numerics.optimizers import OPTIMIZERS
from tests.oracles.adam import Adam
from tests.oracles.optimizers import BY_NAME

N, D = 6, 3
EMPTY = N
# The last round is short, and client 5 never takes part.
ROUNDS = [[0, 3, 1], [3, 2, 0], [4, 1, 3], [0, EMPTY, EMPTY]]
step = jax.jit(step_private, static_argnames=("transformation", "table"))


def gradients(number):
  return np.random.default_rng(number).normal(size=(3, D)).astype(np.float32)


def start():
  return np.random.default_rng(9).normal(size=(N, D)).astype(np.float32)


def all_rounds(name, rates):
  private, table = jnp.asarray(start()), name == "adam_table"
  optimizer = init_client_optimizer(OPTIMIZERS[name], private, table=table)
  for number, clients in enumerate(ROUNDS):
    before = np.asarray(private), optimizer
    private, optimizer = step(
      OPTIMIZERS[name], optimizer, private, jnp.array(clients), jnp.asarray(gradients(number)), jnp.asarray(rates),
      table=table,
    )
    yield clients, before, np.asarray(private), optimizer


@pytest.mark.parametrize("name", BY_NAME)
def test_each_client_has_an_optimizer_that_advances_when_it_takes_part(name):
  rates = np.array([0.1, 0.2, 0.3], np.float32)
  oracles = [BY_NAME[name]((D,)) for _ in range(N)]
  expected = start().astype(float)
  for number, (clients, (private, state), after, optimizer) in enumerate(all_rounds(name, rates)):
    for place, client in enumerate(clients):
      if client < N:
        direction = oracles[client].direction(gradients(number)[place].astype(float))
        expected[client] -= rates[place] * direction
    np.testing.assert_allclose(after, expected, atol=2e-5)
    resting = np.setdiff1d(np.arange(N), clients)
    for one, other in zip(jax.tree.leaves((private, state)), jax.tree.leaves((after, optimizer)), strict=True):
      np.testing.assert_array_equal(other[resting], one[resting])
  if name == "adam":
    assert optimizer.count.tolist() == [oracle.step_number for oracle in oracles] == [3, 2, 1, 3, 1, 0]
    np.testing.assert_allclose(optimizer.mu, [one.first for one in oracles], atol=1e-6)
    np.testing.assert_allclose(optimizer.nu, [one.second for one in oracles], atol=1e-6)
  assert (name == "sgd") == (jax.tree.leaves(optimizer) == [])


def test_one_adam_over_the_table_moves_everybody_in_every_round():
  oracle = Adam((N, D))
  expected = start().astype(float)
  seen = set()
  for number, (clients, (before, _), after, _) in enumerate(all_rounds("adam_table", [0.1] * 3)):
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
  table = name == "adam_table"
  optimizer = init_client_optimizer(OPTIMIZERS[name], private, table=table)
  plain = optax.adam(0.1)
  parameters, state = private, plain.init(private)
  order = jnp.array([4, 0, 5, 1, 3, 2])
  for number in range(4):
    gradient = jnp.asarray(np.random.default_rng(number).normal(size=(N, D)), jnp.float32)
    private, optimizer = step(
      OPTIMIZERS[name], optimizer, private, order, gradient[order], jnp.full(N, 0.1), table=table
    )
    changes, state = plain.update(gradient, state)
    parameters = optax.apply_updates(parameters, changes)
    np.testing.assert_allclose(private, parameters, atol=2e-5)
