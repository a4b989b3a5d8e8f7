"""k-means by Lloyd's iterations, for a number of clusters that is traced."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from fedrecjax.types import Array


class Clusters(NamedTuple):
  """A clustering of M rows.

  Attributes:
    center: float32 `[K, d]`, each the mean of its members; one without members stays where it was.
    label: the cluster of each row, int32 `[M]`.
    iterations: that it took, int32 scalar.
  """

  center: Array
  label: Array
  iterations: Array


def nearest_center(rows: Array, center: Array, count: Array) -> Array:
  """The nearest of the first `count` centres, the first of equally near ones.

  Args:
    rows: `[M, d]`.
    center: `[K, d]`.
    count: int32 scalar, 1..K.

  Returns:
    int32 `[M]`.
  """
  product = jnp.matmul(rows, center.T, precision=lax.Precision.HIGHEST)
  distance = jnp.sum(center * center, axis=1) - 2 * product
  used = jnp.arange(center.shape[0], dtype=jnp.int32) < count
  return jnp.argmin(jnp.where(used, distance, jnp.inf), axis=1).astype(jnp.int32)


def means(rows: Array, label: Array, center: Array) -> Array:
  """The mean of each cluster's rows, `[K, d]`; `center` where a cluster has none."""
  member = jax.nn.one_hot(label, center.shape[0], dtype=rows.dtype)
  total = jnp.matmul(member.T, rows, precision=lax.Precision.HIGHEST)
  size = jnp.sum(member, axis=0)[:, None]
  return jnp.where(size > 0, total / jnp.maximum(size, 1.0), center)


def kmeans(
  rows: Array, center: Array, count: Array, *, tolerance: Array | float, max_iterations: int
) -> Clusters:
  """Splits rows into clusters, from given centres.

  Args:
    rows: `[M, d]`.
    center: where the centres are at first, `[K, d]`; only the first `count` are used.
    count: number of clusters, int32 scalar, 1..K.
    tolerance: iterations end when the centres, as one vector, move by less than this (Euclidean).
    max_iterations: most iterations, static, at least 1.

  Returns:
    The clusters; their centres are the means of the members as they are returned.

  References:
    Lloyd, "Least Squares Quantization in PCM", 1982.
  """
  # Distances come from inner products, whose rounding is smallest around the origin.
  origin = jnp.mean(rows, axis=0)
  rows = rows - origin

  def moving(state: tuple[Array, Array, Array, Array]) -> Array:
    _, _, shift, iterations = state
    return (shift >= tolerance) & (iterations < max_iterations)

  def iterate(state: tuple[Array, Array, Array, Array]) -> tuple[Array, Array, Array, Array]:
    center, _, _, iterations = state
    label = nearest_center(rows, center, count)
    moved = means(rows, label, center)
    return moved, label, jnp.sqrt(jnp.sum((moved - center) ** 2)), iterations + 1

  start = (center - origin, jnp.zeros(rows.shape[0], jnp.int32), jnp.full((), jnp.inf, rows.dtype), jnp.int32(0))
  center, label, _, iterations = lax.while_loop(moving, iterate, start)
  return Clusters(center + origin, label, iterations)


def capacities(largest: int) -> list[int]:
  """Numbers of centres to compile for: doubling from 2, and the largest itself.

  >>> capacities(50), capacities(1)
  ([2, 4, 8, 16, 32, 50], [1])
  """
  sizes = []
  size = 2
  while size < largest:
    sizes.append(size)
    size *= 2
  return [*sizes, largest]


def random_kmeans(
  rows: Array, first: Array, count: Array, *, tolerance: Array | float, max_iterations: int
) -> Clusters:
  """k-means from rows as centres; the work grows with the number of clusters, not with the most there may be.

  Args:
    rows: `[M, d]`.
    first: different rows, the first `count` of which are the centres at first, int32 `[K]`.
    count: number of clusters, int32 scalar, 1..K.
    tolerance: as in :func:`kmeans`.
    max_iterations: as in :func:`kmeans`.

  Returns:
    The clusters, with K places for centres.
  """
  sizes = capacities(first.shape[0])

  def with_capacity(size: int, rows: Array, count: Array) -> Clusters:
    found = kmeans(rows, rows[first[:size]], count, tolerance=tolerance, max_iterations=max_iterations)
    return found._replace(center=jnp.concatenate([found.center, rows[first[size:]]]))

  branches = [lambda rows, count, size=size: with_capacity(size, rows, count) for size in sizes]
  return lax.switch(jnp.searchsorted(jnp.array(sizes, jnp.int32), count), branches, rows, count)
