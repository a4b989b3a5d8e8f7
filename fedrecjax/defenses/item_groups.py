"""Rules that look at one item's rows at a time, for items that a few or a few hundred clients touched.

Items are ordered by how many clients touched them and worked on in tiles of items of a similar count. A tile of
size class K is an array `[K, tile, d]`; how many tiles a class has is decided by the round's data in a loop, so that
no plan can be too small, and the work follows the number of rows.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from fedrecjax.types import ClientUpdates, ItemRows

TILE_ROWS = 2048
_SMALLEST_CLASS = 4


def map_items(
  rule: Callable[[jax.Array, jax.Array], jax.Array], uploads: ClientUpdates, *, num_items: int, max_count: int
) -> ItemRows:
  """Applies a rule to the rows of each item.

  Args:
    rule: `(rows [K, G, d], count [G]) -> [G, d]` for G items, of which item g has `count[g]` rows, 1 <= count <= K;
      the other rows are +inf. What it returns for a count of 0 is ignored.
    uploads: one row per client and item in order of items (:func:`fedrecjax.uploads.merge_rows`).
    num_items: M.
    max_count: the most clients that can touch an item, C.

  Returns:
    One row for every item; zero for items that nobody touched.
  """
  capacity, dim = uploads.row.shape
  counts = jnp.zeros(num_items, jnp.int32).at[uploads.item].add(1, mode="drop")
  starts = jnp.cumsum(counts) - counts
  order = jnp.argsort(counts).astype(jnp.int32)
  ordered_counts, ordered_starts = counts[order], starts[order]
  result = jnp.zeros((num_items + TILE_ROWS, dim))
  size, first = _SMALLEST_CLASS, jnp.searchsorted(ordered_counts, 0, side="right").astype(jnp.int32)
  while True:
    end = jnp.searchsorted(ordered_counts, size, side="right").astype(jnp.int32)
    result = _map_class(rule, uploads.row, ordered_counts, ordered_starts, result, first, end, size)
    if size >= min(max_count, capacity):
      break
    size, first = 2 * size, end
  touched = jnp.where(ordered_counts > 0, order, num_items)
  return ItemRows(touched, result[:num_items])


def _map_class(
  rule: Callable[[jax.Array, jax.Array], jax.Array],
  rows: jax.Array,
  counts: jax.Array,
  starts: jax.Array,
  result: jax.Array,
  first: jax.Array,
  end: jax.Array,
  size: int,
) -> jax.Array:
  """Fills places first..end-1 of `result`, whose items have at most `size` rows, tile by tile."""
  tile = max(TILE_ROWS // size, 1)
  member = jnp.arange(size, dtype=jnp.int32)[:, None]
  place = jnp.arange(tile, dtype=jnp.int32)

  def one_tile(number: jax.Array, result: jax.Array) -> jax.Array:
    begin = first + number * tile
    count = jnp.where(begin + place < end, counts.at[begin + place].get(mode="clip"), 0)
    start = starts.at[begin + place].get(mode="clip")
    values = jnp.where((member < count)[..., None], rows.at[start + member].get(mode="clip"), jnp.inf)
    # A tile may run past its class; the places it spoils there belong to a later class, which overwrites them.
    return lax.dynamic_update_slice(result, rule(values, count), (begin, 0))

  return lax.fori_loop(0, -(-(end - first) // tile), one_tile, result)


def sort_rows(values: jax.Array) -> jax.Array:
  """Sorts `[K, G, d]` along its first axis, K a power of two, by a bitonic network.

  XLA's sort of many short columns takes five to ten times as long on a CPU (docs/speed.md). Stages are one loop,
  not unrolled, which keeps compilation at a tenth of a second.

  >>> sort_rows(jnp.array([3.0, 1.0, 2.0, 0.0])[:, None, None])[:, 0, 0].tolist()
  [0.0, 1.0, 2.0, 3.0]
  """
  size = values.shape[0]
  stages = [(1 << high, 1 << low) for high in range(1, size.bit_length()) for low in reversed(range(high))]
  if not stages:
    return values
  table = jnp.array(stages, jnp.int32)
  place = jnp.arange(size, dtype=jnp.int32)

  def stage(number: int, values: jax.Array) -> jax.Array:
    block, distance = table[number]
    other = values[place ^ distance]
    take_smaller = ((place & block) == 0) == ((place & distance) == 0)
    return jnp.where(take_smaller[:, None, None], jnp.minimum(values, other), jnp.maximum(values, other))

  return lax.fori_loop(0, len(stages), stage, values)
