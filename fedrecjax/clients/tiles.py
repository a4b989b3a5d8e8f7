"""Mapping a function over all samples of a round when each client has parameters of its own.

Without parameters of their own, samples are mapped as one long list. With them, every sample would need a copy of its
client's parameters, and its gradient another: for a small network already ten times what the samples hold. So samples
are taken in tiles of one client each, and a tile has one copy.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from fedrecjax.uploads.rows import ragged

TILE_SAMPLES = 32


class Tiles(NamedTuple):
  """A round's samples in tiles of S.

  Attributes:
    client: place of each tile's client in the round, int32 `[T]`.
    sample: place of each sample of a tile among all samples, int32 `[T, S]`; an arbitrary one where unused.
    place: place of each sample among the places of all tiles, int32 `[P]`.
  """

  client: jax.Array
  sample: jax.Array
  place: jax.Array


def tiles_of(length: jax.Array, client: jax.Array, first: jax.Array, num_tiles: int) -> Tiles:
  """Lays samples out in tiles.

  Args:
    length: number of samples of each client `[C]`.
    client: place of each sample's client, int32 `[P]`.
    first: place of the client's first sample, int32 `[P]`.
    num_tiles: T, static; see :func:`fedrecjax.federation.participation.tile_capacity`.
  """
  tiles = -(-length // TILE_SAMPLES)
  layout = ragged(tiles, num_tiles)
  starts = jnp.cumsum(length, dtype=jnp.int32) - length
  sample = (starts[layout.segment] + layout.offset * TILE_SAMPLES)[:, None] + jnp.arange(TILE_SAMPLES, dtype=jnp.int32)
  first_tile = jnp.cumsum(tiles, dtype=jnp.int32) - tiles
  offset = jnp.arange(client.shape[0], dtype=jnp.int32) - first
  place = first_tile[client] * TILE_SAMPLES + offset
  return Tiles(layout.segment, jnp.clip(sample, 0, client.shape[0] - 1), place)


def map_samples(function: Callable[..., Any], shared: Any, tiles: Tiles | None, *arguments: Any) -> Any:
  """Applies `function(shared, *arguments of one sample)` to every sample.

  Args:
    function: unbatched; returns a pytree of arrays.
    shared: parameters of all clients alike, or `[C, ...]` of each client where tiles are given.
    tiles: None if all clients have the same parameters.
    *arguments: pytrees of `[P, ...]`.

  Returns:
    What the function returns, `[P, ...]`. At unused places it means nothing.
  """
  if tiles is None:
    return jax.vmap(function, in_axes=(None, *(0 for _ in arguments)))(shared, *arguments)
  own = jax.tree.map(lambda leaf: leaf[tiles.client], shared)
  taken = jax.tree.map(lambda leaf: leaf[tiles.sample], arguments)
  of_tile = jax.vmap(function, in_axes=(None, *(0 for _ in arguments)))
  results = jax.vmap(of_tile)(own, *taken)
  return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]).at[tiles.place].get(mode="clip"), results)
