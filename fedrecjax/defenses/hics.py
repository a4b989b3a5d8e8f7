"""Hierarchical gradient clipping with sparsified updating, after the abstract of PSMU's first paper."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from fedrecjax.defenses.registry import DEFENSES
from fedrecjax.methods.hyperparameters import check, traced
from fedrecjax.server.step import dense
from fedrecjax.types import ClientUpdates, Defense, DefenseContext, DefenseView, ItemRows, Update
from fedrecjax.uploads.rows import clip_rows, row_norms


class HicsState(NamedTuple):
  """What the server of :func:`hics` remembers.

  Attributes:
    memory: each item's clipped updates that have not been applied yet, added up, float32 `[M, d]`.
  """

  memory: jax.Array


def quantile_of_positive(values: jax.Array, share: jax.Array | float) -> jax.Array:
  """A quantile of those of `values` that are positive, interpolated linearly; 0 if none is.

  Args:
    values: at least 0, float32 `[n]`.
    share: from 0, the smallest positive value, to 1, the largest.

  Returns:
    Scalar.

  >>> float(quantile_of_positive(jnp.array([0.0, 4.0, 0.0, 1.0, 2.0]), 0.5))
  2.0
  """
  positive = jnp.sum(values > 0, dtype=jnp.int32)
  # Numbers of at least 0 are in the order of their bits, and on a CPU a sort of integers takes a fifth of the time.
  ordered = lax.bitcast_convert_type(jnp.sort(lax.bitcast_convert_type(values, jnp.int32)), jnp.float32)
  position = share * jnp.maximum(positive - 1, 0)
  low = jnp.floor(position).astype(jnp.int32)
  first = values.shape[0] - positive
  lower, upper = (ordered.at[first + number].get(mode="clip") for number in (low, low + 1))
  return lower + (position - low) * (upper - lower)


def in_coarse_order(values: jax.Array) -> jax.Array:
  """Integers in the order of the given numbers, rounded to 13 binary digits.

  Clipping makes the norms of many rows equal, but for rounding, which must not choose between them.

  Args:
    values: at least 0, float32 `[n]`.

  Returns:
    int32 `[n]`, 0 for 0.

  >>> one, other, more = in_coarse_order(jnp.array([0.1, 0.1000001, 0.1001])).tolist()
  >>> one == other, more > one
  (True, True)
  """
  return (lax.bitcast_convert_type(values, jnp.int32) + (1 << 10)) >> 11


def largest_positive(values: jax.Array, share: jax.Array | float) -> jax.Array:
  """Which of `values` are the largest `share` of the positive ones.

  Args:
    values: at least 0, int32 `[n]`.
    share: above 0, at most 1. The number is rounded down, but where any value is positive one is chosen; a product
      just under an integer counts as that integer.

  Returns:
    bool `[n]`; of equal values the first are chosen.

  >>> largest_positive(jnp.array([3, 0, 5, 3, 1]), 0.5).tolist()
  [True, False, True, False, False]
  """
  positive = jnp.sum(values > 0, dtype=jnp.int32)
  number = jnp.clip(jnp.floor(share * positive + 1e-4).astype(jnp.int32), 1, jnp.maximum(positive, 1))
  # Sorting plain numbers and counting ties takes a fraction of a sort that carries places along.
  smallest = jnp.sort(values)[values.shape[0] - number]
  above, ties = values > smallest, values == smallest
  left = number - jnp.sum(above, dtype=jnp.int32)
  return (values > 0) & (above | (ties & (jnp.cumsum(ties, dtype=jnp.int32) <= left)))


@DEFENSES.register
@traced
def hics(
  *, row_norm: float = 1e-3, quantile: float = 0.5, bound_scale: float = 1.0, kept_share: float = 0.1
) -> Defense:
  """Clips each client's rows, then each item's sum of rows, and applies only the largest of what has accumulated.

  What is known of the original is its abstract's phrase, "hierarchical gradient clipping with sparsified updating".
  Everything beyond those words is inferred: that a client's item rows are what its level clips, that the server's
  level clips an item's sum, that what is not applied waits in a memory, and every number. docs/fidelity.md lists the
  points.

  The server's bound follows the round. Uploads for a few items hardly move the median of the sums' norms, however many
  clients send them; a bound from the largest or the mean norm would be for the attackers to set. What the bounds take
  from a sum is lost; what the selection leaves out is applied later. Every round applies the largest part of the
  memory, also a round without uploads.

  Args:
    row_norm: largest L2 norm of an uploaded item row, in units of the gradient; 1e-3 is NormBound's for MF in PIECK.
    quantile: which quantile of the L2 norms of the round's non-zero sums bounds each of them; the median is what
      Andrew et al. recommend for adaptive clipping.
    bound_scale: what that quantile is multiplied by.
    kept_share: share of the items with anything in memory whose rows are applied in a round, those with the largest
      L2 norms, rounded down but at least one; of norms that agree to 13 binary digits the lower item ids. 1 applies
      everything at once.

  Returns:
    A defence with a filter (the clients' level, so that shortened rows count as flagged) and an aggregation rule.
    Gradients of shared parameters are added up as they are.

  Raises:
    ValueError: if `row_norm` or `bound_scale` is not positive, `quantile` is not in [0, 1] or `kept_share` not in
      (0, 1].

  References:
    Yuan et al., "Manipulating Federated Recommender Systems: Poisoning with Synthetic Users and Its
    Countermeasures", 2023 (the abstract); Andrew et al., "Differentially Private Learning with Adaptive Clipping",
    2021 (the quantile).
  """
  check(row_norm > 0, f"hics.row_norm must be positive, got {row_norm}")
  check((quantile >= 0) & (quantile <= 1), f"hics.quantile must lie in [0, 1], got {quantile}")
  check(bound_scale > 0, f"hics.bound_scale must be positive, got {bound_scale}")
  check((kept_share > 0) & (kept_share <= 1), f"hics.kept_share must lie in (0, 1], got {kept_share}")

  def init(key: jax.Array, context: DefenseContext) -> HicsState:
    del key
    return HicsState(jnp.zeros((context.num_items, context.dim), jnp.float32))

  def clip(state: HicsState, uploads: ClientUpdates, view: DefenseView) -> tuple[ClientUpdates, HicsState]:
    del view
    return uploads._replace(row=clip_rows(uploads.row, row_norm)), state

  def aggregate(state: HicsState, uploads: ClientUpdates, view: DefenseView) -> tuple[Update, HicsState]:
    total = dense(ItemRows(uploads.item, uploads.row), state.memory)
    bound = bound_scale * quantile_of_positive(row_norms(total), quantile)
    memory = state.memory + clip_rows(total, bound)
    applied = largest_positive(in_coarse_order(row_norms(memory)), kept_share)
    item = jnp.where(applied, jnp.arange(view.num_items, dtype=jnp.int32), view.num_items)
    shared = jax.tree.map(lambda leaf: jnp.sum(leaf, axis=0), uploads.shared)
    return Update(ItemRows(item, memory), shared), HicsState(jnp.where(applied[:, None], 0.0, memory))

  return Defense(filter=clip, aggregate=aggregate, init=init, adds_shared=True)
