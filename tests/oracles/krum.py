"""Selection by distances: Krum and Multi-Krum (Blanchard et al., 2017), Bulyan (El Mhamdi et al.,
2018).

All rules take rows [n, d] and f, the number of rows distrusted. A row's score is the sum of its
distances to its nearest other rows. Blanchard et al. take squared distances to n - f - 2 of them;
published recommender code has other numbers, and distances that are not squared.
"""

import math
from collections.abc import Iterable
from typing import Literal

import numpy as np

from tests.oracles import aggregation

NeighborRule = Literal["n-f-2", "n-f-1", "n-f", "spattack"]
Ties = Literal["average", "first", "last"]

_LESS_THAN_COUNT_MINUS_F = {"n-f-2": 2, "n-f-1": 1, "n-f": 0}


def neighbor_count(count: int, f: int, rule: NeighborRule) -> int:
  """How many neighbours make a score: at least one, at most all others (none for an only row).

  Spattack's code sums n - f - 2 distances where there are so many, else n - f, else all n.
  """
  if rule == "spattack":
    wanted = count - f - 2 if count > f + 2 else count - f if count > f else count
    return min(wanted, count - 1)
  wanted = count - f - _LESS_THAN_COUNT_MINUS_F[rule]
  return min(max(wanted, 1), count - 1)


def pairwise(rows: np.ndarray, *, squared: bool) -> np.ndarray:
  """Euclidean distances of rows [n, d], or their squares. Returns [n, n]."""
  squares = [np.sum((rows - row) ** 2, axis=1) for row in rows.astype(float)]
  result = np.array(squares).reshape(len(rows), len(rows))
  return result if squared else np.sqrt(result)


def scores(
  distances: np.ndarray, among: Iterable[int], f: int, rule: NeighborRule
) -> dict[int, float]:
  """Score of each row of a subset, by the rows of that subset alone.

  Args:
    distances: [n, n].
    among: places of the subset.
    f: rows distrusted.
    rule: number of neighbours, from the size of the subset.
  """
  among = list(among)
  neighbors = neighbor_count(len(among), f, rule)
  to_all = distances[np.ix_(among, among)]
  # A row is no neighbour of itself.
  to_others = to_all + np.diag(np.full(len(among), math.inf))
  nearest = np.sort(to_others, axis=1)[:, :neighbors]
  return dict(zip(among, nearest.sum(axis=1).tolist(), strict=True))


def krum(
  distances: np.ndarray, f: int, *, rule: NeighborRule, ties: Ties = "average"
) -> np.ndarray:
  """Share of each row in Krum's result.

  Args:
    distances: [n, n].
    f: rows distrusted.
    rule: number of neighbours.
    ties: rows of the same smallest score share equally, or the first or last of them has it all.

  Returns:
    Weights [n] of sum 1, for n = 0 none.
  """
  count = len(distances)
  weights = np.zeros(count)
  if count == 0:
    return weights
  score = scores(distances, range(count), f, rule)
  lowest = min(score.values())
  best = [row for row in range(count) if score[row] == lowest]
  if ties == "first":
    best = best[:1]
  if ties == "last":
    best = best[-1:]
  for row in best:
    weights[row] = 1 / len(best)
  return weights


def multi_krum_drop(distances: np.ndarray, f: int, *, rule: NeighborRule) -> list[int]:
  """Multi-Krum, the n - f rows of the smallest scores; equal scores by place. Returns places."""
  count = len(distances)
  score = scores(distances, range(count), f, rule)
  return sorted(range(count), key=lambda row: (score[row], row))[: max(count - f, 0)]


def multi_krum_iterative(distances: np.ndarray, f: int, *, rule: NeighborRule) -> list[int]:
  """Krum's choice is moved to the selection, n - 2 f times; equal scores by place.

  Returns:
    Places in the order in which they are selected.
  """
  remaining, picked = list(range(len(distances))), []
  while len(picked) < len(distances) - 2 * f:
    score = scores(distances, remaining, f, rule)
    best = min(remaining, key=lambda row: (score[row], row))
    picked.append(best)
    remaining.remove(best)
  return picked


def bulyan(rows: np.ndarray, picked: Iterable[int], f: int) -> np.ndarray:
  """The second step of Bulyan, for the n - 2 f rows that iterative selection has picked.

  Args:
    rows: [n, d].
    picked: places of the n - 2 f rows.
    f: rows distrusted, n > 4 f.

  Returns:
    [d], in each coordinate the mean of the n - 4 f picked values nearest to their median.
  """
  return aggregation.trimmed_mean(rows[sorted(picked)], 2 * f, "around_median")


def could_drop_to(
  distances: np.ndarray, picked: set[int], f: int, *, rule: NeighborRule, tolerance: float
) -> bool:
  """Whether a selection in one step is right but for scores that agree to a relative tolerance."""
  count = len(distances)
  if len(picked) != max(count - f, 0):
    return False
  score = scores(distances, range(count), f, rule)
  worst_in = max((score[row] for row in picked), default=0.0)
  best_out = min((score[row] for row in range(count) if row not in picked), default=math.inf)
  return worst_in <= best_out * (1 + tolerance)


def could_iterate_to(
  distances: np.ndarray, picked: set[int], f: int, *, rule: NeighborRule, tolerance: float
) -> bool:
  """Whether an iterative selection is right but for scores that agree to a relative tolerance."""
  remaining, left = list(range(len(distances))), set(picked)
  if len(picked) != max(len(distances) - 2 * f, 0):
    return False
  while left:
    score = scores(distances, remaining, f, rule)
    best = min(left, key=lambda row: (score[row], row))
    if score[best] > min(score.values()) * (1 + tolerance):
      return False
    remaining.remove(best)
    left.remove(best)
  return True
