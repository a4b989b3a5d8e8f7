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
  chunks = -(-dim // _DIMENSIONS_AT_ONCE)
  padding = chunks * _DIMENSIONS_AT_ONCE - dim
  columns = jnp.moveaxis(jnp.pad(rows, ((0, 0), (0, 0), (0, padding))), 2, 0)

  def add_chunk(number: jax.Array, total: jax.Array) -> jax.Array:
    for column in lax.dynamic_slice_in_dim(columns, number * _DIMENSIONS_AT_ONCE, _DIMENSIONS_AT_ONCE):
      total = total + (column[:, None] - column) ** 2
    return total

  total = lax.fori_loop(0, chunks, add_chunk, jnp.zeros((size, size, groups), jnp.float32))
  return total if squared else jnp.sqrt(total)
