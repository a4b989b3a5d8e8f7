"""Uploads that resemble honest ones: the honest upload with something added, and what the server did before."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from fedrecjax.types import AttackContext, ClientUpdates
from fedrecjax.uploads.rows import by_client, concatenate


def added_to_honest(
  honest: ClientUpdates, weight: jax.Array | float, added: ClientUpdates, num_clients: int
) -> ClientUpdates:
  """Each client's honest upload times a weight, and its further rows and gradients.

  Args:
    honest: what the clients would send if they behaved.
    weight: of that.
    added: what is added to it.
    num_clients: C.

  Returns:
    Uploads with the places of both, those of each client following one another.
  """
  scaled = honest._replace(
    row=weight * honest.row, shared=jax.tree.map(lambda leaf: weight * leaf, honest.shared)
  )
  return by_client(concatenate(scaled, added), num_clients)


class LastSeen(NamedTuple):
  """The item table as attackers last received it.

  Attributes:
    table: float32 `[M, d]`.
    round: in which they did, int32 scalar; -1 before the first.
  """

  table: jax.Array
  round: jax.Array


def nothing_seen(context: AttackContext) -> LastSeen:
  """Before the first round."""
  return LastSeen(jnp.zeros((context.num_items, context.dim), jnp.float32), jnp.int32(-1))


def last_change(seen: LastSeen, table: jax.Array, number: jax.Array) -> tuple[jax.Array, jax.Array]:
  """How far the item table has moved per round since attackers last received it.

  Args:
    seen: what they received then.
    table: as they receive it now `[M, d]`.
    number: of this round, int32 scalar.

  Returns:
    `[M, d]`, and whether it is known, bool scalar: not when they receive the table for the first time.
  """
  known = seen.round >= 0
  return jnp.where(known, (table - seen.table) / (number - seen.round), 0.0), known


def distances(rows: jax.Array, client: jax.Array, num_clients: int) -> jax.Array:
  """The L2 norm of each client's rows taken together.

  Args:
    rows: `[E, d]`; zeros where a place is unused.
    client: place of each row's client, int32 `[E]`.
    num_clients: C.

  Returns:
    `[C]`.
  """
  return jnp.sqrt(jax.ops.segment_sum(jnp.sum(rows * rows, axis=1), client, num_clients))
