"""Clipping of uploaded item rows, or of whole uploads: NormBound."""

from __future__ import annotations

from typing import Literal

from fedrecjax.defenses.registry import DEFENSES
from fedrecjax.defenses.whole_uploads import client_norms
from fedrecjax.hyperparameters import check, traced
from fedrecjax.types import ClientUpdates, Defense, DefenseView, State
from fedrecjax.uploads import clip_factor, row_norms


@DEFENSES.register
@traced
def norm_bound(*, max_norm: float = 1e-3, scope: Literal["row", "client"] = "row") -> Defense:
  """Scales uploads down to an L2 norm of at most `max_norm`.

  Args:
    max_norm: bound in units of the gradient; 1e-3 is PIECK's for MF (FedRecAttack and Spattack use 1), per row. For
      whole uploads ClusterAttack uses 0.1 with MF.
    scope: what has the norm: every uploaded item "row", or a "client"'s whole upload, all its rows as one vector.

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
      norm = row_norms(uploads.row)
    else:
      norms = client_norms(uploads, view.num_clients, num_items=view.num_items)
      norm = norms.at[uploads.client].get(mode="clip")
    return uploads._replace(row=uploads.row * clip_factor(norm, max_norm)[:, None]), state

  return Defense(filter=clip, unique_rows=True)
