"""Clipping of uploaded item rows: NormBound."""

from __future__ import annotations

from fedrecjax.defenses.registry import DEFENSES
from fedrecjax.hyperparameters import check, traced
from fedrecjax.types import ClientUpdates, Defense, DefenseView, State
from fedrecjax.uploads import clip_rows


@DEFENSES.register
@traced
def norm_bound(*, max_norm: float = 1e-3) -> Defense:
  """Scales every uploaded item row down to an L2 norm of at most `max_norm`.

  Args:
    max_norm: bound in units of the gradient; 1e-3 is PIECK's for MF (FedRecAttack and Spattack use 1).

  Returns:
    A defence with a filter only; chain it with an aggregation rule.

  Raises:
    ValueError: if `max_norm` is not positive.

  References:
    Sun et al., "Can You Really Backdoor Federated Learning?", 2019; per row as in PIECK's published code.
  """
  check(max_norm > 0, f"norm_bound.max_norm must be positive, got {max_norm}")

  def clip(state: State, uploads: ClientUpdates, view: DefenseView) -> tuple[ClientUpdates, State]:
    del view
    return uploads._replace(row=clip_rows(uploads.row, max_norm)), state

  return Defense(filter=clip, unique_rows=True)
