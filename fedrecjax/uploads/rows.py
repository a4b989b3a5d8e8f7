"""Uploads of a round as sparse item rows: laying them out, merging repeats, clipping and noise."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from fedrecjax.numerics.ordering import in_order
from fedrecjax.types import ClientUpdates


class Ragged(NamedTuple):
  """Lists of different lengths laid one after another into a fixed number of places P.

  Attributes:
    segment: list that the place belongs to, int32 `[P]`; the last list where the place is unused.
    offset: position within that list, int32 `[P]`.
    valid: whether the place is used, bool `[P]`.
  """

  segment: jax.Array
  offset: jax.Array
  valid: jax.Array


def ragged(lengths: jax.Array, capacity: int) -> Ragged:
  """Lays out lists of the given lengths `[C]`, which must not add up to more than `capacity`.

  >>> ragged(jnp.array([2, 0, 1]), 4).segment.tolist()
  [0, 0, 2, 2]
  """
  ends = jnp.cumsum(lengths, dtype=jnp.int32)
  place = jnp.arange(capacity, dtype=jnp.int32)
  segment = jnp.searchsorted(ends, place, side="right").astype(jnp.int32)
  valid = segment < lengths.shape[0]
  segment = jnp.minimum(segment, lengths.shape[0] - 1)
  return Ragged(segment, place - (ends - lengths)[segment], valid)


def no_uploads(dim: int) -> ClientUpdates:
  """Uploads without a single place."""
  return ClientUpdates(jnp.zeros(0, jnp.int32), jnp.zeros(0, jnp.int32), jnp.zeros((0, dim), jnp.float32))


def item_rows(slot: jax.Array, active: jax.Array, items: jax.Array, rows: jax.Array, num_items: int) -> ClientUpdates:
  """Uploads of A clients that each send the rows of K items.

  Args:
    slot: the clients' places in the round, int32 `[A]`.
    active: which of them send anything, bool `[A]`.
    items: the same items for all `[K]`, or each client's own `[A, K]`.
    rows: gradients `[A, K, d]`.
    num_items: M.

  Returns:
    Uploads with A * K places.
  """
  capacity = rows.shape[0] * rows.shape[1]
  items = jnp.where(active[:, None], jnp.broadcast_to(items, rows.shape[:2]), num_items)
  client = jnp.broadcast_to(slot[:, None], rows.shape[:2])
  return ClientUpdates(
    client.reshape(capacity).astype(jnp.int32), items.reshape(capacity), rows.reshape(capacity, rows.shape[2])
  )


def concatenate(first: ClientUpdates, second: ClientUpdates) -> ClientUpdates:
  """Uploads of two groups of clients of one round as one."""
  client, item, row = (jnp.concatenate(parts) for parts in zip(first[:3], second[:3], strict=True))
  if first.sent is None or second.sent is None:
    larger = first if second.sent is None else second
    return ClientUpdates(client, item, row, larger.shared, larger.sent)
  shared = jax.tree.map(jnp.add, first.shared, second.shared)
  return ClientUpdates(client, item, row, shared, first.sent | second.sent)


def by_client(uploads: ClientUpdates, num_clients: int) -> ClientUpdates:
  """The same rows with the places of each client following one another."""
  client, place = in_order(uploads.client, num_clients)
  return uploads._replace(client=client, item=uploads.item[place], row=uploads.row[place])


def keep_clients(uploads: ClientUpdates, kept: jax.Array, num_items: int) -> ClientUpdates:
  """Takes out what other clients sent; `kept` is bool `[C]` by the client's place in the round."""
  uploads = uploads._replace(item=jnp.where(kept[uploads.client], uploads.item, num_items))
  if uploads.sent is None:
    return uploads
  # Not a product with 0: what is taken out may be infinite.
  shared = jax.tree.map(lambda leaf: jnp.where(_for_each_client(kept, leaf), leaf, 0.0), uploads.shared)
  return uploads._replace(shared=shared, sent=uploads.sent & kept)


def packed(uploads: ClientUpdates, capacity: int, num_items: int) -> ClientUpdates:
  """The used places alone, in their order.

  Args:
    uploads: of any order.
    capacity: planned number of places, no fewer than are used.
    num_items: M.

  Returns:
    Uploads with `capacity` places.

  >>> sent = ClientUpdates(jnp.array([0, 1, 2]), jnp.array([7, 4, 9]), jnp.ones((3, 1)))
  >>> packed(sent, 2, num_items=9).item.tolist()
  [7, 4]
  """
  (place,) = jnp.nonzero(uploads.item < num_items, size=capacity, fill_value=uploads.item.shape[0])
  place = place.astype(jnp.int32)
  return uploads._replace(
    client=uploads.client.at[place].get(mode="fill", fill_value=0),
    item=uploads.item.at[place].get(mode="fill", fill_value=num_items),
    row=uploads.row.at[place].get(mode="fill", fill_value=0.0),
  )


