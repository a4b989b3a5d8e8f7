"""Detection of adversarial images: purification changes their features more than those of normal ones.

An image is judged by the similarity of its features before and after purification. Thresholds come from normal images
alone, purified by the same purifier: they depend on its depth, on the extractor and on the size of the images, and are
to be computed anew when one of these changes.
"""

from __future__ import annotations

import statistics
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from jax import Array


class Rates(NamedTuple):
  """How well flags tell adversarial images from normal ones; NaN where there is nothing to take a share of.

  Attributes:
    true_positive: share of the adversarial images that are flagged; what the paper calls accuracy.
    false_positive: share of the normal images that are flagged.
    accuracy: share of all images that are judged rightly.
  """

  true_positive: float
  false_positive: float
  accuracy: float


class Densities(NamedTuple):
  """Distributions of the similarities of normal and of adversarial images, float64; in this order on a first axis.

  Attributes:
    edges: of the bins `[N + 1]`, equally wide, from the least similarity to the largest.
    histograms: densities in the bins `[2, N]`; each integrates to 1.
    grid: similarities at which the fits are given `[P]`, from the first edge to the last.
    fits: densities of the fitted normal distributions `[2, P]`.
    means: of the two groups `[2]`.
    deviations: sample standard deviations of the two groups `[2]`.
  """

  edges: np.ndarray
  histograms: np.ndarray
  grid: np.ndarray
  fits: np.ndarray
  means: np.ndarray
  deviations: np.ndarray


def similarity(before: Array, after: Array) -> Array:
  """Cosine similarity of an image's features before and after purification.

  The paper prints a cosine similarity of one argument, the difference of the two; a similarity has two.

  Args:
    before: features `[..., F]`.
    after: features `[..., F]`.

  Returns:
    `[...]`, in [-1, 1]; NaN where one of the vectors is zero, as for items without an image.

  References:
    Yuan et al., "Manipulating Visually-aware Federated Recommender Systems and Its Countermeasures", 2023, Eq. 27.

  >>> float(similarity(jnp.array([3.0, 4.0]), jnp.array([3.0, -4.0]))).__round__(4)
  -0.28
  """
  first, second = (
    features / jnp.linalg.norm(features, axis=-1, keepdims=True)
    for features in (jnp.asarray(before, jnp.float32), jnp.asarray(after, jnp.float32))
  )
  return jnp.clip(jnp.sum(first * second, axis=-1), -1.0, 1.0)


def _finite(similarities: npt.ArrayLike, name: str, least: int) -> np.ndarray:
  values = np.asarray(similarities, np.float64)
  if values.ndim != 1 or values.size < least:
    raise ValueError(f"{name} must be [M] with at least {least} of them, got {list(values.shape)}")
  if not np.isfinite(values).all():
    raise ValueError(f"{name} must be finite, {int(np.sum(~np.isfinite(values)))} of {values.size} are not")
  return values


def minimum_threshold(normal: npt.ArrayLike) -> float:
  """The least similarity of normal images, so that none of them is flagged: the paper's choice.

  It is the lower, the more images there are; with few it flags normal images that are not among them.

  Args:
    normal: similarities of normal images `[M]`.

  Raises:
    ValueError: if there is none, or one is not finite.

  References:
    Yuan et al., 2023, Section 6.6, rho_0, from 10,000 images.
  """
  return float(_finite(normal, "similarities of normal images", 1).min())


def quantile_threshold(normal: npt.ArrayLike, share: float) -> float:
  """A threshold that flags at most a share of the given normal images.

  Args:
    normal: similarities of normal images `[M]`.
    share: of them that may be flagged, in [0, 1). 0 is :func:`minimum_threshold`.

  Returns:
    The largest of the given similarities below which no more than that share lie.

  Raises:
    ValueError: if `share` is out of its range, there is no similarity, or one is not finite.

  >>> quantile_threshold([0.9, 0.6, 0.8, 0.7], 0.25)
  0.7
  """
  values = _finite(normal, "similarities of normal images", 1)
  if not 0 <= share < 1:
    raise ValueError(f"share must lie in [0, 1), got {share}")
  # A hair more than the product, which rounding may leave below a whole number.
  place = int(share * values.size * (1 + 1e-12))
  return float(np.sort(values)[min(place, values.size - 1)])


def normal_threshold(normal: npt.ArrayLike, tail: float) -> float:
  """A threshold that a normal distribution fitted to normal images falls below with a given probability.

  Args:
    normal: similarities of normal images `[M]`, at least two different ones.
    tail: probability that a normal image is flagged, in (0, 1).

  Raises:
    ValueError: if `tail` is out of its range, or there are no two different, finite similarities.

  References:
    The fit is that of Figure 8 of Yuan et al., 2023, by mean and sample standard deviation.
  """
  mean, deviation = _fit(_finite(normal, "similarities of normal images", 2), "similarities of normal images")
  if not 0 < tail < 1:
    raise ValueError(f"tail must lie in (0, 1), got {tail}")
  return statistics.NormalDist(mean, deviation).inv_cdf(tail)


