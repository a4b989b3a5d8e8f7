"""The server's step: gradient descent and Adam, taken and tried."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedrecjax import attacks, defenses
from fedrecjax.config import AttackerConfig, TrainConfig
from fedrecjax.server.step import apply_update, init_optimizer, step_rows
from fedrecjax.types import Defense, ItemRows, Public, ServerState, Update
from tests.oracles import aggregation
from tests.oracles.adam import Adam
from tests.support.lockstep import as_summed, assert_defended_rounds_match, make_run, simulated

M, D = 9, 3
apply = jax.jit(apply_update)


def adam_of(rule, moments):
  """The oracle's server: the rule's dense gradient through Adam, for all 30 items."""

  def update(uploads):
    gradient = np.zeros((30, 4))
    for item, row in rule(uploads).items():
      gradient[item] = row
    return dict(enumerate(moments.direction(gradient)))

  return update


def median_of(uploads):
  return {
    item: aggregation.median(np.array([row for _, row in rows]), scale="sum")
    for item, rows in aggregation.group_by_item(uploads).items()
  }


@pytest.mark.parametrize(
  ("defense", "rule"),
  [(defenses.none(), as_summed), (defenses.median(), median_of)],
  ids=["sum", "median"],
)
def test_rounds_with_adam_match_the_oracle(small, defense, rule):
  train = TrainConfig(epochs=4, clients_per_round=5, learning_rate=0.05, server_optimizer="adam")
  run = make_run(
    small,
    train=train,
    defense=defense,
    attack=attacks.explicit_boosting(),
    attacker=AttackerConfig(malicious_ratio=0.25),
  )
  moments = Adam((30, 4))
  assert assert_defended_rounds_match(run, train, update=adam_of(rule, moments)) > 0
  assert moments.step_number == 12


def test_items_that_nobody_touches_move_on_under_adam_alone(small):
  for optimizer in ("sgd", "adam"):
    train = TrainConfig(epochs=2, clients_per_round=1, server_optimizer=optimizer)
    *_, last = simulated(make_run(small, train=train), 2)
    moved = (
      np.asarray(last.after.server.public.items) != np.asarray(last.before.server.public.items)
    ).any(axis=1)
    # One client touches at most its training items and as many negatives.
    [client] = last.inputs.clients.tolist()
    data = make_run(small, train=train).constants.data.training
    own = slice(int(data.start[client]), int(data.start[client] + data.length[client]))
    touched = np.isin(np.arange(30), [*data.positive[own], *data.negatives[own, 0]])
    assert moved[touched].all()
    assert moved[~touched].any() == (optimizer == "adam")


def random_server(optimizer, shared=()):
  """A server after three updates, so that Adam's moments are not zero."""
  random = np.random.default_rng(4)
  public = Public(jnp.asarray(random.normal(size=(M, D)), jnp.float32), shared)
  server = ServerState(public, (), init_optimizer(optimizer, public))
  for _ in range(3):
    server = apply(server, random_update(random, range(M), shared), 0.1)
  return server, random


def random_update(random, items, shared=()):
  items = np.array(items, np.int32)
  row = jnp.asarray(random.normal(size=(len(items), D)), jnp.float32)
  gradient = jax.tree.map(
    lambda leaf: jnp.asarray(random.normal(size=leaf.shape), jnp.float32), shared
  )
  return Update(ItemRows(jnp.asarray(items), row), gradient)


def test_descent_adds_up_rows_and_drops_unused_places():
  server, _ = random_server("sgd")
  rows = ItemRows(jnp.array([4, M, 4, 0]), jnp.array([[1.0] * D, [9.0] * D, [2.0] * D, [5.0] * D]))
  after = np.asarray(apply(server, Update(rows), 0.5).public.items)
  expected = np.asarray(server.public.items).copy()
  expected[4] -= 1.5
  expected[0] -= 2.5
  np.testing.assert_allclose(after, expected, atol=1e-6)
  assert server.optimizer == ()


