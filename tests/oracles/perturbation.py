"""Projected gradient descent on pixel values (Madry et al., 2018), one value at a time."""

import math
from collections.abc import Callable

import numpy as np

Slope = Callable[[np.ndarray], tuple[float, np.ndarray]]
"""image -> loss and its gradient"""


def allowed(clean: float, bound: float, rounded: bool) -> tuple[float, float]:
  """Least and largest value that a pixel may take."""
  low, high = max(clean - bound, 0), min(clean + bound, 255)
  return (math.ceil(low), math.floor(high)) if rounded else (low, high)


def perturbed(
  clean: np.ndarray,
  slope: Slope,
  *,
  bound: float,
  steps: int,
  step_size: float,
  start: np.ndarray,
  rounded: bool,
  keep: str,
) -> tuple[np.ndarray, float]:
  """The kept image and its loss."""
  limits = [allowed(float(value), bound, rounded) for value in clean.ravel()]

  def project(values: np.ndarray) -> np.ndarray:
    inside = [min(max(v, low), high) for v, (low, high) in zip(values.ravel(), limits, strict=True)]
    return np.array(inside).reshape(clean.shape)

  def upload(values: np.ndarray) -> np.ndarray:
    return project(np.array([round(float(v)) for v in values.ravel()])) if rounded else values

  current = project(clean + start)
  tried = []
  for step in range(steps + 1):
    image = upload(current)
    value, gradient = slope(image)
    tried.append((value, step, image))
    current = project(current - step_size * np.sign(gradient))
  value, _, image = min(tried, key=lambda one: one[:2]) if keep == "best" else tried[-1]
  return image, value