def _fit(values: np.ndarray, name: str) -> tuple[float, float]:
  """Mean and sample standard deviation."""
  if values.min() == values.max():
    raise ValueError(f"{name} must not all be equal for a fit, all are {values[0]}")
  return float(values.mean()), float(values.std(ddof=1))


def judge(similarities: npt.ArrayLike, threshold: float) -> np.ndarray:
  """Which images are flagged as adversarial: those strictly less similar than the threshold.

  Args:
    similarities: `[M]`, finite: items without an image are to be left out.
    threshold: rho.

  Returns:
    bool `[M]`.

  Raises:
    ValueError: if a similarity or the threshold is not finite.

  References:
    Yuan et al., 2023, Eq. 27.
  """
  if not np.isfinite(threshold):
    raise ValueError(f"threshold must be finite, got {threshold}")
  return _finite(similarities, "similarities", 0) < threshold


def _truth(adversarial: npt.ArrayLike, size: int) -> np.ndarray:
  truth = np.asarray(adversarial)
  if truth.dtype != np.bool_ or truth.shape != (size,):
    raise ValueError(f"adversarial must be bool [{size}], got {truth.dtype} {list(truth.shape)}")
  return truth


def rates(flagged: npt.ArrayLike, adversarial: npt.ArrayLike) -> Rates:
  """Quality of the flags.

  Args:
    flagged: bool `[M]`.
    adversarial: which images are, bool `[M]`.

  Returns:
    Shares; NaN for those of an empty class.

  Raises:
    ValueError: if the arguments differ in shape or are not bool.

  >>> rates(np.array([True, False, False]), np.array([True, True, False]))
  Rates(true_positive=0.5, false_positive=0.0, accuracy=0.6666666666666666)
  """
  flags = np.asarray(flagged)
  truth = _truth(adversarial, flags.size)
  flags = _truth(flags, flags.size)

  def share(part: np.ndarray) -> float:
    return float(part.mean()) if part.size else float("nan")

  return Rates(share(flags[truth]), share(flags[~truth]), share(flags == truth))


def auroc(similarities: npt.ArrayLike, adversarial: npt.ArrayLike) -> float:
  """Area under the curve of true against false positives over all thresholds.

  Args:
    similarities: `[M]`, finite.
    adversarial: which images are, bool `[M]`.

  Returns:
    Probability that an adversarial image is less similar than a normal one, a tie counting half; NaN if either class
    is empty.

  Raises:
    ValueError: if the arguments differ in shape, or a similarity is not finite.

  >>> auroc([0.2, 0.5, 0.5, 0.9], np.array([True, True, False, False]))
  0.875
  """
  values = _finite(similarities, "similarities", 0)
  truth = _truth(adversarial, values.size)
  normal = np.sort(values[~truth])
  attacked = values[truth]
  if normal.size == 0 or attacked.size == 0:
    return float("nan")
  not_below = normal.size - np.searchsorted(normal, attacked, side="left")
  above = normal.size - np.searchsorted(normal, attacked, side="right")
  return float(np.mean(not_below + above) / 2 / normal.size)


def densities(
  normal: npt.ArrayLike, adversarial: npt.ArrayLike, *, bins: int = 40, points: int = 200
) -> Densities:
  """Histograms and normal fits of two groups of similarities, on common axes.

  Args:
    normal: similarities of normal images, at least two different ones.
    adversarial: similarities of adversarial images, likewise.
    bins: N.
    points: P.

  Raises:
    ValueError: if a group has no two different, finite similarities, or a number is too small.

  References:
    Yuan et al., 2023, Figure 8.
  """
  if bins < 1 or points < 2:
    raise ValueError(f"bins must be at least 1 and points at least 2, got {bins} and {points}")
  names = ("similarities of normal images", "similarities of adversarial images")
  groups = [_finite(group, name, 2) for group, name in zip((normal, adversarial), names, strict=True)]
  means, deviations = np.array([_fit(group, name) for group, name in zip(groups, names, strict=True)]).T
  low, high = min(group.min() for group in groups), max(group.max() for group in groups)
  edges, grid = np.linspace(low, high, bins + 1), np.linspace(low, high, points)
  histograms = np.stack([np.histogram(group, edges, density=True)[0] for group in groups])
  scaled = (grid - means[:, None]) / deviations[:, None]
  fits = np.exp(-np.square(scaled) / 2) / (deviations[:, None] * np.sqrt(2 * np.pi))
  return Densities(edges, histograms, grid, fits, means, deviations)
