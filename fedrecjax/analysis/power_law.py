"""Power laws of whole numbers: the zeta distribution, fitted by maximum likelihood to the tail that it fits best."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

# Terms of the zeta series that are added up before the remainder is expanded, and the expansion's Bernoulli numbers
# B_2j / (2j)!: together they leave a relative error of about 1e-14.
_DIRECT_TERMS = 16
_EXPANSION = (
  1 / 12, -1 / 720, 1 / 30_240, -1 / 1_209_600, 1 / 47_900_160, -691 / 1_307_674_368_000, 1 / 74_724_249_600,
)
_HALVINGS = 100
_COMPLEX_STEP = 1e-20
_DIFFERENCE = 1e-4


class PowerLaw(NamedTuple):
  """The law p(k) = C k^-exponent of the whole numbers k = minimum, minimum + 1, ..., fitted to degrees.

  Attributes:
    exponent: beta, above 1.
    minimum: x_min, the least degree that the law speaks of.
    log_constant: natural logarithm of C = 1 / zeta(beta, x_min), with which the probabilities add up to 1.
    standard_error: of the exponent, for many items.
    distance: Kolmogorov-Smirnov distance, the largest difference between the distribution functions of the law and of
      the degrees from x_min on.
    num_items: items with a degree of x_min or more.
    tail_share: those as a share of all items with a degree of 1 or more.
  """

  exponent: float
  minimum: int
  log_constant: float
  standard_error: float
  distance: float
  num_items: int
  tail_share: float


def fit_power_law(degrees: npt.ArrayLike, *, minimum: int | None = None, min_items: int = 50) -> PowerLaw:
  """Fits a power law to the degrees of items; items of degree 0 are left out.

  Args:
    degrees: whole numbers `[M]`.
    minimum: x_min; None takes the one of all degrees that occur at which the Kolmogorov-Smirnov distance is smallest.
    min_items: for `minimum=None`: how many items the tail must hold, without which the few largest degrees would
      always be fitted best.

  Returns:
    The law of largest likelihood.

  Raises:
    ValueError: for degrees that are negative or no whole numbers, a minimum below 1, or if there are not at least two
      different degrees to fit, and `min_items` items, at or above a minimum.

  References:
    Clauset, Shalizi and Newman, "Power-Law Distributions in Empirical Data", SIAM Review 51(4), 2009: likelihood and
    standard error in the discrete case, and the choice of x_min.
  """
  counts = _histogram(degrees)
  if minimum is None:
    occurring = np.flatnonzero(counts)
    at_or_above = np.cumsum(counts[::-1])[::-1]
    candidates = occurring[:-1][at_or_above[occurring[:-1]] >= min_items]
    wanted = f"a degree with {min_items} items at or above it"
  else:
    if minimum < 1:
      raise ValueError(f"minimum must be at least 1, got {minimum}")
    candidates = np.array([minimum]) if np.count_nonzero(counts[minimum:]) > 1 else np.zeros(0, np.int64)
    wanted = f"degrees of {minimum} or more"
  if candidates.size == 0:
    raise ValueError(f"no power law can be fitted: it takes {wanted}, and two different degrees there")
  exponents = _most_likely_exponents(counts, candidates)
  distances = [_distance(counts, int(start), exponent) for start, exponent in zip(candidates, exponents, strict=True)]
  best = int(np.argmin(distances))
  start, exponent = int(candidates[best]), float(exponents[best])
  num_items = int(counts[start:].sum())
  below, above = (_mean_log(np.array([exponent + step]), np.array([start]))[0] for step in (-_DIFFERENCE, _DIFFERENCE))
  variance = float(below - above) / (2 * _DIFFERENCE)
  return PowerLaw(
    exponent=exponent,
    minimum=start,
    log_constant=-float(_log_zeta(np.array(exponent), np.array(start)).real),
    standard_error=1 / math.sqrt(num_items * variance),
    distance=distances[best],
    num_items=num_items,
    tail_share=num_items / int(counts.sum()),
  )


def hurwitz_zeta(exponent: npt.ArrayLike, start: npt.ArrayLike) -> Array:
  """The sum of (start + k)^-exponent over k = 0, 1, 2, ...

  Args:
    exponent: above 1, any shape.
    start: positive, of a shape that goes with it.

  Returns:
    Float64, by the Euler-Maclaurin formula.

  >>> float(round(hurwitz_zeta(2.0, 1.0) * 6 / np.pi**2, 12))
  1.0
  """
  return np.exp(_log_zeta(np.asarray(exponent, np.float64), np.asarray(start, np.float64)).real)


def tail_probability(law: PowerLaw, degrees: npt.ArrayLike) -> Array:
  """The probability of a degree of k or more among those that the law speaks of, for each k in `degrees` >= x_min."""
  start = np.asarray(degrees, np.float64)
  return np.exp(_log_zeta(np.array(law.exponent), start).real + law.log_constant)


def _log_zeta(exponent: np.ndarray, start: np.ndarray) -> np.ndarray:
  """Logarithm of the Hurwitz zeta function; the exponent may be complex, for derivatives.

  Everything is in units of start^-exponent, which alone may be too small for a float.
  """
  inner = np.asarray(exponent)[..., None]
  total = np.sum((1 + np.arange(_DIRECT_TERMS) / np.asarray(start)[..., None]) ** -inner, axis=-1)
  end = start + _DIRECT_TERMS
  power = (end / start) ** -exponent
  total = total + power * (end / (exponent - 1) + 0.5)
  factor = exponent / end
  for order, coefficient in enumerate(_EXPANSION):
    total = total + power * coefficient * factor
    factor = factor * (exponent + 2 * order + 1) * (exponent + 2 * order + 2) / end**2
  return np.log(total) - exponent * np.log(start)


def _mean_log(exponent: np.ndarray, start: np.ndarray) -> np.ndarray:
  """Mean of log k under the law: minus the derivative of log zeta by the exponent, by a complex step."""
  return -_log_zeta(exponent + 1j * _COMPLEX_STEP, start).imag / _COMPLEX_STEP


def _histogram(degrees: npt.ArrayLike) -> np.ndarray:
  """Number of items by degree, int64 `[largest degree + 1]`, none at degree 0."""
  array = np.asarray(degrees)
  if array.ndim != 1 or not np.issubdtype(array.dtype, np.integer) or (array.size and array.min() < 0):
    raise ValueError("degrees must be a list of whole numbers of at least 0")
  counts = np.bincount(array, minlength=1)
  counts[0] = 0
  return counts


def _most_likely_exponents(counts: np.ndarray, starts: np.ndarray) -> Array:
  """The exponent of largest likelihood for the degrees at or above each start, `[starts]`.

  It is where the mean of log k under the law, which falls with the exponent, equals that of the data.
  """
  logs = np.log(np.maximum(np.arange(len(counts)), 1))
  items = np.cumsum(counts[::-1])[::-1]
  target = np.cumsum((counts * logs)[::-1])[::-1][starts] / items[starts]
  # The continuous law of the same exponent has the larger mean, and it is known: log start + 1 / (exponent - 1).
  low, high = np.ones(len(starts)), 1 + 1 / (target - np.log(starts))
  for _ in range(_HALVINGS):
    middle = (low + high) / 2
    too_heavy = _mean_log(middle, starts.astype(np.float64)) > target
    low, high = np.where(too_heavy, middle, low), np.where(too_heavy, high, middle)
  return (low + high) / 2


def _distance(counts: np.ndarray, start: int, exponent: float) -> float:
  """Kolmogorov-Smirnov distance between the law and the degrees at or above `start`."""
  degrees = np.arange(start, len(counts), dtype=np.float64)
  log_zeta = _log_zeta(np.array(exponent), np.array(start)).real
  law = np.cumsum(np.exp(-exponent * np.log(degrees) - log_zeta))
  found = np.cumsum(counts[start:]) / counts[start:].sum()
  # Beyond the largest degree both functions only approach each other.
  return float(np.abs(law - found).max())