def with_shared(
  uploads: ClientUpdates, slot: jax.Array, active: jax.Array, shared: Any, num_clients: int
) -> ClientUpdates:
  """Adds gradients of shared parameters to the uploads of A clients.

  Args:
    uploads: their item rows.
    slot: the clients' places in the round, int32 `[A]`.
    active: which of them send anything, bool `[A]`.
    shared: their gradients, a pytree of `[A, ...]`; nothing is added if it has no arrays.
    num_clients: C.
  """
  if not jax.tree.leaves(shared):
    return uploads
  place = jnp.where(active, slot, num_clients)
  spread = jax.tree.map(
    lambda leaf: jnp.zeros((num_clients, *leaf.shape[1:]), jnp.float32).at[place].set(leaf, mode="drop"), shared
  )
  return uploads._replace(shared=spread, sent=jnp.zeros(num_clients, bool).at[place].set(True, mode="drop"))


def add_shared(uploads: ClientUpdates) -> ClientUpdates:
  """The same item rows, with the gradients of shared parameters added up over clients, `[1, ...]`."""
  return uploads._replace(shared=jax.tree.map(lambda leaf: jnp.sum(leaf, axis=0, keepdims=True), uploads.shared))


def scale_shared(uploads: ClientUpdates, factor: jax.Array) -> ClientUpdates:
  """Multiplies each client's gradients of shared parameters by its factor, float32 `[C]`."""
  shared = jax.tree.map(lambda leaf: leaf * _for_each_client(factor, leaf), uploads.shared)
  return uploads._replace(shared=shared)


def _for_each_client(values: jax.Array, leaf: jax.Array) -> jax.Array:
  """Values `[C]` in a shape that goes with `leaf`, `[C, ...]`."""
  return values.reshape(-1, *(1,) * (leaf.ndim - 1))


def merge_rows(uploads: ClientUpdates, num_items: int, *, num_clients: int | None = None) -> ClientUpdates:
  """One row per client and item, in order of items; unused places come last.

  Args:
    uploads: with the places of one client following one another, unless `num_clients` is given.
    num_items: M.
    num_clients: C; the rows of an item are then in order of their clients, in whatever order they are given.

  Returns:
    Uploads of the same capacity in which the rows of one client for one item are added up.
  """
  capacity = uploads.item.shape[0]
  if capacity == 0:
    return uploads
  if num_clients is None:
    item, place = in_order(uploads.item, num_items)
  else:
    _, by_place = in_order(uploads.client, num_clients)
    item, place = in_order(uploads.item[by_place], num_items)
    place = by_place[place]
  client = uploads.client[place]
  used = item < num_items
  is_first = jnp.ones(capacity, bool).at[1:].set((item[1:] != item[:-1]) | (client[1:] != client[:-1])) & used
  destination = jnp.where(used, jnp.cumsum(is_first, dtype=jnp.int32) - 1, capacity)
  return uploads._replace(
    client=jnp.zeros_like(client).at[destination].set(client, mode="drop"),
    item=jnp.full_like(item, num_items).at[destination].set(item, mode="drop"),
    row=jnp.zeros_like(uploads.row).at[destination].add(uploads.row[place], mode="drop"),
  )


def compact(uploads: ClientUpdates, num_items: int) -> tuple[ClientUpdates, jax.Array]:
  """Moves unused places to the end; used ones keep their order.

  Args:
    uploads: of any order.
    num_items: M.

  Returns:
    The uploads, and the place each used one came from, int32 `[E]`; for the others E or a place that was unused.
  """
  capacity = uploads.item.shape[0]
  place = jnp.arange(capacity, dtype=jnp.int32)
  used = uploads.item < num_items

  def move(uploads: ClientUpdates) -> tuple[ClientUpdates, jax.Array]:
    destination = jnp.where(used, jnp.cumsum(used, dtype=jnp.int32) - 1, capacity)
    origin = jnp.full(capacity, capacity, jnp.int32).at[destination].set(place, mode="drop")
    moved = uploads._replace(
      client=uploads.client.at[origin].get(mode="fill", fill_value=0),
      item=uploads.item.at[origin].get(mode="fill", fill_value=num_items),
      row=uploads.row.at[origin].get(mode="fill", fill_value=0.0),
    )
    return moved, origin

  def stay(uploads: ClientUpdates) -> tuple[ClientUpdates, jax.Array]:
    return uploads, place

  # Most filters drop nothing in most rounds, and rows are many.
  return lax.cond(jnp.any(used[1:] & ~used[:-1]), move, stay, uploads)


def row_norms(row: jax.Array) -> jax.Array:
  """L2 norm of each row, `[..., d] -> [...]`."""
  return jnp.sqrt(jnp.sum(row * row, axis=-1))


def clip_factor(norm: jax.Array, max_norm: jax.Array | float) -> jax.Array:
  """What to multiply vectors of the given norms by to bring them to at most `max_norm`; 1 for shorter ones.

  >>> clip_factor(jnp.array([0.0, 2.0, 8.0]), 2.0).tolist()
  [1.0, 1.0, 0.25]
  """
  return jnp.where(norm > max_norm, max_norm / jnp.maximum(norm, max_norm), 1.0)


def clip_rows(row: jax.Array, max_norm: jax.Array | float) -> jax.Array:
  """Scales rows `[..., d]` down to an L2 norm of at most `max_norm`; shorter rows are untouched."""
  return row * clip_factor(row_norms(row), max_norm)[..., None]
