"""Statistics of results: means with Student intervals, and paired comparisons of two runs."""

from __future__ import annotations

import math
import statistics
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

# Up to here the distribution is a short sum; beyond, an expansion around the normal is as exact.
_EXACT_DEGREES = 200


class Interval(NamedTuple):
  """A mean and how far it can be trusted.

  Attributes:
    mean: of the values.
    half_width: the interval is mean +- half_width; None where one value alone tells nothing about its spread.
    num_values: number of values.
  """

  mean: float
  half_width: float | None
  num_values: int


def student_cdf(t: float, degrees: int) -> float:
  """Distribution function of Student's t for a whole number of degrees of freedom.

  >>> round(student_cdf(1.0, 1), 6)  # Cauchy: 1/2 + arctan(1) / pi
  0.75

  References:
    Abramowitz and Stegun, 1964, 26.7.3 and 26.7.4.
  """
  angle = math.atan(t / math.sqrt(degrees))
  cosine = math.cos(angle)
  odd = degrees % 2 == 1
  term = cosine if odd else 1.0
  total = 0.0
  for step in range(degrees // 2):
    total += term
    lower = 2 * step + (2 if odd else 1)
    term *= cosine * cosine * lower / (lower + 1)
  inside = 2 / math.pi * (angle + math.sin(angle) * total) if odd else math.sin(angle) * total
  return 0.5 + inside / 2


def student_quantile(probability: float, degrees: int) -> float:
  """Quantile of Student's t.

  Args:
    probability: in (0.0005, 0.9995), where the stated accuracy holds.
    degrees: degrees of freedom, a positive whole number.

  Returns:
    t with P(T <= t) = probability, with a relative error below 1e-9.

  Raises:
    ValueError: if an argument is out of its range.

  References:
    Abramowitz and Stegun, 1964, 26.7.5, for more than 200 degrees.

  >>> round(student_quantile(0.975, 4), 4), round(student_quantile(0.975, 10**9), 4)
  (2.7764, 1.96)
  """
  if not 0.0005 < probability < 0.9995:
    raise ValueError(f"probability must lie in (0.0005, 0.9995), got {probability}")
  if degrees < 1:
    raise ValueError(f"degrees must be positive, got {degrees}")
  if probability < 0.5:
    return -student_quantile(1 - probability, degrees)
  if degrees > _EXACT_DEGREES:
    z = statistics.NormalDist().inv_cdf(probability)
    terms = (
      (z**3 + z) / 4,
      (5 * z**5 + 16 * z**3 + 3 * z) / 96,
      (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
      (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + sum(term / degrees ** (power + 1) for power, term in enumerate(terms))
  low, high = 0.0, 1.0
  while student_cdf(high, degrees) < probability:
    high *= 2
  for _ in range(200):
    middle = (low + high) / 2
    if not low < middle < high:
      break
    low, high = (middle, high) if student_cdf(middle, degrees) < probability else (low, middle)
  return high


def mean_interval(values: npt.ArrayLike, *, confidence: float = 0.95) -> Interval:
  """Mean of independent values with Student's interval.

  Args:
    values: at least one finite value.
    confidence: coverage of the interval.

  Raises:
    ValueError: if there is no value, or one is not finite.

  >>> interval = mean_interval([1.0, 2.0, 3.0])
  >>> interval.mean, round(interval.half_width, 3)  # 4.303 / sqrt(3)
  (2.0, 2.484)
  """
  array = np.asarray(values, np.float64)
  if array.ndim != 1 or array.size == 0 or not np.isfinite(array).all():
    raise ValueError(f"expected a list of finite values, got {array.tolist()}")
  mean = float(array.mean())
  if array.size == 1:
    return Interval(mean, None, 1)
  error = float(array.std(ddof=1)) / math.sqrt(array.size)
  return Interval(mean, student_quantile((1 + confidence) / 2, array.size - 1) * error, array.size)


def paired_differences(
  users: npt.ArrayLike, values: npt.ArrayLike, baseline_users: npt.ArrayLike, baseline_values: npt.ArrayLike
) -> np.ndarray:
  """Differences of two runs, one for each user that both have a value for.

  Pairing takes the differences between users out of the comparison, which are far larger than those between runs.
  A user with values from several seeds, given several times, counts once with the mean of its values.

  Args:
    users: user of each value `[n]`.
    values: a metric per user `[n]`; NaN where it has no value.
    baseline_users: user of each value of the run compared with `[m]`.
    baseline_values: the metric in that run `[m]`.

  Returns:
    values - baseline_values `[users in common]`, in the order of users.

  Raises:
    ValueError: if no user has a value in both.
  """
  first, second = _mean_per_user(users, values), _mean_per_user(baseline_users, baseline_values)
  common, place, baseline_place = np.intersect1d(first[0], second[0], assume_unique=True, return_indices=True)
  if common.size == 0:
    raise ValueError("the two runs have no user in common")
  return first[1][place] - second[1][baseline_place]


def paired_difference(
  users: npt.ArrayLike,
  values: npt.ArrayLike,
  baseline_users: npt.ArrayLike,
  baseline_values: npt.ArrayLike,
  *,
  confidence: float = 0.95,
) -> Interval:
  """Mean difference of two runs over the users that both have a value for, see :func:`paired_differences`.

  Args:
    users: user of each value `[n]`.
    values: a metric per user `[n]`; NaN where it has no value.
    baseline_users: user of each value of the run compared with `[m]`.
    baseline_values: the metric in that run `[m]`.
    confidence: coverage of the interval.

  Returns:
    The mean of values - baseline_values over users, with Student's interval.

  Raises:
    ValueError: if no user has a value in both.

  >>> paired_difference([1, 2, 3], [1.0, 0.0, 1.0], [3, 2, 9], [0.0, 0.0, 0.0]).mean
  0.5
  """
  return mean_interval(paired_differences(users, values, baseline_users, baseline_values), confidence=confidence)


def _mean_per_user(users: npt.ArrayLike, values: npt.ArrayLike) -> tuple[np.ndarray, np.ndarray]:
  ids, numbers = np.asarray(users), np.asarray(values, np.float64)
  has_value = ~np.isnan(numbers)
  distinct, place = np.unique(ids[has_value], return_inverse=True)
  sums = np.bincount(place, weights=numbers[has_value], minlength=distinct.size)
  counts = np.bincount(place, minlength=distinct.size)
  return distinct, sums / np.maximum(counts, 1)
