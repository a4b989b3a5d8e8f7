"""Rules that look at one item's rows at a time, for items that a few or a few hundred clients touched.

Items are ordered by how many clients touched them and worked on in tiles of items of a similar count. A tile of
size class K is an array `[K, tile, d]`; how many tiles a class has is decided by the round's data in a loop, so that
no plan can be too small, and the work follows the number of rows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from fedrecjax.types import ClientUpdates, ItemRows
from fedrecjax.uploads.items_by_size import ItemsBySize, items_by_size

TILE_ROWS = 1024
TILE_PAIRS = 2**17
_SMALLEST_CLASS = 4

Work = Literal["rows", "pairs"]


class ItemResult(NamedTuple):
  """What a rule makes of the rows of G items.

  Attributes:
    row: one row for each item, `[G, d]`.
    kept: which rows had a part in it, bool `[K, G]`; None if all had.
  """

  row: jax.Array
  kept: jax.Array | None = None


Rule = Callable[[jax.Array, jax.Array], ItemResult]


class _Groups(NamedTuple):
  """What there is to work on.

  Attributes:
    uploads: the round's, in order of items.
    items: all of them in ascending order of how many clients touched them.
    absent_rows: None, or how many rows an item has that anybody touched.
  """

  uploads: ClientUpdates
  items: ItemsBySize
  absent_rows: jax.Array | None


def map_items(
  rule: Rule,
  uploads: ClientUpdates,
  *,
  num_items: int,
  max_count: int,
  work: Work = "rows",
  absent_rows: jax.Array | None = None,
) -> tuple[ItemRows, jax.Array | None]:
  """Applies a rule to the rows of each item.

  Args:
    rule: `(rows [K, G, d], count [G]) -> ItemResult` for G items, of which item g has `count[g]` rows,
      1 <= count <= K; the other rows are +inf. What it returns for a count of 0 is ignored.
    uploads: one row per client and item in order of items (:func:`fedrecjax.uploads.rows.merge_rows`).
    num_items: M.
    max_count: the most clients that can touch an item, C.
    work: what the rule's cost grows with: "rows", or "pairs" of rows. K is a power of two for "rows"; tiles are smaller
      for "pairs", and classes fewer, because such rules take longer to compile.
    absent_rows: None, or the number n of clients in the round, int32 scalar: every item that anybody touched then
      has n rows, that of the client in place c of the round as row c, and zeros for clients that sent none. Clients
      must be in places 0..n - 1. All items are worked on at size C, which is slow.

  Returns:
    One row for every item, zero for items that nobody touched; and which uploads were kept, bool `[E]`, False for
    unused places (None if the rule does not tell).
  """
  capacity, dim = uploads.row.shape
  most = min(max_count, capacity)
  sizes = [max_count] if absent_rows is not None else _size_classes(work, most)
  items = items_by_size(uploads.item, num_items, sizes, most=most)
  groups = _Groups(uploads, items, absent_rows)
  tiles = [_tile(work, size, many=absent_rows is not None) for size in sizes]
  places = num_items + max(tiles)
  result = jnp.zeros((places, dim), jnp.float32)
  kept = jnp.zeros((sizes[-1], places), bool) if _tells_kept(rule, sizes[0], tiles[0], dim) else None
  for number, (size, tile) in enumerate(zip(sizes, tiles, strict=True)):
    result, kept = _map_class(rule, groups, (result, kept), items.ends[number], items.ends[number + 1], size, tile)
  rows = ItemRows(jnp.where(items.size > 0, items.item, num_items), result[:num_items])
  if kept is None:
    return rows, None
  group = jnp.zeros(num_items, jnp.int32).at[items.item].set(jnp.arange(num_items, dtype=jnp.int32))
  group = group.at[uploads.item].get(mode="clip")
  member = jnp.arange(capacity, dtype=jnp.int32) - items.start[group] if absent_rows is None else uploads.client
  return rows, kept.at[member, group].get(mode="clip") & (uploads.item < num_items)


def _size_classes(work: Work, bound: int) -> list[int]:
  """Ascending sizes, the last of them at least `bound`."""
  sizes = [_SMALLEST_CLASS]
  while sizes[-1] < bound:
    if work == "rows":
      sizes.append(2 * sizes[-1])
    else:
      # Every class takes up to a second to compile, and most items have few rows or some dozens.
      sizes.append(min(8 * sizes[-1] if len(sizes) == 1 else 2 * sizes[-1], bound))
  return sizes


def _tile(work: Work, size: int, *, many: bool) -> int:
  """How many items of a size class are worked on at once; `many`: even if it is the class of the largest counts."""
  if work == "rows":
    return max(TILE_ROWS // size, 1)
  # Vector units want 32 items side by side, of which some may be missing; but few items are touched by very many
  # clients, and what a tile holds should fit into the caches.
  pairs = size * size
  return max(min(TILE_PAIRS // pairs, 8 * TILE_ROWS // size), min(32, (16 if many else 4) * TILE_PAIRS // pairs), 1)


def _tells_kept(rule: Rule, size: int, tile: int, dim: int) -> bool:
  rows, count = jax.ShapeDtypeStruct((size, tile, dim), jnp.float32), jax.ShapeDtypeStruct((tile,), jnp.int32)
  return jax.eval_shape(rule, rows, count).kept is not None


def _map_class(
  rule: Rule,
  groups: _Groups,
  carry: tuple[jax.Array, jax.Array | None],
  first: jax.Array,
  end: jax.Array,
  size: int,
  tile: int,
) -> tuple[jax.Array, jax.Array | None]:
  """Fills places first..end-1 of the result, whose items have at most `size` rows, tile by tile."""
  capacity = groups.uploads.item.shape[0]
  member = jnp.arange(size, dtype=jnp.int32)[:, None]
  place = jnp.arange(tile, dtype=jnp.int32)

  def one_tile(number: jax.Array, carry: tuple[jax.Array, jax.Array | None]) -> tuple[jax.Array, jax.Array | None]:
    result, kept = carry
    begin = first + number * tile
    count = jnp.where(begin + place < end, groups.items.size.at[begin + place].get(mode="clip"), 0)
    source = groups.items.start.at[begin + place].get(mode="clip") + member
    source = jnp.where(member < count, source, capacity)
    missing: float | jax.Array = jnp.inf
    if groups.absent_rows is not None:
      client = jnp.where(source < capacity, groups.uploads.client.at[source].get(mode="clip"), size)
      source = jnp.full_like(source, capacity).at[client, place].set(source, mode="drop")
      count = jnp.where(count > 0, groups.absent_rows, 0)
      missing = jnp.where(member < count, jnp.float32(0.0), jnp.inf)[..., None]
    values = groups.uploads.row.at[source].get(mode="clip")
    row, kept_here = rule(jnp.where((source < capacity)[..., None], values, missing), count)
    # A tile may run past its class; the places it spoils there belong to a later class, which overwrites them.
    result = lax.dynamic_update_slice(result, row, (begin, jnp.int32(0)))
    if kept is not None and kept_here is not None:
      kept = lax.dynamic_update_slice(kept, kept_here, (jnp.int32(0), begin))
    return result, kept

  return lax.fori_loop(0, -(-(end - first) // tile), one_tile, carry)


def sort_rows(values: jax.Array) -> jax.Array:
  """Sorts `[K, G, d]` along its first axis by a bitonic network.

  XLA's sort of many short columns takes five to ten times as long on a CPU (docs/speed.md). Stages are one loop,
  not unrolled, which keeps compilation at a tenth of a second. A K that is no power of two costs as much as the next.

  >>> sort_rows(jnp.array([3.0, 1.0, 2.0])[:, None, None])[:, 0, 0].tolist()
  [1.0, 2.0, 3.0]
  """
  wanted = values.shape[0]
  size = 1 << max(wanted - 1, 0).bit_length()
  stages = [(1 << high, 1 << low) for high in range(1, size.bit_length()) for low in reversed(range(high))]
  if not stages:
    return values
  if size > wanted:
    values = jnp.pad(values, ((0, size - wanted), (0, 0), (0, 0)), constant_values=jnp.inf)
  # Twice as fast as with two axes behind the sorted one.
  shape, values = values.shape, values.reshape(size, -1)
  table = jnp.array(stages, jnp.int32)
  place = jnp.arange(size, dtype=jnp.int32)

  def stage(number: jax.Array, values: jax.Array) -> jax.Array:
    block, distance = table[number]
    other = values[place ^ distance]
    take_smaller = ((place & block) == 0) == ((place & distance) == 0)
    return jnp.where(take_smaller[:, None], jnp.minimum(values, other), jnp.maximum(values, other))

  return lax.fori_loop(0, len(stages), stage, values).reshape(shape)[:wanted]
