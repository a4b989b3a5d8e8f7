"""Directions of embeddings, with zero vectors taken care of."""

from __future__ import annotations

import jax
import jax.numpy as jnp

_SMALLEST_NORM = 1e-8


def _length(vector: jax.Array) -> jax.Array:
  """L2 norm of a vector `[d]`; 0, with gradient 0, where it is too short to have a direction."""
  square = jnp.sum(vector * vector)
  return jnp.sqrt(jnp.where(square > _SMALLEST_NORM**2, square, 1.0)) * (square > _SMALLEST_NORM**2)


def cosine(first: jax.Array, second: jax.Array) -> jax.Array:
  """Cosine similarity of two vectors `[d]`; 0, with gradient 0, where one of them is zero."""
  scale = _length(first) * _length(second)
  return jnp.where(scale > 0, jnp.dot(first, second) / jnp.where(scale > 0, scale, 1.0), 0.0)


def inverse_length(vector: jax.Array) -> jax.Array:
  """1 / |vector| of a vector `[d]`; 0, with gradient 0, where it is zero.

  >>> float(inverse_length(jnp.array([0.0, 4.0]))), float(inverse_length(jnp.zeros(2)))
  (0.25, 0.0)
  """
  length = _length(vector)
  return jnp.where(length > 0, 1.0 / jnp.where(length > 0, length, 1.0), 0.0)
