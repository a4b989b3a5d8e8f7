"""Lazy Adam at the server: rows that a round does not touch, and their moments, stand still."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax

from fedrecjax.numerics.optimizers import OPTIMIZERS
from fedrecjax.server.step import apply_update, init_optimizer, step_rows
from fedrecjax.types import ItemRows, Public, ServerState, Update
from tests.oracles.adam import Adam, LazyAdam

M, D = 9, 3
LAZY_ADAM = OPTIMIZERS["lazy_adam"]
apply = jax.jit(functools.partial(apply_update, LAZY_ADAM))
try_rows = jax.jit(functools.partial(step_rows, LAZY_ADAM))
# 1 - 0.999 in float32 is right to 5e-5, and so is a first step.


def new_server(shared=()):
  table = np.random.default_rng(1).normal(size=(M, D))
  public = Public(jnp.asarray(table, jnp.float32), shared)
  return ServerState(public, (), init_optimizer(LAZY_ADAM, public))


def update_of(random, items):
  """Rows of some items in places of which one is unused and one item may stand twice."""
  rows = random.normal(size=(len(items) + 1, D)).astype(np.float32)
  return Update(ItemRows(jnp.array([*items, M], jnp.int32), jnp.asarray(rows)))


def added_up(update):
  total = {}
  for item, row in zip(np.asarray(update.items.item), np.asarray(update.items.row, float), strict=True):
    if item < M:
      total[int(item)] = total.get(int(item), 0) + row
  return total


def test_rows_match_the_loop():
  server, oracle, random = new_server(), LazyAdam(M, D), np.random.default_rng(2)
  expected = np.asarray(server.public.items, float)
  for items in ([1, 4, 4], [0], [1, 8], [4, 1], [2, 2]):
    update = update_of(random, items)
    before = np.asarray(server.public.items)
    server = apply(server, update, 0.2)
    expected = oracle.step(expected, added_up(update), 0.2)
    np.testing.assert_allclose(server.public.items, expected, atol=2e-5)
    np.testing.assert_allclose(server.optimizer.mu.items, oracle.first, atol=1e-6)
    np.testing.assert_allclose(server.optimizer.nu.items, oracle.second, atol=1e-6)
    untouched = np.setdiff1d(np.arange(M), items)
    np.testing.assert_array_equal(np.asarray(server.public.items)[untouched], before[untouched])
    assert (np.asarray(server.public.items)[items] != before[items]).all()
  assert int(server.optimizer.count) == 5


def test_a_row_of_zeros_touches_its_item():
  server = apply(new_server(), Update(ItemRows(jnp.array([3]), jnp.ones((1, D)))), 0.1)
  after = apply(server, Update(ItemRows(jnp.array([3]), jnp.zeros((1, D)))), 0.1)
  assert (np.asarray(after.public.items)[3] != np.asarray(server.public.items)[3]).all()


def test_it_is_adam_where_every_row_is_touched():
  shared = {"weight": jnp.ones((2, 5)), "bias": jnp.zeros(5)}
  server, random = new_server(shared), np.random.default_rng(3)
  plain = optax.adam(0.1)
  parameters, state = server.public, plain.init(server.public)
  for _ in range(4):
    gradient = jax.tree.map(
      lambda leaf: jnp.asarray(random.normal(size=leaf.shape), jnp.float32), server.public
    )
    server = apply(server, Update(ItemRows(jnp.arange(M), gradient.items), gradient.shared), 0.1)
    changes, state = plain.update(gradient, state)
    parameters = optax.apply_updates(parameters, changes)
    for one, other in zip(jax.tree.leaves(server.public), jax.tree.leaves(parameters), strict=True):
      np.testing.assert_allclose(one, other, atol=2e-5)


def test_shared_parameters_are_never_left_alone():
  shared = {"weight": jnp.ones((2, 2))}
  server, oracle = new_server(shared), Adam((2, 2))
  expected = np.ones((2, 2))
  for size in (1.0, 0.0, -2.0):
    gradient = np.full((2, 2), size)
    rows = ItemRows(jnp.array([M]), jnp.ones((1, D)))
    server = apply(server, Update(rows, {"weight": jnp.asarray(gradient, jnp.float32)}), 0.1)
    expected = expected - 0.1 * oracle.direction(gradient)
    np.testing.assert_allclose(server.public.shared["weight"], expected, atol=2e-5)
  np.testing.assert_array_equal(server.public.items, new_server().public.items)


def test_a_tried_step_is_the_one_that_would_be_taken():
  server, random = new_server(), np.random.default_rng(5)
  for items in ([0, 1, 2, 7], [7, 3], [1, 3]):
    server = apply(server, update_of(random, items), 0.1)
  items = jnp.array([7, 0, 3])
  updates = [Update(ItemRows(items, jnp.asarray(random.normal(size=(3, D)), jnp.float32)))
             for _ in range(4)]
  trials = jnp.stack([update.items.row for update in updates])
  tried = try_rows(server.optimizer, server.public, items, trials, 0.3)
  for update, rows in zip(updates, tried, strict=True):
    np.testing.assert_allclose(rows, apply(server, update, 0.3).public.items[items], atol=1e-6)
  # A client that does not upload an item leaves it where it is.
  alone = try_rows(server.optimizer, server.public, items, trials[0].at[1].set(0.0), 0.3)
  np.testing.assert_array_equal(alone[1], server.public.items[0])
  assert (np.asarray(alone[2]) != np.asarray(server.public.items[3])).all()
