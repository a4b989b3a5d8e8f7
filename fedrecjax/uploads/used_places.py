"""Mapping a function over planned places of which few may be used."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

CHUNK = 1024


def map_used(function: Callable[..., Any], used: jax.Array, *arguments: jax.Array, chunk: int = CHUNK) -> Any:
  """Applies a function to every place, in chunks, leaving out chunks of which no place is used.

  Args:
    function: unbatched; returns a pytree of arrays.
    used: bool `[E]`.
    *arguments: `[E, ...]`.
    chunk: places that are worked on at once.

  Returns:
    What the function returns, `[E, ...]`. At unused places it means nothing.

  >>> map_used(lambda number: 2 * number, jnp.array([True, True, False]), jnp.arange(3))[:2].tolist()
  [0, 2]
  """
  places = used.shape[0]
  chunks = -(-places // chunk)

  def in_chunks(leaf: jax.Array) -> jax.Array:
    padded = jnp.pad(leaf, [(0, chunks * chunk - places), *[(0, 0)] * (leaf.ndim - 1)])
    return padded.reshape(chunks, chunk, *leaf.shape[1:])

  each = jax.vmap(function)

  def of_chunk(taken: tuple[jax.Array, ...]) -> Any:
    shapes = jax.eval_shape(each, *taken[1:])

    def nothing(*arguments: jax.Array) -> Any:
      del arguments
      return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)

    return lax.cond(jnp.any(taken[0]), each, nothing, *taken[1:])

  results = lax.map(of_chunk, tuple(in_chunks(leaf) for leaf in (used, *arguments)))
  return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:])[:places], results)
