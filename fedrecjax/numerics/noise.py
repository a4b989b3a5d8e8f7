"""Laplace noise that depends on the key, the client and the item, and on nobody else in the round."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.extend.random import threefry_2x32


def laplace_noise(key: jax.Array, client: jax.Array, item: jax.Array, dim: int) -> jax.Array:
  """Laplace(0, 1) numbers that depend on the key, the client and the item, and on nobody else in the round.

  Client and item are the counter of one hash per two numbers: a key for every row takes three times as long on a CPU.

  Args:
    key: of the round.
    client: int32 `[E]`.
    item: int32 `[E]`.
    dim: d.

  Returns:
    float32 `[E, d]`.
  """
  hashes = -(-dim // 2)
  words = jax.random.bits(key, (2,), jnp.uint32)
  first = jnp.broadcast_to(client.astype(jnp.uint32)[:, None], (client.shape[0], hashes))
  second = item.astype(jnp.uint32)[:, None] * hashes + jnp.arange(hashes, dtype=jnp.uint32)
  bits = jnp.concatenate(list(threefry_2x32((words[0], words[1]), jnp.stack([first, second]))), axis=1)[:, :dim]
  # 23 bits make a uniform number strictly between 0 and 1, another the sign.
  magnitude = -jnp.log(((bits >> 9).astype(jnp.float32) + 0.5) * 2.0**-23)
  return jnp.where(bits & 1, magnitude, -magnitude)


def shared_noise(key: jax.Array, client: jax.Array, array: int, size: int) -> jax.Array:
  """Laplace(0, 1) numbers `[C, size]` for clients `[C]` and the shared parameter of the given number."""
  return laplace_noise(jax.random.fold_in(key, array), client, jnp.zeros_like(client), size)
