"""Items of a round ordered by how many clients touched them, for work in tiles of items of a similar size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from fedrecjax.numerics.ordering import in_order


class ItemsBySize(NamedTuple):
  """All M items, class by class.

  Attributes:
    item: item ids, int32 `[M]`.
    size: how many rows each of them has, int32 `[M]`.
    start: place of its first row in the uploads, int32 `[M]`.
    ends: where the items without rows end, and where each class does, int32 `[classes + 1]`.
  """

  item: jax.Array
  size: jax.Array
  start: jax.Array
  ends: jax.Array


def items_by_size(
  item: jax.Array, num_items: int, classes: Sequence[int], *, most: int, within: Literal["size", "item"] = "size"
) -> ItemsBySize:
  """Orders items by the class of their size: items without rows first, then each class, then larger items.

  Args:
    item: of each uploaded row, int32 `[E]`, in ascending order, `num_items` where unused.
    num_items: M.
    classes: the largest size of each class, ascending.
    most: rows that no item has more of.
    within: what the items of one class are in ascending order of. Equal sizes are in order of items.

  Returns:
    The items.

  >>> items_by_size(jnp.array([0, 0, 2, 3, 3, 3]), 4, [2, 4], most=6).ends.tolist()
  [1, 3, 4]
  """
  size = jnp.zeros(num_items, jnp.int32).at[item].add(1, mode="drop")
  start = jnp.cumsum(size, dtype=jnp.int32) - size
  bounds = jnp.array([0, *classes], jnp.int32)
  ends = jnp.sum(size <= bounds[:, None], axis=1, dtype=jnp.int32)
  if within == "size":
    _, order = in_order(size, most)
  else:
    _, order = in_order(jnp.searchsorted(bounds, size), len(bounds))
  return ItemsBySize(order, size[order], start[order], ends)
