"""Rounds with each optimiser of the server and of the clients beside the oracles; tried and resumed.

A run of each pair is simulated once; everything is asked of its states.
"""

import collections

import flax.serialization
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedrecjax.config import TrainConfig
from fedrecjax.server.step import step_rows
from fedrecjax.types import Defense
from tests.oracles import training
from tests.oracles.adam import Adam, LazyAdam
from tests.oracles.optimizers import BY_NAME
from tests.support.lockstep import as_summed, make_run, pairs_of, round_input, simulated, step

N, M, D = 12, 30, 4
SERVER_RATE, CLIENT_RATE = 0.05, 0.1
# Optimisers of the server, and those that clients have in the same run.
CLIENTS = {"lazy_adam": "adam_table"} | {name: name for name in BY_NAME}
# Those that go on moving an item which a round does not touch.
RESTLESS = {"momentum", "adam", "yogi"}


def try_all(state, uploads, view):
  """A filter that remembers where the server's step would take all rows, and drops nothing."""
  items = jnp.arange(view.num_items)
  gradient = jnp.zeros_like(view.public.items).at[uploads.item].add(uploads.row, mode="drop")
  rows = step_rows(
    view.transformation, view.optimizer, view.public, items, gradient, view.learning_rate
  )
  return uploads, rows


DEFENSE = Defense(filter=try_all, init=lambda key, context: jnp.zeros((M, D)))


def planned(dataset, name):
  train = TrainConfig(
    epochs=2, clients_per_round=3, learning_rate=SERVER_RATE, client_learning_rate=CLIENT_RATE,
    server_optimizer=name, client_optimizer=CLIENTS[name],
  )
  return make_run(dataset, train=train, defense=DEFENSE)


@pytest.fixture(scope="module", params=CLIENTS)
def rounds(request, small):
  """A pair of optimisers, a run with them and all its rounds."""
  run = planned(small, request.param)
  return request.param, run, list(simulated(run))


class Oracle:
  """Server and clients, each with its optimiser, in NumPy."""

  def __init__(self, name, users, table):
    self.users, self.table = users, table
    self.lazy = LazyAdam(M, D) if name == "lazy_adam" else None
    self.server = None if self.lazy else BY_NAME[name]((M, D))
    self.together = Adam((N, D)) if self.lazy else None
    self.each = None if self.lazy else [BY_NAME[name]((D,)) for _ in range(N)]

  def take(self, clients, positives, negatives):
    """One round; returns how many clients uploaded each item."""
    uploads, slopes = [], np.zeros((N, D))
    for client in clients:
      _, slopes[client], rows = training.client_gradients(
        self.users[client], self.table, positives[client], negatives[client],
        loss="bce", reduction="mean", duplicates="sum",
      )
      uploads += [(client, item, row) for item, row in rows.items()]
    self.users = self.users.copy()
    if self.together:
      self.users -= CLIENT_RATE * self.together.direction(slopes)
    else:
      for client in clients:
        self.users[client] -= CLIENT_RATE * self.each[client].direction(slopes[client])
    gradients = as_summed(uploads)
    if self.lazy:
      self.table = self.lazy.step(self.table, gradients, SERVER_RATE)
    else:
      dense = np.zeros((M, D))
      for item, row in gradients.items():
        dense[item] = row
      self.table = self.table - SERVER_RATE * self.server.direction(dense)
    return collections.Counter(item for _, item, _ in uploads)


def test_rounds_match_the_oracle(rounds):
  name, run, steps = rounds
  start = run.state.private, run.state.server.public.items
  oracle = Oracle(name, *(np.asarray(one, float) for one in start))
  alone = idle_items = moved = 0
  for number, one in enumerate(steps):
    present = [int(client) for client in one.inputs.clients if client < N]
    uploaders = oracle.take(present, *pairs_of(run, number))
    table, users = np.asarray(one.after.server.public.items), np.asarray(one.after.private)
    np.testing.assert_allclose(table, oracle.table, atol=2e-5, err_msg=f"items, round {number}")
    np.testing.assert_allclose(users, oracle.users, atol=2e-5, err_msg=f"users, round {number}")
    # Nobody uploaded these items, and these clients were away.
    idle, away = np.setdiff1d(np.arange(M), list(uploaders)), np.setdiff1d(np.arange(N), present)
    assert len(away) > 0
    alone += list(uploaders.values()).count(1)
    changed = (table != np.asarray(one.before.server.public.items)).any(axis=1)
    assert changed[list(uploaders)].all()
    idle_items += len(idle)
    moved += changed[idle].sum()
    if CLIENTS[name] != "adam_table":
      np.testing.assert_array_equal(users[away], np.asarray(one.before.private)[away])
  assert alone > 0 and idle_items > 0
  assert (moved > 0) == (name in RESTLESS)


def test_what_a_filter_tries_is_what_the_server_then_does(rounds):
  _, _, steps = rounds
  for number, one in enumerate(steps):
    tried = one.after.server.defense[0]
    np.testing.assert_allclose(
      tried, one.after.server.public.items, atol=1e-6, err_msg=f"round {number}"
    )
    assert not np.array_equal(tried, one.before.server.public.items)


def test_a_run_goes_on_from_its_saved_state(small, rounds):
  name, run, steps = rounds
  saved = flax.serialization.to_bytes(steps[2].after)
  state = flax.serialization.from_bytes(planned(small, name).state, saved)
  optimizers = state.server.optimizer, state.client_optimizer
  assert (jax.tree.leaves(optimizers) == []) == (name == "sgd")
  for number in range(3, len(steps)):
    state, _ = step(run.structure, run.constants, state, round_input(run, number))
  for one, other in zip(jax.tree.leaves(state), jax.tree.leaves(steps[-1].after), strict=True):
    np.testing.assert_array_equal(one, other)
