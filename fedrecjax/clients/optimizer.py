"""The step that a client takes with its own vector."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax

ClientOptimizer = Literal["sgd", "adam", "adam_table"]

_FIRST_DECAY, _SECOND_DECAY, _EPSILON = 0.9, 0.999, 1e-8


class ClientAdam(NamedTuple):
  """Adam of every client for itself, which stands still while the client does.

  Attributes:
    steps: that each client has taken, int32 `[clients]`.
    first: first moments, float32 `[clients, d]`.
    second: second moments, float32 `[clients, d]`.
  """

  steps: jax.Array
  first: jax.Array
  second: jax.Array


def init_client_optimizer(name: ClientOptimizer, private: jax.Array) -> Any:
  """The state of the clients' optimisers before the first round.

  Args:
    name: "sgd" has no state; "adam" one for each client, which advances when the client takes part; "adam_table" one
      Adam at a server that keeps all vectors in a table: everybody's moves on in every round (ClusterAttack's code).
    private: all clients' vectors `[clients, d]`.
  """
  if name == "sgd":
    return ()
  if name == "adam_table":
    return optax.scale_by_adam().init(private)
  return ClientAdam(jnp.zeros(private.shape[0], jnp.int32), jnp.zeros_like(private), jnp.zeros_like(private))


def adam_direction(
  steps: jax.Array, first: jax.Array, second: jax.Array, gradient: jax.Array, rows: jax.Array | None = None
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """One step of Adam for rows that have taken so many steps before.

  Args:
    steps: int32 `[...]`.
    first: first moments `[..., d]`.
    second: second moments `[..., d]`.
    gradient: `[..., d]`; of the rows given `[B, d]` if there are any.
    rows: int32 `[B]`, each once; the gradient of all others is zero. One beyond the last is dropped.

  Returns:
    Direction, first and second moments, `[..., d]` each.

  References:
    Kingma and Ba, "Adam: A Method for Stochastic Optimization", 2015, Algorithm 1.
  """
  fresh, squares = (1 - _FIRST_DECAY) * gradient, (1 - _SECOND_DECAY) * gradient * gradient
  first, second = _FIRST_DECAY * first, _SECOND_DECAY * second
  if rows is None:
    first, second = first + fresh, second + squares
  else:
    first, second = first.at[rows].add(fresh, mode="drop"), second.at[rows].add(squares, mode="drop")
  taken = (steps + 1).astype(first.dtype)[..., None]
  unbiased = first / (1 - _FIRST_DECAY**taken)
  return unbiased / (jnp.sqrt(second / (1 - _SECOND_DECAY**taken)) + _EPSILON), first, second


def step_private(
  optimizer: Any, private: jax.Array, clients: jax.Array, gradient: jax.Array, learning_rate: jax.Array
) -> tuple[jax.Array, Any]:
  """Moves the vectors of a round's clients.

  Args:
    optimizer: state, from :func:`init_client_optimizer`.
    private: all clients' vectors `[clients, d]`.
    clients: client in each place, int32 `[C]`; past the last client where a place is empty.
    gradient: of their vectors `[C, d]`.
    learning_rate: step size of each, float32 `[C]`.

  Returns:
    All clients' vectors and the next state.
  """
  if isinstance(optimizer, optax.ScaleByAdamState):
    dense = jnp.zeros_like(private).at[clients].set(gradient, mode="drop")
    rates = jnp.full(private.shape[0], jnp.max(learning_rate))
    direction, optimizer = optax.scale_by_adam().update(dense, optimizer)
    return private - rates[:, None] * direction, optimizer
  own = private.at[clients].get(mode="clip")
  if isinstance(optimizer, ClientAdam):
    steps, before, before_squares = (leaf.at[clients].get(mode="clip") for leaf in optimizer)
    direction, first, second = adam_direction(steps, before, before_squares, gradient)
    optimizer = ClientAdam(
      optimizer.steps.at[clients].add(1, mode="drop"),
      optimizer.first.at[clients].set(first, mode="drop"),
      optimizer.second.at[clients].set(second, mode="drop"),
    )
  else:
    direction = gradient
  return private.at[clients].set(own - learning_rate[:, None] * direction, mode="drop"), optimizer
