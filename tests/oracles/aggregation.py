"""Aggregation of the rows one item received: the function Agg of PIECK, section III-A, step 4.

All rules take rows [n, d] of the n clients that uploaded the item, n >= 0, and return [d]; with
n = 0 they return zeros. Published recommender code multiplies a robust average by n, to stay on the
scale of a sum: that is `scale="sum"`.
"""

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Literal, TypeVar

import numpy as np

Scale = Literal["mean", "sum"]
TrimReading = Literal["extremes", "around_median"]
TooFew = Literal["median", "zero"]
Number = TypeVar("Number", float, Fraction)
TrimRule = Literal["ratio_of_count", "global", "per_round", "number"]

# Above the rounding error of ratio * count for any count in use, far below one client.
_FLOOR_MARGIN = 1e-6


def sum_(rows: np.ndarray) -> np.ndarray:
  """Plain sum of rows [n, d], the rule without a defence. Returns [d]."""
  total = np.zeros(rows.shape[1])
  for row in rows:
    total = total + row
  return total


def mean(rows: np.ndarray) -> np.ndarray:
  """Plain mean of rows [n, d] over the clients that uploaded. Returns [d]."""
  if len(rows) == 0:
    return np.zeros(rows.shape[1])
  return sum_(rows) / len(rows)


def _median_of(values: Sequence[Number]) -> Number:
  ordered = sorted(values)
  middle = len(ordered) // 2
  if len(ordered) % 2 == 1:
    return ordered[middle]
  return (ordered[middle - 1] + ordered[middle]) / 2


def _scale_factor(count: int, scale: Scale) -> float:
  return float(count) if scale == "sum" else 1.0


def median(rows: np.ndarray, *, scale: Scale = "mean") -> np.ndarray:
  """Coordinate-wise median (Yin et al., 2018).

  Args:
    rows: [n, d]. For even n the median is the mean of the two middle values.
    scale: "mean" returns the median, "sum" n times the median.

  Returns:
    [d].
  """
  count, dimension = rows.shape
  result = np.zeros(dimension)
  if count == 0:
    return result
  for coordinate in range(dimension):
    result[coordinate] = _median_of(rows[:, coordinate].tolist())
  return _scale_factor(count, scale) * result


def _kept_by_extremes(values: Sequence[float], trimmed: int) -> list[float]:
  return sorted(values)[trimmed : len(values) - trimmed]


def _kept_around_median(values: Sequence[float], trimmed: int) -> list[float]:
  # For even n the two middle values are equally far from the median, so ties are the rule and not
  # the exception. In floating point the rounding of the median would decide them: hence fractions.
  exact = [Fraction(value) for value in values]
  centre = _median_of(exact)
  nearest_first = sorted(exact, key=lambda value: (abs(value - centre), value))
  return [float(value) for value in nearest_first[: len(values) - trimmed]]


def trimmed_mean(
  rows: np.ndarray,
  trimmed: int,
  reading: TrimReading,
  *,
  scale: Scale = "mean",
  too_few: TooFew = "median",
) -> np.ndarray:
  """Coordinate-wise trimmed mean in the two readings found in the field.

  Args:
    rows: [n, d].
    trimmed: f, the number of values distrusted.
    reading: "extremes" drops the f largest and the f smallest values (Yin et al., 2018);
      "around_median" keeps the n - f values nearest to the coordinate's median (published code of
      PIECK). Among equal distances the smaller value is kept first; distances are compared exactly.
    scale: "mean" returns the average of the kept values, "sum" n times that average (n, not the
      number kept).
    too_few: result if no value remains, that is if 2f >= n for "extremes" and f >= n for
      "around_median": "median" uses the median (in the same scale), "zero" makes no update.

  Returns:
    [d].
  """
  count, dimension = rows.shape
  result = np.zeros(dimension)
  if count == 0:
    return result
  remaining = count - 2 * trimmed if reading == "extremes" else count - trimmed
  if remaining <= 0:
    return median(rows, scale=scale) if too_few == "median" else result
  for coordinate in range(dimension):
    values = rows[:, coordinate].tolist()
    keep = _kept_by_extremes if reading == "extremes" else _kept_around_median
    kept = keep(values, trimmed)
    result[coordinate] = sum(kept) / len(kept)
  return _scale_factor(count, scale) * result


def trim_count(count: int, rule: TrimRule, value: float) -> int:
  """The f of a robust rule for one item.

  Args:
    count: number of clients that uploaded the item.
    rule: "ratio_of_count": floor(value * count), PIECK; "global": `value` is the total number of
      malicious clients; "per_round": `value` is the number of attackers of a round; "number":
      `value` is f. The last three ignore the count.
    value: a ratio or a number, according to the rule.

  Returns:
    f. A float product can lie just under the integer it stands for (0.29 * 100 is
    28.999999999999996), so a margin of 1e-6 is added before the floor.
  """
  if rule == "ratio_of_count":
    return math.floor(value * count + _FLOOR_MARGIN)
  return int(value)


def distrusted(share: float, base: int, rule: str) -> int:
  """f as a whole number, by exact arithmetic on the decimal fraction that `share` is written as.

  Args:
    share: or multiple.
    base: what it is a share of.
    rule: of a round or the federation it is rounded up, else down.
  """
  product = Fraction(str(share)) * base
  return math.ceil(product) if rule in ("per_round", "global") else math.floor(product)


def norm_bound(row: np.ndarray, max_norm: float) -> np.ndarray:
  """NormBound (Sun et al., 2019) on one uploaded row: row * min(1, max_norm / ||row||).

  Args:
    row: [d].
    max_norm: bound on the L2 norm.

  Returns:
    [d]; rows within the bound, the zero row among them, stay as they are.
  """
  norm = math.sqrt(sum(float(value) ** 2 for value in row))
  if norm <= max_norm:
    return row.copy()
  return row * (max_norm / norm)


def norm_bound_shared(gradient: np.ndarray, max_norm: float) -> np.ndarray:
  """NormBound on one client's gradient of a parameter that all items share (PIECK's code).

  Args:
    gradient: a weight matrix [out, in], of which each row is bounded on its own, or a bias [out],
      which is bounded as one vector.
    max_norm: bound on the L2 norm.

  Returns:
    Of the same shape.
  """
  if gradient.ndim < 2:
    return norm_bound(gradient, max_norm)
  return np.array([norm_bound(row, max_norm) for row in gradient])


def group_by_item(
  uploads: Sequence[tuple[int, int, np.ndarray]],
) -> dict[int, list[tuple[int, np.ndarray]]]:
  """Sorts uploads by item.

  Args:
    uploads: (client, item, row [d]); a zero row counts as an upload.

  Returns:
    Item -> list of (client, row), in the order of `uploads`. Items without uploads are absent.
  """
  grouped: dict[int, list[tuple[int, np.ndarray]]] = {}
  for client, item, row in uploads:
    grouped.setdefault(item, []).append((client, row))
  return grouped
