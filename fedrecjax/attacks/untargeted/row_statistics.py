"""What an attacker knows about honest gradients: mean, deviation and range of each coordinate, item by item.

An item's statistics are over the clients that sent a row for it, as in sparse aggregation, or over all clients, of
which those that did not send one count as zeros, as in code that treats uploads as dense vectors.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from fedrecjax.types import Array, ClientUpdates

Absent = Literal["skipped", "zeros"]
Spread = Literal["population", "sample"]


class RowStatistics(NamedTuple):
  """Statistics of honest gradients; those of what nobody sent are zeros.

  Attributes:
    clients: how many sent the row, int32 `[M]`; a scalar for one row.
    mean: of each coordinate, `[M, d]`; `[d]` for one row.
    deviation: standard deviation, of the same shape.
    low: smallest value, of the same shape.
    high: largest value, of the same shape.
  """

  clients: Array
  mean: Array
  deviation: Array
  low: Array
  high: Array


def _completed(
  count: Array, mean: Array, squares: Array, low: Array, high: Array, *, members: Array | None, spread: Spread
) -> RowStatistics:
  """Statistics from those over the clients that sent a row, and the zeros of other members.

  Args:
    count: clients that sent it.
    mean: over them.
    squares: sum of their squared distances from it.
    low: smallest of their values.
    high: largest.
    members: clients in all; None if only those that sent a row count.
    spread: whether sums of squares are divided by the number of values, or by one less.
  """
  sent = jnp.expand_dims(count.astype(jnp.float32), range(count.ndim, mean.ndim))
  total, center = sent, mean
  if members is not None:
    total = jnp.maximum(members.astype(jnp.float32), sent)
    center = mean * sent / jnp.maximum(total, 1.0)
    squares = squares + sent * (mean - center) ** 2 + (total - sent) * center**2
    low = jnp.where(total > sent, jnp.minimum(low, 0.0), low)
    high = jnp.where(total > sent, jnp.maximum(high, 0.0), high)
  divisor = jnp.maximum(total - (1.0 if spread == "sample" else 0.0), 1.0)
  return RowStatistics(count, center, jnp.sqrt(squares / divisor), low, high)


def item_statistics(
  uploads: ClientUpdates, num_items: int, *, members: Array | None = None, spread: Spread = "population"
) -> RowStatistics:
  """Statistics of every item's rows.

  Args:
    uploads: one row per client and item, in order of items (:func:`fedrecjax.uploads.rows.merge_rows`).
    num_items: M.
    members: clients in all, int32 scalar, if those that sent no row for an item count as zeros; else None.
    spread: whether a variance of n values divides by n or by n - 1; that of a single value is 0.

  Returns:
    `[M, ...]`, zeros for items that nobody sent.

  >>> sent = ClientUpdates(jnp.array([0, 1, 0]), jnp.array([0, 0, 2]), jnp.array([[1.0], [3.0], [5.0]]))
  >>> item_statistics(sent, 3).mean[:, 0].tolist(), item_statistics(sent, 3).deviation[:, 0].tolist()
  ([2.0, 0.0, 5.0], [1.0, 0.0, 0.0])
  """

  def added(values: Array) -> Array:
    return jax.ops.segment_sum(values, uploads.item, num_items, indices_are_sorted=True)

  count = added(jnp.ones_like(uploads.item))
  some = (count > 0)[:, None]
  mean = added(uploads.row) / jnp.maximum(count, 1)[:, None]
  squares = added((uploads.row - mean.at[uploads.item].get(mode="fill", fill_value=0.0)) ** 2)
  low = jax.ops.segment_min(uploads.row, uploads.item, num_items, indices_are_sorted=True)
  high = jax.ops.segment_max(uploads.row, uploads.item, num_items, indices_are_sorted=True)
  low, high = jnp.where(some, low, 0.0), jnp.where(some, high, 0.0)
  return _completed(count, mean, squares, low, high, members=members, spread=spread)


def shared_statistics(uploads: ClientUpdates, *, spread: Spread = "population") -> Any:
  """Statistics of gradients of shared parameters over the clients that sent them.

  Args:
    uploads: with `shared` of `[C, ...]`.
    spread: as in :func:`item_statistics`.

  Returns:
    A pytree of the shared parameters' structure with :class:`RowStatistics` of `[...]` for leaves; `()` without any.
  """
  if uploads.sent is None:
    return uploads.shared
  sent = uploads.sent
  count = jnp.sum(sent, dtype=jnp.int32)

  def of_array(leaf: Array) -> RowStatistics:
    taken = sent.reshape(-1, *(1,) * (leaf.ndim - 1))
    mean = jnp.sum(jnp.where(taken, leaf, 0.0), axis=0) / jnp.maximum(count, 1)
    squares = jnp.sum(jnp.where(taken, (leaf - mean) ** 2, 0.0), axis=0)
    low = jnp.where(count > 0, jnp.min(jnp.where(taken, leaf, jnp.inf), axis=0), 0.0)
    high = jnp.where(count > 0, jnp.max(jnp.where(taken, leaf, -jnp.inf), axis=0), 0.0)
    return _completed(count, mean, squares, low, high, members=None, spread=spread)

  return jax.tree.map(of_array, uploads.shared)


def senders(uploads: ClientUpdates, num_clients: int, num_items: int) -> Array:
  """Number of clients that sent any row, int32 scalar; `uploads` are from `num_clients` places."""
  used = uploads.item < num_items
  return jnp.sum(jnp.zeros(num_clients, bool).at[uploads.client].max(used), dtype=jnp.int32)


def overall_statistics(uploads: ClientUpdates, num_items: int, *, spread: Spread = "population") -> RowStatistics:
  """Statistics of all rows together, whatever their item, `[d]`; arguments as in :func:`item_statistics`."""
  together = uploads._replace(item=jnp.where(uploads.item < num_items, jnp.int32(0), 1))
  return jax.tree.map(lambda leaf: leaf[0], item_statistics(together, 1, spread=spread))
