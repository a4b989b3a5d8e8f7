"""No defence: uploads are added up or averaged, per item or as whole vectors, equally or by sample counts."""

from __future__ import annotations

from typing import Literal

import jax
import jax.numpy as jnp

from fedrecjax.defenses.registry import DEFENSES
from fedrecjax.methods.hyperparameters import traced
from fedrecjax.types import ClientUpdates, Defense, DefenseView, ItemRows, State, Update
from fedrecjax.uploads.rows import scale_shared

Scale = Literal["sum", "mean"]
Scope = Literal["item", "client"]
Weights = Literal["equal", "samples"]


@DEFENSES.register
@traced
def none(*, scale: Scale = "sum", scope: Scope = "item", weights: Weights = "equal") -> Defense:
  """Plain aggregation of all uploads.

  Args:
    scale: "sum" adds an item's rows up (PIECK, FedRecAttack); "mean" divides by the number of clients (Spattack,
      ClusterAttack).
    scope: clients that a mean is over: "item", those that uploaded the item (Spattack); "client", all clients of the
      round, so that absent ones count as zero (ClusterAttack). Without effect on an unweighted sum.
    weights: "equal", or by the number of training "samples" that each client claims (ClusterAttack); a weighted sum
      is the weighted mean times the number of clients.

  Returns:
    A defence with an aggregation rule only. Gradients of shared parameters are aggregated in the same way over the
    clients that sent them.
  """
  plain = scale == "sum" and weights == "equal"

  def aggregate(state: State, uploads: ClientUpdates, view: DefenseView) -> tuple[Update, State]:
    claimed = view.samples if weights == "samples" else view.present.astype(jnp.float32)
    row = uploads.row
    if not plain:
      row = row * _factors(uploads, claimed, view, scale, scope)[:, None]
    sent = uploads.sent
    if sent is not None and not plain:
      taking_part = sent if scope == "item" else view.present
      total = jnp.sum(jnp.where(taking_part, claimed, 0.0))
      count = jnp.sum(taking_part, dtype=jnp.int32)
      uploads = scale_shared(uploads, claimed * (count if scale == "sum" else 1.0) / jnp.maximum(total, _LEAST))
    shared = jax.tree.map(lambda leaf: jnp.sum(leaf, axis=0), uploads.shared)
    return Update(ItemRows(uploads.item, row), shared), state

  return Defense(aggregate=aggregate, unique_rows=not plain, adds_shared=plain)


_LEAST = 1e-30


def _factors(
  uploads: ClientUpdates, claimed: jax.Array, view: DefenseView, scale: Scale, scope: Scope
) -> jax.Array:
  """What each row is multiplied by, `[E]`."""
  weight = claimed[uploads.client]
  if scope == "client":
    total, count = jnp.sum(claimed), view.clients.astype(jnp.float32)
    return weight * (count if scale == "sum" else 1.0) / jnp.maximum(total, _LEAST)
  empty = jnp.zeros(view.num_items, jnp.float32)
  totals = empty.at[uploads.item].add(weight, mode="drop")
  counts = empty.at[uploads.item].add(1.0, mode="drop") if scale == "sum" else jnp.ones(view.num_items, jnp.float32)
  return weight * (counts / jnp.maximum(totals, _LEAST)).at[uploads.item].get(mode="clip")
