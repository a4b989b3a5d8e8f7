"""Synthetic users: random items, and a vector that fits them while all public parameters are held fixed (PSMU)."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from fedrecjax.attacks.targeted.invented_clients import invented_loss, outside
from fedrecjax.clients.sampling import distinct_from_bits
from fedrecjax.numerics.optimizers import OPTIMIZERS
from fedrecjax.types import Loss, Model

InnerOptimizer = Literal["adam", "sgd"]


class SyntheticData(NamedTuple):
  """What a synthetic user is trained on.

  Attributes:
    items: its positives, different items, int32 `[n]`.
    negatives: int32 `[n, q]`, none of them among the positives.
    private: its own vector before training, float32 `[d]`.
  """

  items: jax.Array
  negatives: jax.Array
  private: jax.Array


def draw_synthetic(
  key: jax.Array,
  allowed: jax.Array,
  *,
  num_positives: int,
  num_negatives: int,
  num_items: int,
  dim: int,
  init_std: jax.Array | float,
) -> SyntheticData:
  """Draws a synthetic user's items and its vector.

  Args:
    key: of the user and the round.
    allowed: items that it may hold, int32, at least n.
    num_positives: n, static.
    num_negatives: q, static.
    num_items: M, static.
    dim: d, static.
    init_std: standard deviation of the vector's normal distribution.

  Returns:
    Positives are drawn without replacement; negatives like those of any user, outside the positives and with
    replacement.
  """
  for_items, for_negatives, for_vector = jax.random.split(key, 3)
  for_choice = jax.random.bits(for_items, (num_positives,), jnp.uint32)
  chosen = distinct_from_bits(for_choice, jnp.int32(allowed.shape[0]))
  items = allowed[chosen]
  bits = jax.random.bits(for_negatives, (num_positives, num_negatives), jnp.uint32)
  vector = init_std * jax.random.normal(for_vector, (dim,), jnp.float32)
  return SyntheticData(items, outside(bits, items, num_items), vector)


def synthetic_user(
  model: Model,
  loss: Loss,
  private: jax.Array,
  positives: jax.Array,
  negatives: jax.Array,
  shared: Any,
  *,
  optimizer: InnerOptimizer,
  steps: int,
  step_size: jax.Array | float,
) -> jax.Array:
  """Trains a user's own vector on the recommendation loss, a mean over its terms, and nothing else (PSMU Eq. 13).

  Args:
    model: base recommender; in models of histories nothing is trained, for users have no vector there.
    loss: of one sample.
    private: the vector before `[d]`.
    positives: rows of the user's items `[n, d]`.
    negatives: of their negatives `[n, q, d]`.
    shared: the other public parameters.
    optimizer: "adam" or "sgd".
    steps: number of steps, static.
    step_size: of each.

  Returns:
    `[d]`.
  """
  if model.encode is not None:
    return private

  def total(private: jax.Array) -> jax.Array:
    return invented_loss(model, loss, private, positives, negatives, shared)

  transformation = OPTIMIZERS[optimizer]

  def step(_: jax.Array, carry: tuple[jax.Array, Any]) -> tuple[jax.Array, Any]:
    private, state = carry
    direction, state = transformation.update(jax.grad(total)(private), state)
    return private - step_size * direction, state

  return lax.fori_loop(0, steps, step, (private, transformation.init(private)))[0]
