"""Purification by guided diffusion (Yuan et al., 2023, Eq. 18 to 26, Algorithm 4), one image, all noise given.

Steps are numbered from 1 as in the paper; `kept` are the steps that a respaced schedule visits.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

Predict = Callable[[np.ndarray, int], tuple[np.ndarray, np.ndarray]]
"""(image on [-1, 1], original step from 0) -> predicted noise, coefficient of the variance in [-1, 1]."""


def alpha_bar(betas: Sequence[float], step: int) -> float:
  """Product of the first `step` of 1 - beta."""
  product = 1.0
  for beta in betas[:step]:
    product *= 1 - beta
  return product


def mean_square(first: np.ndarray, second: np.ndarray, reduction: str) -> float:
  total = 0.0
  for a, b in zip(first.ravel(), second.ravel(), strict=True):
    total += (a - b) ** 2
  return total / first.size if reduction == "mean" else total


def slope(current: np.ndarray, reference: np.ndarray, reduction: str) -> np.ndarray:
  """Derivative of the error with respect to the current image, by central differences.

  The error is quadratic, so that they are exact.
  """
  gradient = np.zeros_like(current)
  width = 0.5
  for place in np.ndindex(current.shape):
    moved = current.copy()
    moved[place] += width
    above = mean_square(moved, reference, reduction)
    moved[place] -= 2 * width
    gradient[place] = (above - mean_square(moved, reference, reduction)) / (2 * width)
  return gradient


def purified(
  image: np.ndarray,
  betas: Sequence[float],
  kept: Sequence[int],
  predict: Predict,
  *,
  start: int,
  diffusion_noise: Mapping[int, np.ndarray],
  reverse_noise: Mapping[int, np.ndarray],
  guidance: str,
  weight: float,
  reduction: str,
  reference: str,
  assumed_bound: float,
  max_pull: float,
  literal_sign: bool,
) -> tuple[np.ndarray, int]:
  """The purified image on 0..255, not rounded, and how many steps were capped.

  `diffusion_noise[s]` is zeta of step s, `reverse_noise[s]` that which is added when going back
  from step s.
  """
  visited = [step for step in kept if step <= start]
  if not visited:
    return image.astype(float), 0
  clean = image / 255 * 2 - 1

  def diffused(step: int) -> np.ndarray:
    left = alpha_bar(betas, step)
    return np.sqrt(left) * clean + np.sqrt(1 - left) * diffusion_noise[step]

  def quantities(place: int) -> tuple[float, float, float, float]:
    left = alpha_bar(betas, kept[place])
    left_before = alpha_bar(betas, kept[place - 1]) if place else 1.0
    beta = 1 - left / left_before
    return left, left_before, beta, beta * (1 - left_before) / (1 - left)

  current = diffused(visited[-1])
  capped = 0
  for place in range(len(visited) - 1, -1, -1):
    step = visited[place]
    left, left_before, beta, posterior_variance = quantities(place)
    if place == 0:
      posterior_variance = quantities(1)[3]
    noise, coefficient = predict(current, step - 1)
    predicted = np.clip((current - np.sqrt(1 - left) * noise) / np.sqrt(left), -1, 1)
    mean = np.sqrt(left_before) * beta / (1 - left) * predicted
    mean += np.sqrt(1 - beta) * (1 - left_before) / (1 - left) * current
    share = (coefficient + 1) / 2
    variance = beta**share * posterior_variance ** (1 - share)

    if guidance != "none":
      scale = weight
      if guidance == "gdmp":
        scale = np.sqrt(1 - left) / (2 * assumed_bound / 255 / (3 * weight) * np.sqrt(left))
      target = clean if reference == "clean" else diffused(step)
      move = scale * variance * slope(current, target, reduction)
      distance = current - target
      pull = scale * variance * 2 / (image.size if reduction == "mean" else 1)
      too_far = pull > max_pull
      move[too_far] = max_pull * distance[too_far]
      capped += bool(too_far.any())
      mean = mean + move if literal_sign else mean - move
    current = mean if place == 0 else mean + np.sqrt(variance) * reverse_noise[step]
  return np.clip((current + 1) / 2 * 255, 0, 255), capped
