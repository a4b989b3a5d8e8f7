"""The server's step: an aggregated update applied to the public parameters."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax

from fedrecjax.clients.optimizer import adam_direction
from fedrecjax.types import ItemRows, Public, ServerState, Update

ServerOptimizer = Literal["sgd", "adam", "lazy_adam"]


class LazyAdam(NamedTuple):
  """Adam that leaves an item and its moments alone in rounds that do not touch it.

  Attributes:
    steps: rounds so far, int32 scalar.
    first: first moments, of the structure of the public parameters.
    second: second moments, likewise.
  """

  steps: jax.Array
  first: Public
  second: Public


def init_optimizer(name: ServerOptimizer, public: Public) -> Any:
  """The state of the server's optimiser before the first round; `()` for gradient descent, which has none.

  Adam has the usual decay rates 0.9 and 0.999 and epsilon 1e-8 (Kingma and Ba, 2015). Its moments are unbiased by the
  number of rounds, lazy or not.
  """
  if name == "sgd":
    return ()
  if name == "adam":
    return optax.scale_by_adam().init(public)
  return LazyAdam(jnp.int32(0), *(jax.tree.map(jnp.zeros_like, public) for _ in range(2)))


def apply_update(server: ServerState, update: Update, learning_rate: jax.Array | float) -> ServerState:
  """One step of the server's optimiser.

  Gradient descent adds rows straight into the table. A dense gradient of all M items would cost three passes over
  the table in every round, most of the time of a round on sets with tens of thousands of items. Adam is dense: items
  that nobody touched move on by their momentum.

  Args:
    server: before the step.
    update: aggregated update in gradient direction.
    learning_rate: step size.

  Returns:
    The server after the step; the defence's state is untouched.
  """
  public, items = server.public, update.items
  if isinstance(server.optimizer, LazyAdam):
    return _lazy_step(server, server.optimizer, update, learning_rate)
  if not isinstance(server.optimizer, optax.ScaleByAdamState):
    table = public.items.at[items.item].add(-learning_rate * items.row, mode="drop")
    shared = jax.tree.map(lambda old, gradient: old - learning_rate * gradient, public.shared, update.shared)
    return server._replace(public=Public(table, shared))
  gradient = Public(dense(items, public.items), update.shared)
  direction, optimizer = optax.scale_by_adam().update(gradient, server.optimizer)
  moved = jax.tree.map(lambda old, step: old - learning_rate * step, public, direction)
  return server._replace(public=moved, optimizer=optimizer)


def _lazy_step(
  server: ServerState, optimizer: LazyAdam, update: Update, learning_rate: jax.Array | float
) -> ServerState:
  public, items = server.public, update.items
  touched = jnp.zeros(public.items.shape[0], bool).at[items.item].set(True, mode="drop")[:, None]
  moved, moments = _adam(optimizer, public, Public(dense(items, public.items), update.shared), learning_rate)

  def settle(new: Public, old: Public) -> Public:
    return new._replace(items=jnp.where(touched, new.items, old.items))

  state = LazyAdam(optimizer.steps + 1, settle(moments[0], optimizer.first), settle(moments[1], optimizer.second))
  return server._replace(public=settle(moved, public), optimizer=state)


def _adam(
  optimizer: LazyAdam, public: Public, gradient: Public, learning_rate: jax.Array | float
) -> tuple[Public, tuple[Public, Public]]:
  """Parameters and both moments as if everything were touched."""

  def step(first: jax.Array, second: jax.Array, slope: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    return adam_direction(optimizer.steps, first, second, slope)

  stepped = jax.tree.map(step, optimizer.first, optimizer.second, gradient)
  direction, first, second = jax.tree.transpose(jax.tree.structure(public), jax.tree.structure((0, 0, 0)), stepped)
  moved = jax.tree.map(lambda old, change: old - learning_rate * change, public, direction)
  return moved, (first, second)


def dense(rows: ItemRows, table: jax.Array) -> jax.Array:
  """Rows added up into an array of the shape of the item table `[M, d]`."""
  return jnp.zeros_like(table).at[rows.item].add(rows.row, mode="drop")


def step_rows(
  optimizer: Any, public: Public, items: jax.Array, gradient: jax.Array, learning_rate: jax.Array | float
) -> jax.Array:
  """Where the server's step would take some items' rows, without taking it.

  Args:
    optimizer: state before the step, left as it is.
    public: before the step.
    items: int32 `[T]`.
    gradient: of these rows, `[..., T, d]`: any number of trials at once.
    learning_rate: step size.

  Returns:
    Rows after the step, `[..., T, d]`.
  """
  rows = public.items[items]
  if isinstance(optimizer, LazyAdam):
    direction, _, _ = adam_direction(optimizer.steps, optimizer.first.items[items], optimizer.second.items[items],
                                     gradient)
    return rows - learning_rate * jnp.where(jnp.any(gradient != 0, axis=-1, keepdims=True), direction, 0.0)
  if not isinstance(optimizer, optax.ScaleByAdamState):
    return rows - learning_rate * gradient
  taken = optimizer._replace(mu=optimizer.mu.items[items], nu=optimizer.nu.items[items])
  direction, _ = optax.scale_by_adam().update(gradient, taken)
  return rows - learning_rate * direction
