"""Quality of images without a reference: sharpness, and how far it spreads over a set of images.

Images are arrays on the host. Numbers are float64, so that a set is judged alike on every machine.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

LUMA = (299, 587, 114)
"""Shares of red, green and blue in grey, in thousandths (ITU-R BT.601)."""


def grey(images: npt.ArrayLike) -> np.ndarray:
  """Grey values of color images.

  Args:
    images: uint8 `[..., H, W, 3]`, red first.

  Returns:
    0.299 R + 0.587 G + 0.114 B, rounded half up, uint8 `[..., H, W]`.

  Raises:
    ValueError: if `images` has another type or shape.

  >>> grey(np.array([[[255, 255, 255], [255, 0, 0]]], np.uint8)).tolist()
  [[255, 76]]
  """
  pixels = np.asarray(images)
  if pixels.dtype != np.uint8 or pixels.ndim < 3 or pixels.shape[-1] != 3:
    raise ValueError(f"images must be uint8 [..., H, W, 3], got {pixels.dtype} {list(pixels.shape)}")
  red, green, blue = (pixels[..., channel].astype(np.int32) * share for channel, share in enumerate(LUMA))
  return ((red + green + blue + 500) // 1000).astype(np.uint8)


def sharpness(images: npt.ArrayLike) -> np.ndarray:
  """Variance of the Laplacian of each image: the blur score, which is higher where an image is sharper.

  The Laplacian is the sum of the four neighbours less four times the pixel, on 8-bit grey values; at the border the
  image is mirrored at the pixels of its edge. It grows with resolution: compare images of one size only.

  Args:
    images: uint8 `[..., H, W, 3]`, at least two pixels high and wide.

  Returns:
    Population variances over the pixels, float64 `[...]`, in squared pixel units.

  Raises:
    ValueError: if `images` has another type or shape, or is smaller.

  References:
    Yuan et al., "Manipulating Visually-aware Federated Recommender Systems and Its Countermeasures", 2023, Table 3,
    "Laplacian operator value"; the variance is the usual reading (Pech-Pacheco et al., "Diatom Autofocusing in
    Brightfield Microscopy", 2000).

  >>> sharpness(np.zeros((2, 2, 3), np.uint8)).item()
  0.0
  """
  pixels = grey(images).astype(np.int32)
  if min(pixels.shape[-2:]) < 2:
    raise ValueError(f"images must be at least 2 pixels high and wide, got {list(pixels.shape[-2:])}")
  padded = np.pad(pixels, [(0, 0)] * (pixels.ndim - 2) + [(1, 1), (1, 1)], mode="reflect")
  neighbours = padded[..., :-2, 1:-1] + padded[..., 2:, 1:-1] + padded[..., 1:-1, :-2] + padded[..., 1:-1, 2:]
  return np.var(neighbours - 4 * pixels, axis=(-2, -1), dtype=np.float64)


def spread(scores: npt.ArrayLike) -> float:
  """Population standard deviation of a score over a set of images; lower where the images are more alike.

  Args:
    scores: one finite number per image `[M]`.

  Raises:
    ValueError: if there is no score, or some are not finite; features that an image does not have are NaN.

  References:
    Yuan et al., 2023, Table 3.

  >>> spread([1.0, 3.0])
  1.0
  """
  values = np.asarray(scores, np.float64)
  if values.ndim != 1 or values.size == 0:
    raise ValueError(f"scores must be [M] with at least one image, got {list(values.shape)}")
  undefined = int(np.sum(~np.isfinite(values)))
  if undefined:
    raise ValueError(f"scores must be finite, {undefined} of {values.size} are not")
  return float(values.std())
