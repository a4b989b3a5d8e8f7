"""BRISQUE's 36 features of an image: how its local contrast is distributed, without a reference image.

Two implementations are in use and differ in details that their trained models know:

- "release", the authors' own for MATLAB: zeros beyond the border, neighbours wrap around, the half-size image is
  smoothed before it is sampled, and the first pair of features is a symmetric fit.
- "opencv", OpenCV's: the border is repeated, neighbours beyond it are zero, the half-size image is sampled by cubic
  interpolation, and the first pair comes from an asymmetric fit.

Scores need a trained model, see :mod:`fedrecjax.vision.brisque_model`.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from fedrecjax.vision.quality import grey

Convention = Literal["release", "opencv"]

SHAPES = np.arange(200, 10001) / 1000
"""Shape parameters that are tried, 0.2 to 10 by thousandths; their number is what is fitted."""

WINDOW = 7
DEVIATION = 7 / 6
NEIGHBOURS = (("horizontal", (0, 1)), ("vertical", (1, 0)), ("diagonal", (1, 1)), ("antidiagonal", (-1, 1)))

FEATURES = tuple(
  f"{size}_{name}"
  for size in ("full", "half")
  for name in (
    "shape", "variance",
    *(f"{pair}_{number}" for pair, _ in NEIGHBOURS for number in ("shape", "mean", "left", "right")),
  )
)
"""Names of the features, in the order that trained models expect."""


def _moment_ratios() -> np.ndarray:
  """(E|x|)^2 / E x^2 of a generalised Gaussian of each shape; it grows with the shape."""
  return np.array([
    math.exp(2 * math.lgamma(2 / shape) - math.lgamma(1 / shape) - math.lgamma(3 / shape)) for shape in SHAPES
  ])


_RATIOS = _moment_ratios()


class Asymmetric(NamedTuple):
  """An asymmetric generalised Gaussian fitted to numbers, float64 `[M]` each; NaN where there is none.

  Attributes:
    shape: 2 for a Gaussian, 1 for a Laplacian.
    mean: of the fitted distribution.
    left: mean square of the negative numbers.
    right: mean square of the positive ones.
  """

  shape: np.ndarray
  mean: np.ndarray
  left: np.ndarray
  right: np.ndarray


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
  return np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)


def _nearest_shape(value: np.ndarray, table: np.ndarray) -> np.ndarray:
  """The shape whose entry in the ascending `table` is nearest to each value, NaN for NaN."""
  place = np.clip(np.searchsorted(table, value), 1, len(table) - 1)
  nearest = np.where(value - table[place - 1] <= table[place] - value, place - 1, place)
  return np.where(np.isnan(value), np.nan, SHAPES[nearest])


def fit_symmetric(numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Shape and variance of a zero-mean generalised Gaussian, by moments.

  Args:
    numbers: `[M, N]`.

  Returns:
    Shape and variance `[M]`. The shape is NaN where all numbers of a row are zero.

  References:
    Mittal et al., 2012, Eq. 4; Sharifi and Leon-Garcia, "Estimation of Shape Parameter for Generalized Gaussian
    Distributions in Subband Decompositions of Video", 1995.
  """
  variance = np.mean(np.square(numbers), axis=1)
  ratio = _ratio(variance, np.square(np.mean(np.abs(numbers), axis=1)))
  return _nearest_shape(-ratio, -1 / _RATIOS), variance


def fit_asymmetric(numbers: np.ndarray) -> Asymmetric:
  """An asymmetric generalised Gaussian, by moments.

  Args:
    numbers: `[M, N]`.

  Returns:
    The fit of each row; NaN where a row has no negative or no positive number.

  References:
    Mittal et al., 2012, Eq. 9 to 14; Lasmar et al., "Multiscale Skewed Heavy Tailed Model for Texture Analysis", 2009.
  """
  squares = np.square(numbers)
  negative, positive = numbers < 0, numbers > 0
  left = _ratio(np.sum(squares * negative, axis=1), negative.sum(axis=1).astype(float))
  right = _ratio(np.sum(squares * positive, axis=1), positive.sum(axis=1).astype(float))
  skew = np.sqrt(_ratio(left, right))
  ratio = _ratio(np.square(np.mean(np.abs(numbers), axis=1)), squares.mean(axis=1))
  shape = _nearest_shape(ratio * (skew**3 + 1) * (skew + 1) / (skew**2 + 1) ** 2, _RATIOS)
  scale = [
    math.nan if math.isnan(one)
    else math.exp(math.lgamma(2 / one) - (math.lgamma(1 / one) + math.lgamma(3 / one)) / 2)
    for one in shape
  ]
  return Asymmetric(shape, (np.sqrt(right) - np.sqrt(left)) * np.array(scale), left, right)


def _blurred(images: np.ndarray, convention: Convention) -> np.ndarray:
  """Gaussian means over windows of 7 x 7 pixels, `[M, H, W]`."""
  offsets = np.arange(WINDOW) - WINDOW // 2
  weights = np.exp(-np.square(offsets / DEVIATION) / 2)
  weights /= weights.sum()
  border = {"release": "constant", "opencv": "edge"}[convention]
  half = WINDOW // 2
  height, width = images.shape[1:]
  padded = np.pad(images, [(0, 0), (half, half), (half, half)], mode=border)  # type: ignore[call-overload]
  rows = sum(weight * padded[:, place : place + height] for place, weight in enumerate(weights))
  return sum(weight * rows[:, :, place : place + width] for place, weight in enumerate(weights))


