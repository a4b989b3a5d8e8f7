"""Spattack (AAAI 2025): uploads of malicious clients that know the benign gradients (O) or not (L),
on all items (D) or on a list of each client's own (S); and how such lists are drawn.
"""

import itertools
from collections.abc import Sequence

import numpy as np

Record = tuple[int, int, np.ndarray]
"""A client, an item and the gradient of its row, as uploaded; a client may send several."""


def benign_sums(
  records: Sequence[Record], num_items: int, dim: int, last_copy: bool = False
) -> np.ndarray:
  """S_i for all items, [M, d]. The published code keeps the last of a client's several records."""
  kept: dict[tuple[int, int], list[np.ndarray]] = {}
  for client, item, row in records:
    rows = kept.setdefault((client, item), [])
    if last_copy:
      rows.clear()
    rows.append(row)
  sums = np.zeros((num_items, dim))
  for (_, item), rows in kept.items():
    for row in rows:
      sums[item] += row
  return sums


def clipped(records: Sequence[Record], bound: float) -> list[Record]:
  """Records whose rows are brought down to a norm of at most `bound`."""
  result = []
  for client, item, row in records:
    norm = float(np.sqrt((row**2).sum()))
    result.append((client, item, row * (bound / norm if norm > bound else 1.0)))
  return result


def opposite(
  sums: np.ndarray, lists: Sequence[Sequence[int]]
) -> list[dict[int, np.ndarray]]:
  """Uploads of the malicious clients of a round, O-D and O-S.

  Args:
    sums: S, [M, d].
    lists: the items of each malicious client; all items for O-D.

  Returns:
    For each client its row of each of its items: -S_i over the number of clients that hold item i,
    so that their sum is -S_i.
  """
  uploads: list[dict[int, np.ndarray]] = []
  for items in lists:
    upload = {}
    for item in items:
      holders = sum(item in other for other in lists)
      upload[item] = -sums[item] / holders
    uploads.append(upload)
  return uploads


def opposite_shared(total: np.ndarray, clients: int) -> np.ndarray:
  """What each of the malicious clients uploads for an array that all clients train."""
  return -total / clients


def inclusion_probabilities(popularity: Sequence[float], count: int) -> list[float]:
  """Probability of each item to be among `count` drawn one after another without replacement, each
  time in proportion to popularity among what is left: the sum over all ordered outcomes.
  """
  total = sum(popularity)
  found = [0.0] * len(popularity)
  for outcome in itertools.permutations(range(len(popularity)), count):
    left, probability = total, 1.0
    for item in outcome:
      if left <= 0:
        probability = 0.0
        break
      probability *= popularity[item] / left
      left -= popularity[item]
    for item in outcome:
      found[item] += probability
  return found
