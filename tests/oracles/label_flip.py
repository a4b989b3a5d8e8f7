"""Label flipping (Tolpegin et al., 2020) for implicit feedback and a dot product: what is liked counts as
disliked and the other way round.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from tests.oracles.logistic import negative_log_sigmoid, sigmoid


def gradients(
  user: np.ndarray,
  table: np.ndarray,
  positives: Sequence[int],
  negatives: np.ndarray,
  *,
  loss: Literal["bce", "bpr"],
  reduction: Literal["sum", "mean"],
) -> tuple[float, np.ndarray, dict[int, np.ndarray]]:
  """Loss, user gradient [d] and rows by item of a client with swapped labels.

  "bce": every positive has label 0 and every negative label 1. "bpr": every negative n of a positive p is
  to be ranked above it, -log sigmoid(s_n - s_p). "mean" divides by the number of terms.

  Args:
    user: [d].
    table: [M, d].
    positives: n items.
    negatives: [n, q] items.
    loss: see above.
    reduction: see above.
  """
  value, for_user, terms = 0.0, np.zeros_like(user), 0
  rows: dict[int, np.ndarray] = {}

  def add(item: int, slope: float) -> None:
    # The score is user . row.
    nonlocal for_user
    for_user = for_user + slope * table[item]
    rows[int(item)] = rows.get(int(item), np.zeros_like(user)) + slope * user

  for positive, others in zip(positives, negatives, strict=True):
    liked = float(user @ table[positive])
    if loss == "bce":
      value += negative_log_sigmoid(-liked)
      terms += 1
      add(positive, sigmoid(liked))
    for negative in others:
      score = float(user @ table[negative])
      terms += 1
      if loss == "bce":
        value += negative_log_sigmoid(score)
        add(negative, sigmoid(score) - 1)
      else:
        value += negative_log_sigmoid(score - liked)
        slope = sigmoid(score - liked) - 1
        add(negative, slope)
        add(positive, -slope)
  share = 1 / terms if reduction == "mean" and terms else 1.0
  return value * share, for_user * share, {item: row * share for item, row in rows.items()}
