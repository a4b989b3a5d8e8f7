"""The Popularity Attack of Yuan et al. (2023, Section 6.3): a picture's features approach those of popular items."""

from collections.abc import Callable, Sequence

import numpy as np

from tests.oracles import perturbation


def popular_items(
  popularity: Sequence[int], has_image: Sequence[bool], targets: Sequence[int], count: int
) -> list[int]:
  """The most popular items with a picture that are no targets; of equal ones the lower id first."""
  candidates = [item for item, seen in enumerate(has_image) if seen and item not in targets]
  return sorted(candidates, key=lambda item: (-popularity[item], item))[:count]


def image_slope(
  features: np.ndarray,
  popular: Sequence[int],
  extract: Callable[[np.ndarray], np.ndarray],
  pulled_back: Callable[[np.ndarray, np.ndarray], np.ndarray],
) -> perturbation.Slope:
  """Mean squared distance of an image's features from the mean features of popular items, and its gradient.

  Args:
    features: of all items [M, F].
    popular: items.
    extract: Phi.
    pulled_back: (image, derivatives by its features) -> derivatives by its pixel values.
  """
  hook = [float(np.mean([features[item][place] for item in popular])) for place in range(features.shape[1])]

  def slope(image: np.ndarray) -> tuple[float, np.ndarray]:
    away = extract(image) - np.array(hook)
    return sum(float(part) ** 2 for part in away) / len(away), pulled_back(image, 2 * away / len(away))

  return slope
