"""Fake profiles of the shilling baselines (FedRecAttack, section 5 of its notes) and EB.

A malicious client that may upload kappa rows has floor(kappa / 2) interactions, since one negative
per positive doubles them. Only what does not depend on a random draw is stated here.
"""

from collections.abc import Sequence

import numpy as np

from tests.oracles.logistic import negative_log_sigmoid, sigmoid
from tests.oracles.training import Reduction


def filler_count(max_rows: int, num_targets: int) -> int:
  """Interactions left beside the targets: floor(kappa / 2) - |T|.

  Raises:
    ValueError: if the targets alone do not fit.
  """
  fillers = max_rows // 2 - num_targets
  if fillers < 0:
    raise ValueError(f"{num_targets} targets do not fit in {max_rows // 2} interactions")
  return fillers


def _by_popularity(popularity: np.ndarray, targets: Sequence[int]) -> list[int]:
  others = [item for item in range(len(popularity)) if item not in targets]
  return sorted(others, key=lambda item: (-popularity[item], item))


def popular_profile(popularity: np.ndarray, targets: Sequence[int], count: int) -> list[int]:
  """Profile of the Popular attack.

  Args:
    popularity: [M] numbers of interactions.
    targets: target items.
    count: number of fillers.

  Returns:
    The targets, then the `count` most popular other items; ties go to the smaller id.
  """
  return list(targets) + _by_popularity(popularity, targets)[:count]


def bandwagon_pool(popularity: np.ndarray, targets: Sequence[int]) -> list[int]:
  """The "top 10 %" of the Bandwagon attack: the floor(M / 10) most popular non-target items.

  Targets are removed before the cut, so the pool has the same size when a target is popular.
  Ties go to the smaller id.
  """
  return _by_popularity(popularity, targets)[: len(popularity) // 10]


def bandwagon_counts(max_rows: int, num_targets: int) -> tuple[int, int]:
  """Fillers of the Bandwagon attack.

  Returns:
    How many come from `bandwagon_pool`, floor(0.1 * floor(kappa / 2)), a tenth of all interactions
    with the targets counted, but no more than there are fillers; and how many from all other items
    not yet chosen. The paper takes the tenth of the fillers alone, 2.9 instead of 3 for kappa = 60.
  """
  fillers = filler_count(max_rows, num_targets)
  from_pool = min(max_rows // 2 // 10, fillers)
  return from_pool, fillers - from_pool


def explicit_boosting_gradient(
  user: np.ndarray, target_rows: np.ndarray, *, reduction: Reduction = "mean"
) -> tuple[float, np.ndarray, np.ndarray]:
  """Explicit boosting: BCE with label 1 of one malicious user on all targets.

  Args:
    user: [d], the malicious client's own vector.
    target_rows: [T, d].
    reduction: "mean" over the targets, as a BCE criterion does by default, or "sum".

  Returns:
    The loss -log sigmoid(u . v_t), the gradient [d] of the user vector, and the gradients [T, d] of
    the target rows.
  """
  divisor = len(target_rows) if reduction == "mean" else 1
  loss = 0.0
  user_gradient = np.zeros_like(user)
  row_gradients = np.zeros_like(target_rows)
  for index, target in enumerate(target_rows):
    score = float(user @ target)
    slope = sigmoid(score) - 1.0
    loss += negative_log_sigmoid(score) / divisor
    user_gradient = user_gradient + slope * target / divisor
    row_gradients[index] = slope * user / divisor
  return loss, user_gradient, row_gradients
