"""A small network that tells from an item's embedding how popular the item is, as PipAttack trains it."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from fedrecjax.models.ncf import rectifier_uniform
from fedrecjax.numerics.optimizers import in_32_bits

CLASSES = 3
Layers = tuple[tuple[jax.Array, jax.Array], ...]
"""Weights `[inputs, outputs]` and biases `[outputs]` of each layer."""


class Estimator(NamedTuple):
  """The network and its optimiser.

  Attributes:
    layers: of the network.
    optimizer: state of Adam.
  """

  layers: Layers
  optimizer: optax.OptState


def popularity_classes(popularity: np.ndarray, top_share: float, middle_share: float) -> np.ndarray:
  """The popularity level of each item: 0 the top, 1 the middle, 2 the rest.

  Args:
    popularity: interactions of each item `[M]`; equally popular items rank by id.
    top_share: share of the items in the top level, rounded up.
    middle_share: share in the next; both together are rounded up.

  Returns:
    int32 `[M]`.

  >>> popularity_classes(np.array([5, 9, 1, 7]), 0.1, 0.45).tolist()
  [1, 0, 2, 1]
  """
  rank = np.empty(len(popularity), int)
  rank[np.argsort(-popularity, kind="stable")] = np.arange(len(popularity))
  # A product just above an integer counts as that integer.
  top, middle = (np.ceil(share * len(popularity) - 1e-9) for share in (top_share, top_share + middle_share))
  return (rank >= top).astype(np.int32) + (rank >= middle).astype(np.int32)


def init_estimator(key: jax.Array, dim: int, hidden: tuple[int, ...]) -> Estimator:
  """An untrained network: weights Kaiming-uniform, biases zero.

  Args:
    key: of the weights.
    dim: d.
    hidden: widths of the hidden layers.
  """
  sizes = (dim, *hidden, CLASSES)
  layers = tuple(
    (rectifier_uniform(jax.random.fold_in(key, number), (inputs, outputs)), jnp.zeros(outputs, jnp.float32))
    for number, (inputs, outputs) in enumerate(itertools.pairwise(sizes))
  )
  return Estimator(layers, optax.scale_by_adam().init(layers))


def class_losses(layers: Layers, columns: jax.Array, classes: jax.Array) -> jax.Array:
  """Cross-entropy of each item's estimated popularity level with a given one.

  Items run along the second axis: along the first, every operation would go over rows of eight or three numbers.

  Args:
    layers: of the network; rectifiers between them.
    columns: embeddings `[d, n]`.
    classes: int32 `[n]`.

  Returns:
    `[n]`.
  """
  signal = columns
  for weights, bias in layers[:-1]:
    signal = jax.nn.relu(weights.T @ signal + bias[:, None])
  weights, bias = layers[-1]
  return optax.softmax_cross_entropy_with_integer_labels(weights.T @ signal + bias[:, None], classes, axis=0)


def train_estimator(
  estimator: Estimator, table: jax.Array, classes: jax.Array, targets: jax.Array, *, steps: int, rate: jax.Array | float
) -> Estimator:
  """Steps of Adam on the mean cross-entropy over all items but the targets.

  Args:
    estimator: where the steps before have left it.
    table: item embeddings `[M, d]`.
    classes: popularity levels, int32 `[M]`.
    targets: int32 `[T]`.
    steps: number of steps, static.
    rate: step size.
  """
  columns = table.T
  counted = jnp.ones(table.shape[0], jnp.float32).at[targets].set(0.0)

  def loss(layers: Layers) -> jax.Array:
    return jnp.sum(counted * class_losses(layers, columns, classes)) / jnp.maximum(jnp.sum(counted), 1)

  def step(_: jax.Array, estimator: Estimator) -> Estimator:
    slope = jax.grad(loss)(estimator.layers)
    direction, optimizer = in_32_bits(optax.scale_by_adam()).update(slope, estimator.optimizer)
    layers = jax.tree.map(lambda old, change: old - rate * change, estimator.layers, direction)
    return Estimator(layers, optimizer)

  return lax.fori_loop(0, steps, step, estimator)


def obfuscation_gradient(layers: Layers, target_rows: jax.Array) -> jax.Array:
  """Gradient of the targets' mean cross-entropy with the top level, `[T, d]`."""

  def loss(rows: jax.Array) -> jax.Array:
    return jnp.mean(class_losses(layers, rows.T, jnp.zeros(rows.shape[0], jnp.int32)))

  return jax.grad(loss)(target_rows)
