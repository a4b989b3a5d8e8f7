"""The server's step: an aggregated update applied to the public parameters."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import optax

from fedrecjax.numerics.optimizers import DESCENT, own_arrays
from fedrecjax.types import Array, ItemRows, Public, ServerState, Update


def init_optimizer(transformation: optax.GradientTransformation, public: Public) -> Any:
  """The state of the server's optimiser before the first round; without arrays for gradient descent."""
  return own_arrays(transformation.init(public))


def apply_update(
  transformation: optax.GradientTransformationExtraArgs,
  server: ServerState,
  update: Update,
  learning_rate: Array | float,
) -> ServerState:
  """One step of the server's optimiser.

  Gradient descent adds rows straight into the table. A dense gradient of all M items would cost three passes over
  the table in every round, most of the time of a round on sets with tens of thousands of items. Every other optimiser
  gets the dense gradient, zero for items that nobody touched, and may move those on: Adam does, by its momentum.

  Args:
    transformation: gradient to direction, static; see :mod:`fedrecjax.numerics.optimizers`. It is also told which items
      are uploaded (`touched`).
    server: before the step.
    update: aggregated update in gradient direction.
    learning_rate: step size.

  Returns:
    The server after the step; the defence's state is untouched.
  """
  public, items = server.public, update.items
  if transformation is DESCENT:
    table = public.items.at[items.item].add(-learning_rate * items.row, mode="drop")
    shared = jax.tree.map(lambda old, gradient: old - learning_rate * gradient, public.shared, update.shared)
    return server._replace(public=Public(table, shared))
  touched = jnp.zeros(public.items.shape[0], bool).at[items.item].set(True, mode="drop")
  direction, optimizer = direction_of_all(
    transformation, server.optimizer, public, Public(dense(items, public.items), update.shared), touched
  )
  moved = jax.tree.map(lambda old, step: old - learning_rate * step, public, direction)
  return server._replace(public=moved, optimizer=optimizer)


def direction_of_all(
  transformation: optax.GradientTransformationExtraArgs, state: Any, public: Public, gradient: Public, touched: Array
) -> tuple[Public, Any]:
  """The optimiser's direction and its next state.

  Args:
    transformation: gradient to direction.
    state: before the step.
    public: before the step.
    gradient: of the same shapes, zero for items that are not uploaded.
    touched: which items are uploaded, bool `[M]`.

  Returns:
    A direction of the same shapes, and the state after the step.
  """
  everything = Public(touched[:, None], jax.tree.map(lambda _: True, public.shared))
  return transformation.update(gradient, state, public, touched=everything)


def dense(rows: ItemRows, table: jax.Array) -> jax.Array:
  """Rows added up into an array of the shape of the item table `[M, d]`."""
  return jnp.zeros_like(table).at[rows.item].add(rows.row, mode="drop")


def direction_of_rows(
  transformation: optax.GradientTransformationExtraArgs, state: Any, public: Public, items: Array, gradient: Array
) -> Array:
  """The direction of some items' rows in a step in which only these are uploaded.

  Args:
    transformation: of the server, which works on each row by itself.
    state: of the optimiser before the step, left as it is.
    public: before the step.
    items: int32 `[T]`; an item may stand in several places.
    gradient: of these rows `[T, d]`; a row of zeros is one that is not uploaded.

  Returns:
    `[T, d]`.
  """
  has_rows = jax.tree.map(lambda leaf: leaf is public.items, public)

  def taken(leaf: Array, rows: bool) -> Array:
    return leaf[items] if rows else leaf

  state = optax.tree_utils.tree_map_params(transformation, taken, state, has_rows)
  still = jax.tree.map(jnp.zeros_like, public.shared)
  direction, _ = direction_of_all(
    transformation, state, public._replace(items=public.items[items]), Public(gradient, still),
    jnp.any(gradient != 0, axis=-1),
  )
  return direction.items


def step_rows(
  transformation: optax.GradientTransformationExtraArgs,
  state: Any,
  public: Public,
  items: Array,
  gradient: Array,
  learning_rate: Array | float,
) -> Array:
  """Where the server's step would take some items' rows, without taking it.

  Args:
    transformation: the server's optimiser, static; it works on each row by itself.
    state: of the optimiser before the step, left as it is.
    public: before the step.
    items: int32 `[..., T]`: the same for all trials, `[T]`, or each trial's own.
    gradient: of these rows, `[..., T, d]`: any number of trials at once. A row of zeros is one that is not uploaded.
    learning_rate: step size.

  Returns:
    Rows after the step, `[..., T, d]`.
  """
  if transformation is DESCENT:
    return public.items[items] - learning_rate * gradient
  if gradient.ndim > 2:
    one = functools.partial(step_rows, transformation, state, public, learning_rate=learning_rate)
    own = items.ndim == gradient.ndim - 1
    return jax.vmap(lambda items, gradient: one(items, gradient), in_axes=(0 if own else None, 0))(items, gradient)
  return public.items[items] - learning_rate * direction_of_rows(transformation, state, public, items, gradient)
