"""A client that an attacker invents: the items it pretends to hold, its vector, and the loss it would train on."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from fedrecjax.clients.sample_loss import sample_loss
from fedrecjax.clients.sampling import uniform_below
from fedrecjax.clients.user_vectors import set_vectors
from fedrecjax.types import Loss, Model


def user_of_items(model: Model, private: jax.Array, rows: jax.Array, shared: Any) -> jax.Array:
  """The vector of a user with the given items, as the model makes it.

  Args:
    model: base recommender; its `history` must be static.
    private: the user's own vector `[d]`; without effect in models of histories.
    rows: of its items, oldest first `[n, d]`; there may be none.
    shared: the other public parameters.

  Returns:
    `[r]`.
  """
  if model.encode is not None:
    latest = rows[-model.history :]
    unused = model.history - latest.shape[0]
    history = jnp.concatenate([jnp.zeros((unused, rows.shape[1]), jnp.float32), latest])
    return model.encode(history, jnp.arange(model.history, dtype=jnp.int32) >= unused, shared, None)[-1]
  if model.attend is None:
    return private
  count = rows.shape[0]
  return set_vectors(model, private[None], rows, jnp.zeros(count, jnp.int32), jnp.ones(count, bool), shared)[0]


def invented_loss(
  model: Model, loss: Loss, private: jax.Array, positives: jax.Array, negatives: jax.Array, shared: Any
) -> jax.Array:
  """The recommendation loss of an invented client, a mean over its terms.

  Args:
    model: base recommender.
    loss: of one sample.
    private: the client's own vector `[d]`; in models of histories the user vector itself `[r]`.
    positives: rows of its items `[n, d]`.
    negatives: of their negatives `[n, q, d]`.
    shared: the other public parameters.

  Returns:
    Scalar.
  """
  user = private if model.encode is not None else user_of_items(model, private, positives, shared)

  def of_sample(positive: jax.Array, others: jax.Array) -> jax.Array:
    return sample_loss(model, loss, user, positive, others, shared)

  terms = positives.shape[0] * loss.terms(negatives.shape[1])
  return jnp.sum(jax.vmap(of_sample)(positives, negatives)) / terms


def outside(bits: jax.Array, held: jax.Array, num_items: int) -> jax.Array:
  """Items outside a list, uniformly and with replacement.

  Args:
    bits: 32 random bits for each item wanted, uint32, any shape.
    held: different items, int32 `[n]`, fewer than M.
    num_items: M.

  Returns:
    Item ids, int32, of the shape of `bits`.

  >>> outside(jnp.array([0, 2**31, 2**32 - 1], jnp.uint32), jnp.array([3, 0]), 5).tolist()
  [1, 2, 4]
  """
  count = held.shape[0]
  rank = uniform_below(bits, jnp.full(bits.shape, num_items - count, jnp.int32))
  shifted = jnp.sort(held) - jnp.arange(count, dtype=jnp.int32)
  return rank + jnp.sum(shifted <= rank[..., None], axis=-1, dtype=jnp.int32)
