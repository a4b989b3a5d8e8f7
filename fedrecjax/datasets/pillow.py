"""Encoded images to pixels of one size, by Pillow."""

from __future__ import annotations

import io
import pathlib
from typing import Any

import numpy as np

from fedrecjax.datasets.errors import DataError
from fedrecjax.datasets.image_set import PixelArray

_WHITE = (255, 255, 255, 255)


def decoded(content: bytes | pathlib.Path, *, size: int, where: str) -> PixelArray:
  """Reads an image and brings it to a square: sides are scaled apart from each other, by Lanczos' filter.

  Transparent parts are put on white; of a moving image the first frame is taken.

  Args:
    content: a file, or its bytes.
    size: wanted side in pixels.
    where: what the image is called in errors.

  Returns:
    uint8 `[size, size, 3]`.

  Raises:
    DataError: if this is no image that Pillow reads, or Pillow is not installed.
  """
  image_module = _pillow(where)
  try:
    with image_module.open(io.BytesIO(content) if isinstance(content, bytes) else content) as image:
      picture = image.convert("RGBA") if image.has_transparency_data else image.convert("RGB")
  except (OSError, ValueError, SyntaxError, image_module.DecompressionBombError) as error:
    reason = " ".join(str(error).split()) or type(error).__name__
    raise DataError(f"{where}: expected an image: {reason}") from None
  if picture.mode == "RGBA":
    ground = image_module.new("RGBA", picture.size, _WHITE)
    picture = image_module.alpha_composite(ground, picture).convert("RGB")
  return _to_square(image_module, picture, size)


def resized(pixels: PixelArray, *, size: int, where: str) -> PixelArray:
  """Brings pixels to a square as :func:`decoded` does; those of that size stay as they are.

  Args:
    pixels: uint8 `[K, H, W, 3]`.
    size: wanted side in pixels.
    where: what the images are called in errors.

  Returns:
    uint8 `[K, size, size, 3]`.

  Raises:
    DataError: if Pillow is needed and not installed.
  """
  if pixels.shape[1:3] == (size, size):
    return pixels
  image_module = _pillow(where)
  return np.stack([_to_square(image_module, image_module.fromarray(image), size) for image in pixels])


def _to_square(image_module: Any, picture: Any, size: int) -> PixelArray:
  if picture.size != (size, size):
    picture = picture.resize((size, size), image_module.Resampling.LANCZOS)
  return np.asarray(picture, np.uint8)


def _pillow(where: str) -> Any:
  # Imported here: covers and images of the right size need no image library.
  try:
    from PIL import Image
  except ImportError:
    raise DataError(f"{where}: cannot be read without the package pillow") from None
  return Image
