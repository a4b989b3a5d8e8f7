"""Item rows of models that see images: an embedding followed by a frozen visual feature, which a matrix projects."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from fedrecjax.models.ncf import rectifier_uniform


class VisualParameters(NamedTuple):
  """What a model of images shares beside its item embeddings.

  Attributes:
    projection: E, from features to visual vectors, float32 `[F, e]`.
    tower: parameters of the network on top.
  """

  projection: jax.Array
  tower: Any


def init_projection(key: jax.Array, num_features: int, dim: int) -> jax.Array:
  """E before training, Kaiming-uniform, `[F, dim]`."""
  return rectifier_uniform(key, (num_features, dim))


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
  identity = jnp.eye(shared.projection.shape[1])
  return with_visual_vector(row, shared, dim), shared._replace(projection=identity)
