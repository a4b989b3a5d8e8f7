"""A client's loss over positives and their negatives, as a function of the scores alone."""

from typing import Literal

import numpy as np

from tests.oracles.logistic import negative_log_sigmoid, sigmoid

Loss = Literal["bce", "bpr"]
Reduction = Literal["sum", "mean"]


def loss_and_slopes(
  positive: np.ndarray, negative: np.ndarray, *, loss: Loss, reduction: Reduction
) -> tuple[float, np.ndarray, np.ndarray]:
  """Value and derivatives with respect to every score.

  "bce": -log sigmoid(p_j) - sum_k log(1 - sigmoid(n_jk)), terms n (1 + q). "bpr": -sum_k log
  sigmoid(p_j - n_jk), terms n q. "mean" divides by the number of terms.

  Args:
    positive: [n] scores.
    negative: [n, q], those of row j belong to positive j.
    loss: see above.
    reduction: see above.

  Returns:
    The loss, its slopes [n] and [n, q].
  """
  value, of_positive, of_negative = 0.0, np.zeros(positive.shape), np.zeros(negative.shape)
  count = negative.size if loss == "bpr" else positive.size + negative.size
  for j, score in enumerate(positive):
    if loss == "bce":
      value += negative_log_sigmoid(score)
      of_positive[j] = sigmoid(score) - 1
    for k, other in enumerate(negative[j]):
      if loss == "bce":
        value += negative_log_sigmoid(-other)
        of_negative[j, k] = sigmoid(other)
      else:
        value += negative_log_sigmoid(score - other)
        slope = sigmoid(score - other) - 1
        of_positive[j] += slope
        of_negative[j, k] -= slope
  share = 1 / count if reduction == "mean" and count else 1.0
  return value * share, of_positive * share, of_negative * share
