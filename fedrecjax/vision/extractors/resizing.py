"""Bringing images to the size that a network was made for."""

from __future__ import annotations

import jax


def to_size(images: jax.Array, size: int) -> jax.Array:
  """Resizes images to squares, bilinearly; sides are scaled apart from each other, and shrinking averages.

  Args:
    images: `[B, H, W, 3]`.
    size: wanted side in pixels.

  Returns:
    `[B, size, size, 3]`; images of that size as they are.
  """
  return jax.image.resize(images, (images.shape[0], size, size, images.shape[3]), "bilinear")
