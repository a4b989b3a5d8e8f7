"""FedAttack (Wu et al., 2022): the hardest samples by the scores of a user's current vector."""

from collections.abc import Iterable, Sequence

import numpy as np


def negatives_of(scores: np.ndarray, excluded: Iterable[int], count: int) -> list[int]:
  """The `count` best-scored items [M] outside `excluded`, best first; ties go to the smaller id."""
  ranking = sorted(range(len(scores)), key=lambda item: (-scores[item], item))
  left_out = set(excluded)
  return [item for item in ranking if item not in left_out][:count]


def published_negatives(scores: np.ndarray, positive: int, count: int) -> list[int]:
  """As published: of the 2 `count` best-scored items those that are not the positive, the first
  `count`.
  """
  ranking = sorted(range(len(scores)), key=lambda item: (-scores[item], item))
  return [item for item in ranking[: 2 * count] if item != positive][:count]


def positive_of(scores: np.ndarray) -> int:
  """The item with the lowest score; ties go to the smaller id."""
  return min(range(len(scores)), key=lambda item: (scores[item], item))


def samples(
  scores: np.ndarray, positives: Sequence[int], count: int, *, exclude_all: bool
) -> list[tuple[int, list[int]]]:
  """Poisoned (positive, negatives) for each of a user's samples.

  Args:
    scores: of all items for the user, [M].
    positives: of its samples.
    count: negatives of each.
    exclude_all: whether none of its positives may be a negative, or only not the sample's own.
  """
  return [
    (
      positive_of(scores),
      negatives_of(scores, positives if exclude_all else [positive], count),
    )
    for positive in positives
  ]
