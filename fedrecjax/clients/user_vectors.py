"""Users' vectors as a model makes them: a client's own vector, or what it infers from the client's items.

The lists of different lengths are laid end to end; no client is padded to the longest. Training and evaluation share
these functions.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from fedrecjax.clients.tiles import Tiles, map_samples
from fedrecjax.types import Array, Model


def attention_average(logit: Array, value: Array, client: Array, num_clients: int) -> tuple[Array, Array]:
  """Averages values within each client, weighted by the softmax of their logits.

  Args:
    logit: `[E]`; -inf leaves an entry out.
    value: `[E, p]`.
    client: place of each entry's client, int32 `[E]`.
    num_clients: C.

  Returns:
    Averages `[C, p]` and how many entries each is over `[C]`; zeros for clients without entries.

  >>> average, count = attention_average(
  ...   jnp.zeros(3), jnp.array([[1.0], [3.0], [5.0]]), jnp.array([0, 0, 2]), num_clients=3)
  >>> average[:, 0].tolist(), count.tolist()
  ([2.0, 0.0, 5.0], [2, 0, 1])
  """
  used = logit > -jnp.inf
  largest = jax.lax.stop_gradient(jax.ops.segment_max(logit, client, num_clients))
  # Without entries the largest is -inf, and so is an unused logit; neither may reach the exponential.
  shift = jnp.where(jnp.isfinite(largest), largest, 0.0)[client]
  weight = jnp.where(used, jnp.exp(jnp.where(used, logit - shift, 0.0)), 0.0)
  total = jax.ops.segment_sum(weight, client, num_clients)
  sums = jax.ops.segment_sum(weight[:, None] * value, client, num_clients)
  count = jax.ops.segment_sum(used.astype(jnp.int32), client, num_clients)
  return sums / jnp.where(total > 0, total, 1.0)[:, None], count


def vectors_of(neighbors: Array, private: Array, clients: Array) -> tuple[Array, Array]:
  """The vectors of the clients' neighbours as they are now `[C, K, d]`, and which of them there are, bool `[C, K]`.

  Args:
    neighbors: of every client, int32 `[clients, K]`; past the last client where there are fewer.
    private: all clients' vectors `[clients, d]`.
    clients: whose neighbours, int32 `[C]`.
  """
  found = neighbors.at[clients].get(mode="clip")
  return private.at[found].get(mode="clip"), found < private.shape[0]


def set_vectors(
  model: Model,
  private: Array,
  rows: Array,
  client: Array,
  valid: Array,
  shared: Any,
  *,
  tiles: Tiles | None = None,
  neighbors: tuple[Array, Array] | None = None,
) -> Array:
  """User vectors of a model that averages over a client's items.

  Args:
    model: with `attend` and `represent`.
    private: the clients' own vectors `[C, d]`.
    rows: of all their items, end to end `[E, d]`.
    client: place of each item's client, int32 `[E]`; C or more where unused.
    valid: which places are used, bool `[E]`.
    shared: the other public parameters; `[C, ...]` where tiles are given.
    tiles: of the entries, where clients have parameters of their own.
    neighbors: vectors of other users `[C, K, d]` and which of them are used `[C, K]`; they are attended like items.

  Returns:
    `[C, r]`.
  """
  assert model.attend is not None and model.represent is not None
  num_clients = private.shape[0]
  attend = model.attend

  def attend_row(shared: Any, private: Array, row: Array) -> tuple[Array, Array]:
    return attend(private, row, shared)

  own = private.at[client].get(mode="clip")
  logit, value = map_samples(attend_row, shared, tiles, own, rows)
  logit = jnp.where(valid, logit, -jnp.inf)
  entries = jnp.minimum(client, num_clients - 1)
  axis = None if tiles is None else 0
  if neighbors is not None:
    vectors, used = neighbors
    of_client = jax.vmap(attend_row, in_axes=(None, None, 0))
    more, values = jax.vmap(of_client, in_axes=(axis, 0, 0))(shared, private, vectors)
    logit = jnp.concatenate([logit, jnp.where(used, more, -jnp.inf).reshape(-1)])
    value = jnp.concatenate([value, values.reshape(-1, values.shape[-1])])
    entries = jnp.concatenate([entries, jnp.repeat(jnp.arange(num_clients, dtype=jnp.int32), used.shape[1])])
  average, count = attention_average(logit, value, entries, num_clients)
  return jax.vmap(model.represent, in_axes=(0, 0, 0, axis))(private, average, count, shared)


def vector_without_items(model: Model, private: Array, row: Array, shared: Any) -> Array:
  """The vector of a user without items: what an attacker that invents users can score items for.

  Args:
    model: base recommender.
    private: the user's own vector `[d]`; for models of histories, which have none, the vector itself.
    row: any item's row `[d]`, for its shape.
    shared: the other public parameters.

  Returns:
    `[r]`.
  """
  if model.attend is None or model.represent is None:
    return private
  _, value = model.attend(private, row, shared)
  return model.represent(private, jnp.zeros_like(value), jnp.int32(0), shared)


def sequence_vectors(
  model: Model, rows: Array, valid: Array, shared: Any, *, per_client: bool = False, keys: Array | None = None
) -> Array:
  """User vectors after each item of a history.

  Args:
    model: with `encode`.
    rows: of the histories' items `[C, L, d]`.
    valid: which places are used, bool `[C, L]`; the unused ones come first.
    shared: the other public parameters; `[C, ...]` if they differ between clients.
    per_client: whether they do.
    keys: of each client, for dropout; None without.

  Returns:
    `[C, L, r]`; what stands at unused places means nothing.
  """
  assert model.encode is not None
  axes = (0, 0, 0 if per_client else None, None if keys is None else 0)
  return jax.vmap(model.encode, in_axes=axes)(rows, valid, shared, keys)
