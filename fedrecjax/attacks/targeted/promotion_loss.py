"""What keeps a target off a user's list: the items on it, and a loss that lifts the target above them (PSMU)."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from fedrecjax.numerics.similarity import cosine
from fedrecjax.types import Model

MarginOn = Literal["prob", "logit"]


class Competitors(NamedTuple):
  """Items that each target is to be lifted above.

  Attributes:
    items: int32 `[T, J]`.
    counted: which of them count, bool `[T, J]`: each item once, no targets, none for targets that the user holds.
  """

  items: jax.Array
  counted: jax.Array


def competitors(
  logits: jax.Array, held: jax.Array, targets: jax.Array, table: jax.Array, *, top_k: int, alternatives: int
) -> Competitors:
  """The items recommended to a user, and for each target those most like it.

  Args:
    logits: the user's score for every item `[M]`.
    held: the user's items, int32 `[n]`, which are not recommended to it.
    targets: int32 `[T]`.
    table: item embeddings `[M, d]`.
    top_k: length of the user's list; targets take up places on it. Equal scores go to the lower id.
    alternatives: items of highest cosine with a target that join its competitors, neither targets nor held.

  Returns:
    J = `top_k` + `alternatives`.
  """
  listed = lax.top_k(logits.at[held].set(-jnp.inf), top_k)[1].astype(jnp.int32)
  items = jnp.broadcast_to(listed, (targets.shape[0], top_k))
  if alternatives > 0:
    alike = jax.vmap(lambda target: jax.vmap(cosine, in_axes=(0, None))(table, table[target]))(targets)
    alike = alike.at[:, held].set(-jnp.inf).at[:, targets].set(-jnp.inf)
    items = jnp.concatenate([items, lax.top_k(alike, alternatives)[1].astype(jnp.int32)], axis=1)
  again = jnp.any((items[:, None, top_k:] == items[:, :top_k, None]), axis=1)
  counted = jnp.concatenate([jnp.ones((targets.shape[0], top_k), bool), ~again], axis=1)
  counted &= ~jnp.isin(items, targets) & ~jnp.isin(targets, held)[:, None]
  return Competitors(items, counted)


def promotion_loss(
  model: Model,
  user: jax.Array,
  target_rows: jax.Array,
  competitor_rows: jax.Array,
  counted: jax.Array,
  shared: Any,
  *,
  margin_on: MarginOn,
) -> jax.Array:
  """How far a user's other items stand above the targets (PSMU Eq. 14 for one user).

  Args:
    model: scores items.
    user: the user's vector `[r]`.
    target_rows: `[T, d]`.
    competitor_rows: rows of the items that each target is compared with `[T, J, d]`.
    counted: which of these count, bool `[T, J]`.
    shared: the other public parameters.
    margin_on: "prob" takes sigmoid(score) for the predicted preference, "logit" the score itself.

  Returns:
    The sum of sigmoid(preference for the competitor - preference for the target).
  """

  def preference(row: jax.Array) -> jax.Array:
    logit = model.score_row(user, row, shared)
    return jax.nn.sigmoid(logit) if margin_on == "prob" else logit

  ahead = jax.vmap(jax.vmap(preference))(competitor_rows) - jax.vmap(preference)(target_rows)[:, None]
  return jnp.sum(jnp.where(counted, jax.nn.sigmoid(ahead), 0.0))
