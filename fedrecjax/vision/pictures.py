"""A picture of images before and after: original, adversarial, purified, and what was changed, side by side."""

from __future__ import annotations

import io
import math
import os
import pathlib
from collections.abc import Mapping, Sequence
from types import ModuleType

import numpy as np
import numpy.typing as npt

GAP = 4
CAPTION_HEIGHT = 14
UNCHANGED = 128
INK = (0, 0, 0)
PAPER = 255


def _pillow() -> tuple[ModuleType, ModuleType, ModuleType]:
  # Imported here: the package works without an image library as long as no picture is drawn.
  try:
    from PIL import Image, ImageDraw, ImageFont
  except ImportError:
    raise ImportError("pictures cannot be drawn without the package pillow") from None
  return Image, ImageDraw, ImageFont


def difference(before: npt.ArrayLike, after: npt.ArrayLike, *, amplification: float) -> np.ndarray:
  """A visible picture of a small change.

  Args:
    before: uint8 `[..., H, W, 3]`.
    after: of the same shape.
    amplification: how many times larger changes are shown than they are, positive.

  Returns:
    128 + amplification * (after - before), rounded to even and held within 0..255, uint8 `[..., H, W, 3]`: mid-grey
    where nothing changed.

  Raises:
    ValueError: if the images differ in shape or are not uint8, or `amplification` is not positive.

  >>> difference(np.full((1, 1, 3), 10, np.uint8), np.full((1, 1, 3), 12, np.uint8), amplification=10)[0, 0, 0].item()
  148
  """
  first, second = np.asarray(before), np.asarray(after)
  if first.dtype != np.uint8 or second.dtype != np.uint8 or first.shape != second.shape:
    raise ValueError(
      f"before and after must be uint8 and of one shape, got {first.dtype} {list(first.shape)} and"
      f" {second.dtype} {list(second.shape)}"
    )
  if not amplification > 0:
    raise ValueError(f"amplification must be positive, got {amplification}")
  shown = UNCHANGED + amplification * (second.astype(np.float64) - first)
  return np.clip(np.round(shown), 0, 255).astype(np.uint8)


def comparison(
  original: npt.ArrayLike,
  adversarial: npt.ArrayLike,
  purified: Mapping[str, npt.ArrayLike],
  *,
  amplification: float = 16.0,
  zoom: int = 1,
  rows: Sequence[str] | None = None,
) -> np.ndarray:
  """One row per image: original, adversarial, each purified variant, and the amplified perturbation.

  Args:
    original: uint8 `[N, H, W, 3]`.
    adversarial: uint8 `[N, H, W, 3]`.
    purified: uint8 `[N, H, W, 3]` by the variant's name, such as "GDMPD"; in this order.
    amplification: of adversarial - original in the last column, see :func:`difference`.
    zoom: each pixel is drawn as a square of so many.
    rows: names of the rows, such as "eps 4", written at their left; None leaves them out.

  Returns:
    The picture, uint8 `[height, width, 3]`, with the columns' names above.

  Raises:
    ValueError: if images differ in shape or are not uint8, there is none, or a number is out of its range.
    ImportError: if Pillow is not installed.

  References:
    In the manner of Figure 6 of Yuan et al., "Manipulating Visually-aware Federated Recommender Systems and Its
    Countermeasures", 2023.
  """
  columns = {"original": np.asarray(original), "adversarial": np.asarray(adversarial)}
  for name, images in purified.items():
    if name in columns:
      raise ValueError(f"a purified variant cannot be named {name!r}, which is another column")
    columns[name] = np.asarray(images)
  shape = columns["original"].shape
  if len(shape) != 4 or shape[-1] != 3 or 0 in shape:
    raise ValueError(f"original must be [N, H, W, 3] with at least one image, got {list(shape)}")
  for name, images in columns.items():
    if images.dtype != np.uint8 or images.shape != shape:
      raise ValueError(f"{name} must be uint8 {list(shape)}, got {images.dtype} {list(images.shape)}")
  if zoom < 1:
    raise ValueError(f"zoom must be at least 1, got {zoom}")
  if rows is not None and len(rows) != shape[0]:
    raise ValueError(f"rows must name {shape[0]} images, got {len(rows)}")
  title = f"difference x{amplification:g}"
  columns[title] = difference(columns["original"], columns["adversarial"], amplification=amplification)

  image_module, draw_module, font_module = _pillow()
  font = font_module.load_default()

  def room(text: str) -> int:
    return math.ceil(font.getlength(text))

  height, width = shape[1] * zoom, shape[2] * zoom
  pitch = GAP + max(height, CAPTION_HEIGHT)
  lefts, right = [], GAP if rows is None else 2 * GAP + max(room(name) for name in rows)
  for name in columns:
    lefts.append(right)
    right += GAP + max(width, room(name))
  canvas = np.full((CAPTION_HEIGHT + shape[0] * pitch, right, 3), PAPER, np.uint8)

  def write(text: str, top: int, left: int) -> None:
    label = image_module.new("RGB", (room(text), CAPTION_HEIGHT), (PAPER,) * 3)
    draw_module.Draw(label).text((0, 0), text, fill=INK, font=font)
    canvas[top : top + CAPTION_HEIGHT, left : left + room(text)] = np.asarray(label)

  for left, (name, images) in zip(lefts, columns.items(), strict=True):
    write(name, 0, left)
    for row, image in enumerate(images):
      top = CAPTION_HEIGHT + row * pitch
      canvas[top : top + height, left : left + width] = image.repeat(zoom, axis=0).repeat(zoom, axis=1)
  for row, name in enumerate(rows or ()):
    write(name, CAPTION_HEIGHT + row * pitch, GAP)
  return canvas


def png(picture: npt.ArrayLike) -> bytes:
  """A picture as a PNG file's bytes; the same picture gives the same bytes with one version of Pillow.

  Args:
    picture: uint8 `[height, width, 3]`.

  Raises:
    ValueError: if it has another type or shape.
    ImportError: if Pillow is not installed.
  """
  pixels = np.asarray(picture)
  if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[-1] != 3:
    raise ValueError(f"picture must be uint8 [height, width, 3], got {pixels.dtype} {list(pixels.shape)}")
  image_module, *_ = _pillow()
  buffer = io.BytesIO()
  image_module.fromarray(pixels).save(buffer, format="PNG")
  return buffer.getvalue()


def write_png(picture: npt.ArrayLike, path: str | os.PathLike[str]) -> None:
  """Writes a picture to a PNG file.

  Args:
    picture: uint8 `[height, width, 3]`.
    path: replaced if it exists.

  Raises:
    ValueError: if `picture` has another type or shape.
    OSError: if the file cannot be written.
  """
  pathlib.Path(path).write_bytes(png(picture))
