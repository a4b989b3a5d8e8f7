"""The images of a data set's items, as arrays."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from fedrecjax.datasets.errors import DataError

PixelArray = npt.NDArray[np.uint8]
BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.integer]


@dataclasses.dataclass(frozen=True, eq=False)
class ItemImages:
  """One image per item, of one size; items may lack theirs.

  An item without an image has zero pixels, is to get a zero feature and is no target of image attacks.

  Attributes:
    pixels: red, green, blue in 0..255, uint8 `[M, H, W, 3]`; zero where an item has no image.
    has_image: whether the item has one, bool `[M]`.
    name: name of the image set, for messages and results.
    origin: where the images are from and how they were given to items, in words.

  Raises:
    DataError: on other shapes or types, on an empty set, if no item has an image, or if an item without one has pixels.
  """

  pixels: PixelArray
  has_image: BoolArray
  name: str
  origin: str = ""

  def __post_init__(self) -> None:
    pixels = self.pixels
    if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[3] != 3 or 0 in pixels.shape:
      raise DataError(f"{self.name}: pixels are {described(pixels)}, expected uint8 [M, H, W, 3]")
    if self.has_image.dtype != np.bool_ or self.has_image.shape != pixels.shape[:1]:
      raise DataError(f"{self.name}: has_image is {described(self.has_image)}, expected bool [{len(pixels)}]")
    if not self.has_image.any():
      raise DataError(f"{self.name}: none of {len(pixels)} items has an image, expected at least one")
    drawn = pixels[~self.has_image].any(axis=(1, 2, 3))
    if drawn.any():
      item = int(np.flatnonzero(~self.has_image)[np.argmax(drawn)])
      raise DataError(f"{self.name}: item {item} has no image but pixels, expected zeros")

  @property
  def num_items(self) -> int:
    """Number of items M."""
    return len(self.pixels)

  @property
  def num_images(self) -> int:
    """Number of items that have an image."""
    return int(self.has_image.sum())

  @property
  def items(self) -> IntArray:
    """The items that have an image, ascending, int64 `[num_images]`."""
    return np.flatnonzero(self.has_image)


def placed(pixels: PixelArray, items: IntArray, *, num_items: int, name: str, origin: str) -> ItemImages:
  """Gives images to items.

  Args:
    pixels: uint8 `[K, H, W, 3]`.
    items: the item of each image, different ones in [0, num_items), `[K]`.
    num_items: number of items M.
    name: name of the image set.
    origin: where the images are from, in words.

  Returns:
    The images of M items.

  Raises:
    DataError: if an item is out of range or occurs twice.
  """
  bad = (items < 0) | (items >= num_items)
  if bad.any():
    place = int(np.argmax(bad))
    raise DataError(f"{name}: image {place} is of item {items[place]}, outside [0, {num_items})")
  counts = np.bincount(items, minlength=num_items)
  if counts.max(initial=0) > 1:
    raise DataError(f"{name}: item {np.argmax(counts)} has {counts.max()} images, expected one")
  all_pixels = np.zeros((num_items, *pixels.shape[1:]), np.uint8)
  all_pixels[items] = pixels
  return ItemImages(all_pixels, counts > 0, name, origin)


def described(array: np.ndarray) -> str:
  """Type and shape of an array, for errors.

  >>> described(np.zeros((2, 3)))
  'float64 [2, 3]'
  """
  return f"{array.dtype} {list(array.shape)}"