def normalised(images: np.ndarray, *, convention: Convention) -> np.ndarray:
  """Mean-subtracted contrast-normalised coefficients.

  Args:
    images: grey values on 0..255, float64 `[M, H, W]`.
    convention: see the module.

  Returns:
    (value - local mean) / (local deviation + 1), `[M, H, W]`.

  References:
    Mittal et al., 2012, Eq. 1 to 3.
  """
  mean = _blurred(images, convention)
  # The two terms differ by rounding alone where the image is flat.
  deviation = np.sqrt(np.abs(_blurred(np.square(images), convention) - np.square(mean)))
  return (images - mean) / (deviation + 1)


def _cubic(distance: np.ndarray, slope: float) -> np.ndarray:
  """Keys' cubic interpolation kernel."""
  near = (slope + 2) * distance**3 - (slope + 3) * distance**2 + 1
  far = slope * (distance**3 - 5 * distance**2 + 8 * distance - 4)
  return np.where(distance <= 1, near, np.where(distance < 2, far, 0.0))


def _halving(length: int, convention: Convention) -> np.ndarray:
  """Weights that take a line of pixels to one of half the length, `[half, length]`."""
  smoothed = convention == "release"
  half = -(-length // 2) if smoothed else length // 2
  step = 2.0 if smoothed else length / half
  reach = 4 if smoothed else 2
  centre = (np.arange(half) + 0.5) * step - 0.5
  taps = np.floor(centre)[:, None] + np.arange(1 - reach, reach + 1)
  distance = np.abs(taps - centre[:, None])
  weights = _cubic(distance / 2, -0.5) if smoothed else _cubic(distance, -0.75)
  weights /= weights.sum(axis=1, keepdims=True)
  place = taps.astype(int)
  if smoothed:
    place = place % (2 * length)
    place = np.where(place < length, place, 2 * length - 1 - place)
  matrix = np.zeros((half, length))
  np.add.at(matrix, (np.arange(half)[:, None], np.clip(place, 0, length - 1)), weights)
  return matrix


def halved(images: np.ndarray, *, convention: Convention) -> np.ndarray:
  """Images at half their size.

  Args:
    images: float64 `[M, H, W]`.
    convention: "release" smooths with a cubic kernel of eight taps, mirrors at the border and rounds odd sizes up;
      "opencv" interpolates between four pixels, repeats the border and rounds odd sizes down.

  Returns:
    `[M, H / 2, W / 2]`.
  """
  height, width = images.shape[1:]
  return _halving(height, convention) @ images @ _halving(width, convention).T


def _products(coefficients: np.ndarray, shift: tuple[int, int], convention: Convention) -> np.ndarray:
  """Each coefficient times its neighbour, `[M, H * W]`."""
  if convention == "release":
    neighbour = np.roll(coefficients, shift, axis=(1, 2))
  else:
    height, width = coefficients.shape[1:]
    padded = np.pad(coefficients, [(0, 0), (1, 1), (1, 1)])
    neighbour = padded[:, 1 + shift[0] : 1 + shift[0] + height, 1 + shift[1] : 1 + shift[1] + width]
  return (coefficients * neighbour).reshape(len(coefficients), -1)


def _of_one_size(images: np.ndarray, convention: Convention) -> list[np.ndarray]:
  coefficients = normalised(images, convention=convention)
  flat = coefficients.reshape(len(images), -1)
  if convention == "release":
    found = [*fit_symmetric(flat)]
  else:
    fit = fit_asymmetric(flat)
    found = [fit.shape, (fit.left + fit.right) / 2]
  for _, shift in NEIGHBOURS:
    found += fit_asymmetric(_products(coefficients, shift, convention))
  return found


def features(images: npt.ArrayLike, *, convention: Convention = "release", batch: int = 16) -> np.ndarray:
  """BRISQUE's features.

  Args:
    images: uint8 `[M, H, W, 3]`, red first, at least 8 pixels high and wide.
    convention: whose details are followed, "release" or "opencv"; that of the model that is to score them.
    batch: images worked on at a time; bounds memory, changes nothing else.

  Returns:
    float64 `[M, 36]`, named by `FEATURES`. NaN where a fit does not exist, as in flat images.

  Raises:
    ValueError: if `images` has another type or shape, or `batch` is not positive.

  References:
    Mittal et al., "No-Reference Image Quality Assessment in the Spatial Domain", 2012.
  """
  if convention not in ("release", "opencv"):
    raise ValueError(f'convention must be "release" or "opencv", got {convention!r}')
  if batch < 1:
    raise ValueError(f"batch must be positive, got {batch}")
  values = grey(images)
  if values.ndim != 3 or min(values.shape[1:]) < 8:
    raise ValueError(f"images must be [M, H, W, 3] with H and W at least 8, got {[*values.shape, 3]}")
  found = np.empty((len(values), len(FEATURES)))
  for start in range(0, len(values), batch):
    part = values[start : start + batch].astype(np.float64)
    columns = _of_one_size(part, convention) + _of_one_size(halved(part, convention=convention), convention)
    found[start : start + batch] = np.stack(columns, axis=1)
  return found
