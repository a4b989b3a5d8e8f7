"""Sorting of small integers together with the places that they come from."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax


def in_order(values: jax.Array, largest: int) -> tuple[jax.Array, jax.Array]:
  """Values in ascending order and the places they come from; equal values keep their order.

  Args:
    values: int32 `[n]`, 0..largest.
    largest: static.

  Returns:
    Two arrays int32 `[n]`.

  >>> [one.tolist() for one in in_order(jnp.array([2, 0, 2, 1]), 2)]
  [[0, 1, 2, 2], [1, 3, 0, 2]]
  """
  count = values.shape[0]
  place_bits = max(count - 1, 1).bit_length()
  if largest.bit_length() + place_bits <= 32:
    # One sort of packed integers: on a CPU a sort of two operands takes six times as long.
    place = jnp.arange(count, dtype=jnp.uint32)
    packed = lax.sort((values.astype(jnp.uint32) << place_bits) | place)
    return (packed >> place_bits).astype(jnp.int32), (packed & ((1 << place_bits) - 1)).astype(jnp.int32)
  ordered, place = lax.sort((values, jnp.arange(count, dtype=jnp.int32)), num_keys=1, is_stable=True)
  return ordered, place
