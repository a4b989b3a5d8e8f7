"""The step that a client takes with its own vector."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax

from fedrecjax.numerics.optimizers import own_arrays
from fedrecjax.types import Array


def init_client_optimizer(transformation: optax.GradientTransformation, private: Array, *, table: bool) -> Any:
  """The state of the clients' optimisers before the first round.

  Args:
    transformation: gradient to direction; see :mod:`fedrecjax.numerics.optimizers`.
    private: all clients' vectors `[clients, d]`.
    table: whether it is one optimiser at a server that keeps all vectors in a table (ClusterAttack's code). Else every
      client has a state of its own, and all arrays have clients as their first axis.
  """
  return own_arrays(transformation.init(private) if table else jax.vmap(transformation.init)(private))


def step_private(
  transformation: optax.GradientTransformation,
  optimizer: Any,
  private: Array,
  clients: Array,
  gradient: Array,
  learning_rate: Array,
  *,
  table: bool,
) -> tuple[Array, Any]:
  """Moves the vectors of a round's clients.

  Args:
    transformation: gradient to direction, static.
    optimizer: state, from :func:`init_client_optimizer`.
    private: all clients' vectors `[clients, d]`.
    clients: client in each place, int32 `[C]`; past the last client where a place is empty.
    gradient: of their vectors `[C, d]`.
    learning_rate: step size of each, float32 `[C]`; the same for all if there is one optimiser.
    table: whether there is one optimiser over all vectors, so that all of them move on in every round. Else a client
      that takes no part stands still, and so does its optimiser.

  Returns:
    All clients' vectors and the next state.
  """
  if table:
    dense = jnp.zeros_like(private).at[clients].set(gradient, mode="drop")
    rates = jnp.full(private.shape[0], jnp.max(learning_rate), private.dtype)
    direction, optimizer = transformation.update(dense, optimizer, private)
    return private - rates[:, None] * direction, optimizer
  own, states = jax.tree.map(lambda leaf: leaf.at[clients].get(mode="clip"), (private, optimizer))
  direction, states = jax.vmap(transformation.update)(gradient, states, own)
  optimizer = jax.tree.map(lambda all, some: all.at[clients].set(some, mode="drop"), optimizer, states)
  return private.at[clients].set(own - learning_rate[:, None] * direction, mode="drop"), optimizer
