"""Clipping of what clients upload, row by row or as a whole: NormBound."""

from __future__ import annotations

from typing import Literal

import jax
import jax.numpy as jnp

from fedrecjax.defenses.registry import DEFENSES
from fedrecjax.defenses.whole_uploads import client_norms
from fedrecjax.methods.hyperparameters import check, traced
from fedrecjax.types import ClientUpdates, Defense, DefenseView, State
from fedrecjax.uploads.rows import clip_factor, clip_rows, scale_shared


def clip_array(leaf: jax.Array, max_norm: jax.Array | float) -> jax.Array:
  """Bounds each client's weights into each unit, `[C, inputs, ..., units]`, or its bias as one vector, `[C, units]`."""
  if leaf.ndim < 3:
    return clip_rows(leaf.reshape(leaf.shape[0], -1), max_norm).reshape(leaf.shape)
  into_units = jnp.moveaxis(leaf.reshape(leaf.shape[0], -1, leaf.shape[-1]), 1, 2)
  return jnp.moveaxis(clip_rows(into_units, max_norm), 1, 2).reshape(leaf.shape)


@DEFENSES.register
@traced
def norm_bound(*, max_norm: float = 1e-3, scope: Literal["row", "client"] = "row") -> Defense:
  """Scales uploads down to an L2 norm of at most `max_norm`.

  Args:
    max_norm: bound in units of the gradient; 1e-3 is PIECK's for MF (FedRecAttack and Spattack use 1), per row. For
      whole uploads ClusterAttack uses 0.1 with MF.
    scope: what has the norm: every uploaded item "row", or a "client"'s whole upload, all its gradients as one vector.
      Parameters that all items share are bounded like further rows in scope "row": the weights into one unit, which
      are a row of the matrix in PIECK's published code and lie along the last axis here, and biases as one vector; in
      scope "client" they are part of the upload.

  Returns:
    A defence with a filter only; chain it with an aggregation rule.

  Raises:
    ValueError: if `max_norm` is not positive.

  References:
    Sun et al., "Can You Really Backdoor Federated Learning?", 2019; per row as in PIECK's published code, per client
    as in that of Yu et al., "Untargeted Attack against Federated Recommendation Systems via Poisonous Item Embeddings
    and the Defense", AAAI 2023.
  """
  check(max_norm > 0, f"norm_bound.max_norm must be positive, got {max_norm}")

  def clip(state: State, uploads: ClientUpdates, view: DefenseView) -> tuple[ClientUpdates, State]:
    if scope == "row":
      shared = jax.tree.map(lambda leaf: clip_array(leaf, max_norm), uploads.shared)
      return uploads._replace(row=clip_rows(uploads.row, max_norm), shared=shared), state
    factor = clip_factor(client_norms(uploads, view.num_clients, num_items=view.num_items), max_norm)
    row = uploads.row * factor.at[uploads.client].get(mode="clip")[:, None]
    return scale_shared(uploads._replace(row=row), factor), state

  return Defense(filter=clip, unique_rows=True)
