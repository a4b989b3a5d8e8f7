"""Item rows of models that see images: an embedding followed by a frozen visual feature, which a matrix projects."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from fedrecjax.models.ncf import PairTower, rectifier_uniform
from fedrecjax.types import Public


class VisualParameters(NamedTuple):
  """What a model of images shares beside its item embeddings.

  Attributes:
    projection: E, from features to visual vectors, float32 `[F, e]`.
    tower: parameters of the network on top.
  """

  projection: jax.Array
  tower: Any


def init_visual(
  tower: PairTower, key: jax.Array, num_items: int, *, dim: int, num_features: int, init_std: jax.Array | float
) -> Public:
  """The public part of a model of images before training.

  Args:
    tower: network on a user's vector `[d]` and an item's with its visual vector `[2 d]`.
    key: of all draws.
    num_items: M.
    dim: d.
    num_features: F.
    init_std: standard deviation of the item embeddings' normal distribution.

  Returns:
    Item embeddings `[M, d]`, and E `[F, d]` and the network, Kaiming-uniform.
  """
  for_items, for_tower, for_projection = jax.random.split(key, 3)
  network = tower.init(for_tower, jnp.zeros(dim, jnp.float32), jnp.zeros(2 * dim, jnp.float32))["params"]
  shared = VisualParameters(rectifier_uniform(for_projection, (num_features, dim)), network)
  return Public(init_std * jax.random.normal(for_items, (num_items, dim), jnp.float32), shared)


def with_visual_vector(row: jax.Array, shared: VisualParameters, dim: int) -> jax.Array:
  """An item's embedding followed by its visual vector E Phi(image) (Yuan et al., 2023, Eq. 4).

  Args:
    row: embedding and feature `[..., d + F]`; only the embedding is trained.
    shared: with E of `[F, e]`; of `[e, e]`, the identity, where the row comes from :func:`project_rows`.
    dim: d.

  Returns:
    `[..., d + e]`.
  """
  return jnp.concatenate([row[..., :dim], row[..., dim:] @ shared.projection], axis=-1)


def project_rows(row: jax.Array, shared: VisualParameters, dim: int) -> tuple[jax.Array, VisualParameters]:
  """Rows with visual vectors instead of features, and the shared parameters that belong to such rows.

  Args:
    row: `[..., d + F]`.
    shared: with E of `[F, e]`.
    dim: d.

  Returns:
    Rows `[..., d + e]`, and the same parameters with the identity for E.
  """
  identity = jnp.eye(shared.projection.shape[1], dtype=jnp.float32)
  return with_visual_vector(row, shared, dim), shared._replace(projection=identity)
