"""Covers drawn by a program: images that show, through noise, what an item is like."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fedrecjax.datasets.errors import DataError
from fedrecjax.datasets.image_set import ItemImages, PixelArray

FloatArray = npt.NDArray[np.floating]

_CHUNK = 128
_COLORS = 9
_TRAITS = _COLORS + 10


def covers(tastes: FloatArray, *, size: int = 64, seed: int = 0, individual: float = 0.3) -> ItemImages:
  """Draws one cover per item: stripes and two discs on a ground, whose look follows the item's tastes.

  A random linear map takes the tastes to traits: three colors, angle, spacing and width of the stripes, place and
  radius of the discs. Traits change smoothly with tastes, hence so do covers; where the stripes begin is each item's
  own. Edges are blended over one pixel.

  Args:
    tastes: latent vectors of items `[M, k]`; their mean and common scale do not matter. They must come from no
      held-out interaction.
    size: side in pixels.
    seed: of the map and of what is the items' own. Item i's cover depends on seed, i and tastes alone.
    individual: share of a trait's standard deviation that is the item's own, in [0, 1].

  Returns:
    Images of all M items; `[M, size, size, 3]`.

  Raises:
    DataError: if tastes are not finite numbers `[M, k]`, or a number is out of range.
  """
  tastes = np.asarray(tastes, np.float64)
  if tastes.ndim != 2 or 0 in tastes.shape or not np.isfinite(tastes).all():
    raise DataError(f"covers: tastes of shape {list(tastes.shape)}, expected finite numbers [M, k]")
  if size < 1 or seed < 0 or not 0 <= individual <= 1:
    raise DataError(
      f"covers: size {size}, seed {seed}, individual {individual}, expected at least 1, at least 0, and 0 to 1"
    )
  random = np.random.default_rng(seed)
  projection = random.standard_normal((tastes.shape[1], _TRAITS))
  projection /= np.linalg.norm(projection, axis=0)
  own = random.standard_normal((len(tastes), _TRAITS + 1))
  centered = tastes - tastes.mean(axis=0)
  # Alike tastes have no scale; their covers differ by what is each item's own.
  scale = np.sqrt(np.mean(centered**2)) or 1.0
  traits = np.sqrt(1 - individual**2) * (centered / scale) @ projection + individual * own[:, :_TRAITS]
  shares = 0.5 + 0.5 * np.tanh(0.8 * traits)
  pixels = np.concatenate([
    _drawn(shares[first : first + _CHUNK], own[first : first + _CHUNK, _TRAITS], size)
    for first in range(0, len(tastes), _CHUNK)
  ])
  return ItemImages(pixels, np.ones(len(tastes), np.bool_), "covers", f"covers drawn from tastes, seed {seed}")


def _drawn(shares: FloatArray, beginning: FloatArray, size: int) -> PixelArray:
  """Covers of a few items.

  Args:
    shares: traits within (0, 1), `[B, traits]`.
    beginning: where the stripes begin, in spacings, `[B]`.
    size: side in pixels.

  Returns:
    uint8 `[B, size, size, 3]`.
  """
  shares = shares.astype(np.float32)
  ground, stripe, disc = (30 + 200 * shares[:, 3 * place : 3 * place + 3] for place in range(3))
  angle, spacing, width, *places = (share[:, None, None] for share in shares[:, _COLORS:].T)
  across = ((np.arange(size, dtype=np.float32) + 0.5) / size)[None, None, :]
  down = across.transpose(0, 2, 1)

  cycles = 2 * 4**spacing
  phase = cycles * (across * np.cos(np.pi * angle) + down * np.sin(np.pi * angle))
  wave = np.sin(2 * np.pi * (phase + beginning.astype(np.float32)[:, None, None]))
  # The wave changes by at most this from one pixel to the next.
  slope = 2 * np.pi * cycles / size
  image = _blend(ground[:, None, None, :], stripe, np.clip(0.5 + (wave + 1.2 * (width - 0.5)) / slope, 0, 1))
  for horizontal, vertical, radius in (places[:3], places[3:6]):
    distance = np.hypot(across - 0.15 - 0.7 * horizontal, down - 0.15 - 0.7 * vertical)
    image = _blend(image, disc, np.clip(0.5 + (0.08 + 0.2 * radius - distance) * size, 0, 1))
  return np.rint(image + 12 * places[6][..., None]).astype(np.uint8)


def _blend(image: FloatArray, color: FloatArray, cover: FloatArray) -> FloatArray:
  """Puts a color `[B, 3]` on images `[B, H, W, 3]` where `cover` `[B, H, W]` is 1."""
  return image + cover[..., None] * (color[:, None, None, :] - image)
