"""Optimisers by name: golden steps by hand, laziness, and transformations whose updates are added."""

import math
import typing

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from fedrecjax.numerics.optimizers import (
  DESCENT,
  OPTIMIZERS,
  ClientOptimizer,
  ServerOptimizer,
  as_direction,
  lazy,
)
from tests.oracles.optimizers import BY_NAME

GRADIENTS = (1.0, 2.0, 0.0, 0.01)
# What a step of size 1 subtracts at each of these gradients of one number.
GOLDEN = {
  "sgd": GRADIENTS,
  "momentum": (1.0, 2.9, 2.61, 2.359),
  # First moments 0.1, 0.29, 0.261, 0.2359 and second ones, over 1 - 0.9^t and 1 - 0.999^t.
  "adam": (
    1.0,
    (0.29 / 0.19) / math.sqrt(0.004999 / 0.001999),
    (0.261 / 0.271) / math.sqrt(0.004994001 / 0.002997001),
    (0.2359 / 0.3439) / math.sqrt(0.004989106999 / 0.003994003999),
  ),
  # Squares add up from 0.1.
  "adagrad": (1 / math.sqrt(1.1), 2 / math.sqrt(5.1), 0.0, 0.01 / math.sqrt(5.1001)),
  # First moments from 1e-6. Second ones grow by 0.001 g^2 while below g^2, and then shrink by it.
  "yogi": (
    1.000009 / (math.sqrt(1.001) + 0.001),
    (0.29000081 / 0.19) / (math.sqrt(0.005001 / 0.001999) + 0.001),
    (0.261000729 / 0.271) / (math.sqrt(0.005001 / 0.002997001) + 0.001),
    (0.2359006561 / 0.3439) / (math.sqrt(0.0050009 / 0.003994003999) + 0.001),
  ),
  # Means of squares 0.1, 0.49, 0.441, 0.39691.
  "rmsprop": (1 / math.sqrt(0.1), 2 / 0.7, 0.0, 0.01 / math.sqrt(0.39691)),
}


def directions(optimizer, gradients, **extra):
  state, results = optimizer.init(jnp.zeros(())), []
  for gradient in gradients:
    direction, state = optimizer.update(jnp.float32(gradient), state, jnp.zeros(()), **extra)
    results.append(float(direction))
  return results


@pytest.mark.parametrize("name", GOLDEN)
def test_four_steps_by_hand(name):
  oracle = BY_NAME[name](())
  np.testing.assert_allclose(
    [oracle.direction(np.float64(gradient)) for gradient in GRADIENTS], GOLDEN[name], rtol=1e-6
  )
  # 1 - 0.999 in float32 is right to 5e-5.
  np.testing.assert_allclose(directions(OPTIMIZERS[name], GRADIENTS), GOLDEN[name], rtol=1e-4)


def test_every_name_has_an_optimizer():
  named = {*typing.get_args(ServerOptimizer), *typing.get_args(ClientOptimizer)}
  assert named == set(OPTIMIZERS)
  assert named - {"lazy_adam", "adam_table"} == set(GOLDEN) == set(BY_NAME)
  assert directions(OPTIMIZERS["adam_table"], GRADIENTS) == directions(OPTIMIZERS["adam"], GRADIENTS)


@pytest.mark.parametrize("name", [*GOLDEN, "adamw"])
def test_lazy_rows_and_their_memory_stand_still(name):
  inner = OPTIMIZERS.get(name) or optax.adamw(1.0, weight_decay=0.2)
  optimizer = lazy(inner)
  parameters = {"rows": jnp.array([[3.0], [-1.0], [2.0]]), "rest": jnp.array([0.5, 4.0])}
  gradient = {"rows": jnp.array([[1.0], [0.0], [-2.0]]), "rest": jnp.array([0.0, 1.0])}
  state = optimizer.init(parameters)
  plain, lively = inner.init(parameters), state
  # Everything touched: the optimiser itself, whether that is said or not.
  for _ in range(2):
    expected, plain = inner.update(gradient, plain, parameters)
    for extra in ({}, {"touched": {"rows": jnp.ones((3, 1), bool), "rest": True}}):
      found, after = optimizer.update(gradient, lively, parameters, **extra)
      for one, other in zip(jax.tree.leaves((found, after)), jax.tree.leaves((expected, plain))):
        np.testing.assert_array_equal(one, other)
    lively = after
  touched = {"rows": jnp.array([[True], [False], [True]]), "rest": True}
  direction, after = optimizer.update(gradient, lively, parameters, touched=touched)
  everything, moved = inner.update(gradient, plain, parameters)
  assert direction["rows"][1] == 0
  np.testing.assert_array_equal(direction["rows"][::2], everything["rows"][::2])
  np.testing.assert_array_equal(direction["rest"], everything["rest"])
  for before, lazily, all_of_it in zip(*map(jax.tree.leaves, (lively, after, moved)), strict=True):
    if lazily.shape == (3, 1):
      assert lazily[1] == before[1]
      np.testing.assert_array_equal(lazily[::2], all_of_it[::2])
    else:
      np.testing.assert_array_equal(lazily, all_of_it)


def test_the_count_of_a_lazy_optimizer_always_moves_on():
  optimizer = OPTIMIZERS["lazy_adam"]
  state = optimizer.init(jnp.zeros(2))
  for _ in range(3):
    _, state = optimizer.update(jnp.ones(2), state, touched=jnp.array([True, False]))
  assert int(state.count) == 3
  np.testing.assert_allclose(state.mu, [0.271, 0.0], rtol=1e-6)


def test_a_given_update_is_added_whole():
  given = optax.adamw(0.1, weight_decay=0.5)
  parameters, gradient = jnp.array([2.0, -3.0]), jnp.array([0.3, 0.2])
  update, after = given.update(gradient, given.init(parameters), parameters)
  direction, state = as_direction(given).update(
    gradient, given.init(parameters), parameters, touched=jnp.array([True, True])
  )
  np.testing.assert_array_equal(-direction, update)
  for one, other in zip(jax.tree.leaves(state), jax.tree.leaves(after), strict=True):
    np.testing.assert_array_equal(one, other)


def test_the_same_object_is_the_same_structure():
  given, other = optax.adamw(0.1), optax.adamw(0.1)
  assert as_direction(given) == as_direction(given) != as_direction(other)
  assert hash(as_direction(given)) == hash(as_direction(given))
  assert as_direction(optax.identity()) != DESCENT
