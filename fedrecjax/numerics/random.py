"""The random numbers of :mod:`jax.random`, drawn without loops.

On a CPU JAX compiles its generator, Threefry, as loops over rounds, each of which goes over all numbers in memory.
Where a round of training draws hundreds of thousands of them the same arithmetic in one piece takes a third of the
time; it takes longer to compile, and is not worth it for a few.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from fedrecjax.types import Array

GENERATOR = "threefry2x32"
"""The implementation of JAX keys that the functions here take."""

# Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3", 2011: rotations of Threefry-2x32-20, and the parity of
# the key schedule.
_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = np.uint32(0x1BD11BDA)


def _words(key: Array) -> tuple[Array, Array]:
  if str(jax.random.key_impl(key)) != GENERATOR:
    raise TypeError(f"the key must be of {GENERATOR}, got {jax.random.key_impl(key)}")
  first, second = jax.random.key_data(key)
  return first, second


def threefry(key: tuple[Array, Array], first: Array, second: Array) -> tuple[Array, Array]:
  """Threefry-2x32 with 20 rounds.

  Args:
    key: two words, uint32 scalars.
    first: first word of each counter, uint32 of any shape.
    second: second words, of the same shape.

  Returns:
    Both words of each block.
  """
  schedule = (*key, key[0] ^ key[1] ^ _PARITY)
  first, second = first + schedule[0], second + schedule[1]
  for group in range(5):
    for turn in _ROTATIONS[group % 2]:
      first = first + second
      second = ((second << np.uint32(turn)) | (second >> np.uint32(32 - turn))) ^ first
    first = first + schedule[(group + 1) % 3]
    second = second + schedule[(group + 2) % 3] + np.uint32(group + 1)
  return first, second


def folded_words(key: Array, numbers: Array) -> Array:
  """Key data of :func:`jax.random.fold_in` of many numbers into one key, int32 `[n] -> uint32 [n, 2]`.

  >>> key = jax.random.key(3)
  >>> bool((folded_words(key, jnp.arange(2))[1] == jax.random.key_data(jax.random.fold_in(key, 1))).all())
  True
  """
  numbers = numbers.astype(jnp.uint32)
  return jnp.stack(threefry(_words(key), jnp.zeros_like(numbers), numbers), axis=-1)


def bits(key: Array, shape: tuple[int, ...]) -> Array:
  """:func:`jax.random.bits`, uint32, of fewer than 2^32 numbers.

  >>> bool((bits(jax.random.key(3), (5,)) == jax.random.bits(jax.random.key(3), (5,))).all())
  True
  """
  counter = jnp.arange(math.prod(shape), dtype=jnp.uint32).reshape(shape)
  first, second = threefry(_words(key), jnp.zeros_like(counter), counter)
  return first ^ second


def uniform(key: Array, shape: tuple[int, ...]) -> Array:
  """:func:`jax.random.uniform` in 0..1, float32."""
  # The first 23 digits, put behind a one: from 1 to 2.
  ones = (bits(key, shape) >> np.uint32(9)) | np.uint32(0x3F800000)
  return lax.bitcast_convert_type(ones, jnp.float32) - 1


def normal(key: Array, shape: tuple[int, ...]) -> Array:
  """:func:`jax.random.normal`, float32."""
  least = np.nextafter(np.float32(-1), np.float32(0))
  return np.float32(np.sqrt(2)) * lax.erf_inv(jnp.maximum(uniform(key, shape) * (1 - least) + least, least))
