"""Hierarchical gradient clipping with sparsified updating, as read into the abstract of PSMU's
first paper (arXiv 2304.03054), which names these parts and says no more.
"""

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np


def clip(row: np.ndarray, bound: float) -> np.ndarray:
  """The row [d], scaled down to an L2 norm of `bound` if it is longer."""
  norm = float(np.linalg.norm(row))
  return row * (bound / norm) if norm > bound else row.copy()


def quantile(values: Sequence[float], share: float) -> float:
  """Quantile of at least one number, with a straight line between neighbouring order statistics."""
  ordered = sorted(values)
  position = share * (len(ordered) - 1)
  below = math.floor(position)
  above = min(below + 1, len(ordered) - 1)
  return ordered[below] + (position - below) * (ordered[above] - ordered[below])


def number_applied(waiting: int, kept_share: float) -> int:
  """How many of the waiting items are applied: their share rounded down, one at least.

  The share is taken as the decimal fraction that it is written as.
  """
  return min(waiting, max(1, math.floor(Fraction(str(kept_share)) * waiting)))


def coarse(norm: float) -> float:
  """A positive norm to 13 binary digits: norms that differ by less are equal.

  Rows that were clipped to one bound have equal norms, but for the rounding of floating point.
  """
  mantissa, exponent = math.frexp(norm)
  return math.ldexp(round(math.ldexp(mantissa, 13)), exponent - 13)


class Server:
  """The server and its memory."""

  def __init__(
    self, *, row_norm: float, quantile: float, bound_scale: float, kept_share: float
  ) -> None:
    self.row_norm = row_norm
    self.quantile = quantile
    self.bound_scale = bound_scale
    self.kept_share = kept_share
    self.memory: dict[int, np.ndarray] = {}

  def round(self, uploads: Sequence[tuple[int, int, np.ndarray]]) -> dict[int, np.ndarray]:
    """One round.

    Args:
      uploads: (client, item, row [d]), one per client and item.

    Returns:
      The update in gradient direction: item -> [d]. Absent items do not move.
    """
    sums: dict[int, np.ndarray] = {}
    for _, item, row in uploads:
      sums[item] = sums.get(item, np.zeros(len(row))) + clip(row, self.row_norm)
    norms = [float(np.linalg.norm(total)) for total in sums.values() if total.any()]
    if norms:
      bound = self.bound_scale * quantile(norms, self.quantile)
      for item, total in sums.items():
        self.memory[item] = self.memory.get(item, np.zeros(len(total))) + clip(total, bound)
    waiting = {
      item: coarse(float(np.linalg.norm(row))) for item, row in self.memory.items() if row.any()
    }
    by_norm = sorted(waiting, key=lambda item: (-waiting[item], item))
    applied = by_norm[: number_applied(len(waiting), self.kept_share)]
    return {item: self.memory.pop(item) for item in applied}
