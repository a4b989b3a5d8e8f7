"""Finite differences."""

from collections.abc import Callable

import numpy as np

_STEP = 1e-6


def central_difference(function: Callable[[np.ndarray], float], point: np.ndarray) -> np.ndarray:
  """Gradient of a scalar function at `point` (any shape) by central differences; float64."""
  gradient = np.zeros_like(point)
  for index in np.ndindex(point.shape):
    shift = np.zeros_like(point)
    shift[index] = _STEP
    gradient[index] = (function(point + shift) - function(point - shift)) / (2 * _STEP)
  return gradient
