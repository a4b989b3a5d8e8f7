"""Binary search in parts of one sorted array, many at once."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax


def count_up_to(
  values: jax.Array, start: jax.Array, length: jax.Array, bound: jax.Array, *, longest: int
) -> jax.Array:
  """How many entries of a sorted part of an array are at most as large as a bound.

  Args:
    values: int32 `[n]`, n > 0; each part asked for is in ascending order.
    start: first entry of the part, int32, any shape.
    length: entries of the part, same shape.
    bound: same shape.
    longest: a length that no part exceeds, static.

  Returns:
    int32 of the same shape.

  >>> part = jnp.array([3]), jnp.array([2])
  >>> count_up_to(jnp.array([1, 4, 9, 2, 5]), *part, jnp.array([4]), longest=3).tolist()
  [1]
  """
  last = values.shape[0] - 1

  def halve(_: int, bounds: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
    low, high = bounds
    middle = (low + high) // 2
    below = (values[jnp.minimum(start + middle, last)] <= bound) & (low < high)
    return jnp.where(below, middle + 1, low), jnp.where(below, high, middle)

  # The parts' lengths are data, not structure: this many halvings always do.
  low, _ = lax.fori_loop(0, longest.bit_length(), halve, (jnp.zeros_like(length), length))
  return low
