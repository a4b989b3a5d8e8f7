"""Distances between the rows of many groups at once."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax

_DIMENSIONS_AT_ONCE = 8


def pairwise_distances(rows: jax.Array, *, squared: bool) -> jax.Array:
  """Euclidean distances between the rows of each group, from differences: equal rows are exactly 0 apart.

  Args:
    rows: `[K, G, d]`.
    squared: whether to return their squares.

  Returns:
    `[K, K, G]`, symmetric to the last bit.
  """
  size, groups, dim = rows.shape
  # A loop of one step would be inlined, and what it adds up be worked out again, and rounded otherwise, wherever a
  # distance is compared with itself.
  chunks = max(-(-dim // _DIMENSIONS_AT_ONCE), 2)
  at_once = -(-dim // chunks)
  padding = chunks * at_once - dim
  columns = jnp.moveaxis(jnp.pad(rows, ((0, 0), (0, 0), (0, padding))), 2, 0)

  def add_chunk(number: jax.Array, total: jax.Array) -> jax.Array:
    for column in lax.dynamic_slice_in_dim(columns, number * at_once, at_once):
      total = total + (column[:, None] - column) ** 2
    return total

  total = lax.fori_loop(0, chunks, add_chunk, jnp.zeros((size, size, groups), jnp.float32))
  return total if squared else jnp.sqrt(total)