def test_adam_adds_up_rows_and_drops_unused_places():
  server, _ = random_server("adam")
  rows = ItemRows(jnp.array([4, M, 4, 0]), jnp.array([[1.0] * D, [9.0] * D, [2.0] * D, [5.0] * D]))
  merged = ItemRows(jnp.array([0, 4]), jnp.array([[5.0] * D, [3.0] * D]))
  first, second = apply(server, Update(rows), 0.5), apply(server, Update(merged), 0.5)
  for one, two in zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True):
    np.testing.assert_allclose(one, two, atol=1e-6)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_shared_parameters_take_the_same_steps(optimizer):
  shared = {"weight": jnp.ones((2, 5)), "bias": jnp.zeros(5)}
  server, random = random_server(optimizer, shared)
  moments = {name: Adam(leaf.shape) for name, leaf in shared.items()}
  expected = {name: np.asarray(leaf, np.float64) for name, leaf in shared.items()}
  server = ServerState(
    server.public._replace(shared=shared), (), init_optimizer(optimizer, server.public)
  )
  for _ in range(4):
    update = random_update(random, [1, 2], shared)
    server = apply(server, update, 0.1)
    for name, gradient in update.shared.items():
      gradient = np.asarray(gradient, np.float64)
      direction = moments[name].direction(gradient) if optimizer == "adam" else gradient
      expected[name] = expected[name] - 0.1 * direction
  for name, leaf in server.public.shared.items():
    np.testing.assert_allclose(leaf, expected[name], atol=1e-5)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("shared", [(), {"weight": jnp.ones((2, 5))}], ids=["items", "shared"])
def test_a_tried_step_is_the_one_that_would_be_taken(optimizer, shared):
  server, random = random_server(optimizer, shared)
  before = jax.tree.map(np.array, server)
  items = jnp.array([7, 0, 3])
  updates = [random_update(random, items, shared) for _ in range(5)]
  trials = jnp.stack([update.items.row for update in updates])
  tried = jax.jit(step_rows)(server.optimizer, server.public, items, trials, 0.3)
  assert tried.shape == (5, 3, D)
  one = jax.jit(step_rows)(server.optimizer, server.public, items, trials[2], 0.3)
  np.testing.assert_allclose(one, tried[2], atol=1e-7)
  nested = step_rows(server.optimizer, server.public, items, trials[:4].reshape(2, 2, 3, D), 0.3)
  np.testing.assert_allclose(nested.reshape(4, 3, D), tried[:4], atol=1e-7)
  for update, rows in zip(updates, tried, strict=True):
    # Whether other items move in the same step makes no difference to these.
    taken = apply(server, update, 0.3).public.items[items]
    np.testing.assert_allclose(rows, taken, atol=1e-6)
  for one, two in zip(jax.tree.leaves(before), jax.tree.leaves(server), strict=True):
    np.testing.assert_array_equal(one, two)


def test_a_filter_can_try_the_step_of_a_run(small):
  """What a filter tries for a client that is alone in a round is what the round then does."""

  def try_all(state, uploads, view):
    items = jnp.arange(view.num_items)
    gradient = jnp.zeros_like(view.public.items).at[uploads.item].add(uploads.row, mode="drop")
    rows = step_rows(view.optimizer, view.public, items, gradient, view.learning_rate)
    return uploads, rows

  for optimizer in ("sgd", "adam"):
    train = TrainConfig(epochs=1, clients_per_round=1, server_optimizer=optimizer)
    defense = Defense(filter=try_all, init=lambda key, context: jnp.zeros((30, 4)))
    for number, one in enumerate(simulated(make_run(small, train=train, defense=defense), 4)):
      tried = one.after.server.defense[0]
      np.testing.assert_allclose(
        tried, one.after.server.public.items, atol=1e-6, err_msg=f"{optimizer}, round {number}"
      )
