"""The server's step: gradient descent and other optimisers, taken and tried."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from fedrecjax import attacks, defenses
from fedrecjax.config import AttackerConfig, TrainConfig
from fedrecjax.numerics.optimizers import DESCENT, OPTIMIZERS, as_direction
from fedrecjax.server.step import apply_update, init_optimizer, step_rows
from fedrecjax.types import ItemRows, Public, ServerState, Update
from tests.oracles import aggregation
from tests.oracles.adam import Adam
from tests.oracles.optimizers import BY_NAME
from tests.support.lockstep import as_summed, assert_defended_rounds_match, make_run

M, D = 9, 3
SHARED = {"weight": jnp.ones((2, 5))}
apply = jax.jit(apply_update, static_argnames="transformation")
try_rows = jax.jit(step_rows, static_argnames="transformation")


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


ADAMW = as_direction(optax.adamw(0.5, weight_decay=0.2))


def transformation(name):
  """An optimiser by name, or one that reads the parameters and is added."""
  return ADAMW if name == "adamw" else OPTIMIZERS[name]


def random_server(optimizer, shared=()):
  """A server after three updates, so that moments are not zero."""
  random = np.random.default_rng(4)
  public = Public(jnp.asarray(random.normal(size=(M, D)), jnp.float32), shared)
  server = ServerState(public, (), init_optimizer(transformation(optimizer), public))
  for _ in range(3):
    update = random_update(random, range(M), shared)
    server = apply(transformation(optimizer), server, update, 0.1)
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
  after = np.asarray(apply(DESCENT, server, Update(rows), 0.5).public.items)
  expected = np.asarray(server.public.items).copy()
  expected[4] -= 1.5
  expected[0] -= 2.5
  np.testing.assert_allclose(after, expected, atol=1e-6)
  assert server.optimizer == ()


def test_adam_adds_up_rows_and_drops_unused_places():
  server, _ = random_server("adam")
  rows = ItemRows(jnp.array([4, M, 4, 0]), jnp.array([[1.0] * D, [9.0] * D, [2.0] * D, [5.0] * D]))
  merged = ItemRows(jnp.array([0, 4]), jnp.array([[5.0] * D, [3.0] * D]))
  first, second = (apply(OPTIMIZERS["adam"], server, Update(one), 0.5) for one in (rows, merged))
  for one, two in zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True):
    np.testing.assert_allclose(one, two, atol=1e-6)


@pytest.mark.parametrize("optimizer", BY_NAME)
def test_shared_parameters_take_the_same_steps(optimizer):
  shared = {"weight": jnp.ones((2, 5)), "bias": jnp.zeros(5)}
  server, random = random_server(optimizer, shared)
  oracles = {name: BY_NAME[optimizer](leaf.shape) for name, leaf in shared.items()}
  expected = {name: np.asarray(leaf, np.float64) for name, leaf in shared.items()}
  public = server.public._replace(shared=shared)
  server = ServerState(public, (), init_optimizer(OPTIMIZERS[optimizer], public))
  for _ in range(4):
    update = random_update(random, range(M), shared)
    server = apply(OPTIMIZERS[optimizer], server, update, 0.1)
    for name, gradient in update.shared.items():
      direction = oracles[name].direction(np.asarray(gradient, np.float64))
      expected[name] = expected[name] - 0.1 * direction
  for name, leaf in server.public.shared.items():
    np.testing.assert_allclose(leaf, expected[name], atol=1e-5)


TRIED = {
  "sgd": (), "momentum": SHARED, "adam": (), "adam, shared": SHARED, "lazy_adam": SHARED, "adagrad": SHARED,
  "yogi": SHARED, "rmsprop": SHARED, "adamw": SHARED,
}


@pytest.mark.parametrize("case", TRIED)
def test_a_tried_step_is_the_one_that_would_be_taken(case):
  optimizer, shared = case.removesuffix(", shared"), TRIED[case]
  server, random = random_server(optimizer, shared)
  before = jax.tree.map(np.array, server)
  items = jnp.array([7, 0, 3])
  updates = [random_update(random, items, shared) for _ in range(4)]
  trials = jnp.stack([update.items.row for update in updates]).reshape(2, 2, 3, D)
  arguments = server.optimizer, server.public
  tried = try_rows(transformation(optimizer), *arguments, items, trials, 0.3)
  assert tried.shape == (2, 2, 3, D)
  for update, rows in zip(updates, tried.reshape(4, 3, D), strict=True):
    # Whether other items and shared parameters move in the same step makes no difference to these.
    taken = apply(transformation(optimizer), server, update, 0.3).public.items[items]
    np.testing.assert_allclose(rows, taken, atol=1e-6)
  for one, two in zip(jax.tree.leaves(before), jax.tree.leaves(server), strict=True):
    np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_each_trial_may_have_items_of_its_own(optimizer):
  server, random = random_server(optimizer)
  items = jnp.array([[7, 0, 3], [1, 1, 8]])
  trials = jnp.asarray(random.normal(size=(2, 3, D)), jnp.float32)
  arguments = OPTIMIZERS[optimizer], server.optimizer, server.public
  together = try_rows(*arguments, items, trials, 0.3)
  alone = [try_rows(*arguments, *one, 0.3) for one in zip(items, trials, strict=True)]
  np.testing.assert_allclose(together, jnp.stack(alone), atol=1e-7)
