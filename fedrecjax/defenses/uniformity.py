"""How far apart item embeddings lie: UNION's measure of their uniformity."""

from __future__ import annotations

import jax.numpy as jnp
from jax import lax

from fedrecjax.types import Array

# Row blocks of the matrix of pairs: only those on and above its diagonal are computed.
_BLOCKS = 4


def mean_distance(rows: Array, label: Array) -> Array:
  """Mean Euclidean distance over all pairs of rows, T >= 2.

  Distances come from inner products of the rows, shifted to their mean to keep the rounding of close pairs small. Of
  equal rows that rounding would still be the whole distance, and more of it on some machines than on others, so that
  labels tell which are the same.

  Args:
    rows: `[T, d]`.
    label: int32 `[T]`; rows of one label are equal, and 0 apart.

  Returns:
    A scalar.
  """
  size = rows.shape[0]
  rows = rows - jnp.mean(rows, axis=0)
  square = jnp.sum(rows * rows, axis=1)
  block = -(-size // _BLOCKS)
  total = jnp.zeros((), jnp.float32)
  for start in range(0, size, block):
    some, rest = rows[start : start + block], rows[start:]
    product = jnp.matmul(some, rest.T, precision=lax.Precision.HIGHEST)
    distance = jnp.sqrt(jnp.maximum(square[start : start + block, None] + square[start:] - 2 * product, 0.0))
    later = jnp.arange(rest.shape[0], dtype=jnp.int32) > jnp.arange(some.shape[0], dtype=jnp.int32)[:, None]
    counted = later & (label[start : start + block, None] != label[start:])
    total += jnp.sum(jnp.where(counted, distance, 0.0))
  return total / (size * (size - 1) / 2)


def mean_squared_distance(rows: Array) -> Array:
  """Mean squared Euclidean distance over all pairs of rows, `[T, d] -> []`, T >= 2."""
  deviation = rows - jnp.mean(rows, axis=0)
  return 2 * jnp.sum(deviation * deviation) / (rows.shape[0] - 1)
