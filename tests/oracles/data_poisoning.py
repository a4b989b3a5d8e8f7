"""Fake profiles found by optimisation: what draws nothing in P1 (Li et al., 2016) and P2 (Huang et
al., 2021).
"""

import itertools
from collections.abc import Sequence

import numpy as np

from tests.oracles.logistic import negative_log_sigmoid


def least_squares(ratings: np.ndarray, factors: np.ndarray, ridge: float) -> np.ndarray:
  """Rows x that minimise |r - F x|^2 + ridge |x|^2 for each row r of `ratings` [n, k], F [k, d]."""
  square = factors.T @ factors + ridge * np.eye(factors.shape[1])
  return np.array([np.linalg.inv(square) @ factors.T @ row for row in ratings])


def predicted(
  real: np.ndarray, fakes: np.ndarray, items: np.ndarray, ridge: float, sweeps: int
) -> np.ndarray:
  """Scores [N, M] of real users after sweeps of alternating least squares.

  Args:
    real: 1 where a user has interacted, else 0 [N, M].
    fakes: profiles [F, M].
    items: item factors at the start [M, d].
    ridge: L2 weight.
    sweeps: each fits all users, then the items; the real users are fitted again in the end.
  """
  everybody = np.concatenate([real, fakes])
  for _ in range(sweeps):
    users = least_squares(everybody, items, ridge)
    items = least_squares(everybody.T, users, ridge)
  return least_squares(real, items, ridge) @ items.T


def promotion(
  real: np.ndarray,
  fakes: np.ndarray,
  items: np.ndarray,
  targets: Sequence[int],
  ridge: float,
  sweeps: int,
) -> float:
  """Mean score of targets over the (user, target) pairs without an interaction."""
  scores = predicted(real, fakes, items, ridge, sweeps)
  wanted = [
    scores[user, target]
    for user in range(len(real))
    for target in targets
    if real[user, target] == 0
  ]
  return sum(wanted) / len(wanted)


def nearest_profile(profile: np.ndarray, budget: float) -> np.ndarray:
  """Euclidean projection on {0 <= x <= 1, sum x <= budget}.

  It is clip(profile - shift) with the least shift >= 0 that fits. The sum is piecewise linear in
  the shift with corners where a number reaches 0 or 1.
  """

  def fitted(shift: float) -> np.ndarray:
    return np.clip(profile - shift, 0.0, 1.0)

  if fitted(0.0).sum() <= budget:
    return fitted(0.0)
  corners = sorted({0.0, *(x for x in [*profile, *(profile - 1)] if x > 0)})
  for low, high in itertools.pairwise(corners):
    first, second = fitted(low).sum(), fitted(high).sum()
    if second <= budget <= first:
      share = (first - budget) / (first - second) if first > second else 0.0
      return fitted(low + share * (high - low))
  raise AssertionError("the last corner leaves nothing")


def penalty(
  scores: np.ndarray,
  held: Sequence[Sequence[int]],
  targets: Sequence[int],
  length: int,
  margin: float,
) -> float:
  """Mean over users of max(min over the list of log y - log y of a target, -margin), over targets.

  Args:
    scores: logits [N, M], y = sigmoid(score).
    held: items of each user: not in its list, and not promoted to it.
    targets: items.
    length: of the lists.
    margin: the bound.
  """
  total = 0.0
  for row, items in zip(scores, held, strict=True):
    free = [item for item in range(len(row)) if item not in items]
    listed = sorted((row[item] for item in free), reverse=True)[:length]
    for target in targets:
      if target not in items:
        worst = -negative_log_sigmoid(float(min(listed)))
        total += max(worst + negative_log_sigmoid(float(row[target])), -margin)
  return total / len(scores)


def fill(
  scores: Sequence[float], chance: Sequence[float], targets: Sequence[int], count: int, decay: float
) -> tuple[list[int], list[float]]:
  """Fillers of a fake user and the next selection probabilities."""
  others = [item for item in range(len(scores)) if item not in targets]
  chosen = sorted(others, key=lambda item: (-scores[item] * chance[item], item))[:count]
  after = [one * decay if item in chosen else one for item, one in enumerate(chance)]
  if all(after[item] < 1 for item in others):
    after = [1.0] * len(scores)
  return chosen, after
