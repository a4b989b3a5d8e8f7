"""Paired tests of two runs, and Holm's correction where a table holds many of them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from fedrecjax.metrics.stats import student_cdf


def paired_p_value(differences: npt.ArrayLike) -> float:
  """Student's two-sided test of paired differences against 0.

  Args:
    differences: of independent pairs `[n]`, at least two.

  Returns:
    The probability of a mean at least as far from 0 if there were no difference; 1 where all pairs are equal, 0 where
    all differ by the same number.

  Raises:
    ValueError: if there are fewer than two, or one is not finite.

  >>> round(paired_p_value([1.0, 2.0, 3.0]), 4)  # t = 2 / (1 / sqrt(3)), 2 degrees
  0.0742
  """
  array = np.asarray(differences, np.float64)
  if array.ndim != 1 or array.size < 2 or not np.isfinite(array).all():
    raise ValueError(f"expected a list of two or more finite differences, got {array.tolist()}")
  mean, error = float(array.mean()), float(array.std(ddof=1)) / math.sqrt(array.size)
  if np.ptp(array) == 0.0:
    return 1.0 if array[0] == 0.0 else 0.0
  return min(1.0, max(0.0, 2.0 * student_cdf(-abs(mean) / error, array.size - 1)))


def holm(p_values: Sequence[float]) -> list[float]:
  """Holm's correction of a family of tests.

  Args:
    p_values: of the tests, in any order.

  Returns:
    In the same order, the smallest level at which Holm's procedure rejects each, which bounds the probability of one
    or more false rejections in the family.

  Raises:
    ValueError: if one is no probability.

  References:
    Holm, "A simple sequentially rejective multiple test procedure", 1979.

  >>> holm([0.01, 0.04, 0.03])
  [0.03, 0.06, 0.06]
  """
  if not all(0.0 <= value <= 1.0 for value in p_values):
    raise ValueError(f"expected probabilities, got {list(p_values)}")
  order = sorted(range(len(p_values)), key=p_values.__getitem__)
  adjusted, largest = [0.0] * len(p_values), 0.0
  for place, index in enumerate(order):
    largest = max(largest, min(1.0, (len(order) - place) * p_values[index]))
    adjusted[index] = largest
  return adjusted
