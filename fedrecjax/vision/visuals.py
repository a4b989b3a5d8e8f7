"""What a simulation knows of its items' images, and what a server that keeps other images makes of them."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from fedrecjax.datasets.image_set import ItemImages
from fedrecjax.types import ImageDefenseView
from fedrecjax.vision.diffusion import Denoiser
from fedrecjax.vision.extractors.interface import Apply, FeatureExtractor, features_of
from fedrecjax.vision.image_detection import similarity
from fedrecjax.vision.perturbation import BRIGHTEST

BATCH = 32


class KeptImages(NamedTuple):
  """What a server has of the images before training.

  Attributes:
    pixels: the images that it keeps, uint8 `[M, H, W, 3]`.
    features: theirs, float32 `[M, F]`, zero where an item has no image.
    similarity: of the features before and after the server's defence, for each image, float32 `[K]`; 1 without one.
  """

  pixels: np.ndarray
  features: np.ndarray
  similarity: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Visuals:
  """The images of a data set's items, the network that sees them, and a diffusion model of such images.

  Attributes:
    images: one per item; items may lack theirs.
    extractor: frozen, from images to features.
    denoiser: a diffusion model as :func:`fedrecjax.vision.denoiser_of` makes it, an argument of compiled programs with
      its parameters; needed by defences that purify.
  """

  images: ItemImages
  extractor: FeatureExtractor
  denoiser: Denoiser | None = None
  _kept: dict[Any, KeptImages] = dataclasses.field(default_factory=dict, init=False, repr=False)

  @functools.cached_property
  def features(self) -> np.ndarray:
    """Features of the images as they are, float32 `[M, F]`."""
    return np.asarray(features_of(self.extractor, self.images))

  def kept(self, transform: Any | None) -> KeptImages:
    """What a server keeps of the images before training; the same for all runs with the same defence.

    Args:
      transform: `Defense.images`, a pytree whose leaves are its numbers; None keeps images as they are. Its noise has a
        key of its own, so that runs of several seeds start from the same images.

    Raises:
      ValueError: if an image comes back with a pixel value outside 0..255.
    """
    if transform is None:
      return KeptImages(self.images.pixels, self.features, np.ones(self.images.num_images, np.float32))
    leaves, structure = jax.tree.flatten(transform)
    key = (structure, tuple(np.asarray(leaf).tobytes() for leaf in leaves))
    if key not in self._kept:
      self._kept[key] = _transformed(self, transform)
    return self._kept[key]


@functools.partial(jax.jit, static_argnums=0)
def _transform_batch(
  apply: Apply, parameters: Any, denoiser: Any, transform: Callable[..., jax.Array], pixels: jax.Array, items: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """Images that are kept, their features, and the similarity of these to the ones before."""
  images = pixels.astype(jnp.float32)
  view = ImageDefenseView(lambda images: apply(parameters, images), denoiser)
  kept = transform(images, items, view, jax.random.key(0))
  after = view.extract(kept)
  return kept, after, similarity(view.extract(images), after)


def _transformed(visuals: Visuals, transform: Any) -> KeptImages:
  items = visuals.images.items
  pixels = visuals.images.pixels.copy()
  features = np.zeros((len(pixels), visuals.extractor.num_features), np.float32)
  alike = np.zeros(len(items), np.float32)
  for first in range(0, len(items), BATCH):
    taken = items[first : first + BATCH]
    # The last batch is filled up by repetition, so that it runs the same program.
    filled = np.resize(taken, BATCH)
    kept, after, found = _transform_batch(
      visuals.extractor.apply, visuals.extractor.parameters, visuals.denoiser, transform,
      visuals.images.pixels[filled], filled.astype(np.int32),
    )
    found_pixels = np.asarray(kept)
    if not ((found_pixels >= 0) & (found_pixels <= BRIGHTEST)).all():
      raise ValueError(f"the defense of images makes pixel values of {visuals.images.name} outside 0..255")
    pixels[taken] = np.round(found_pixels)[: len(taken)].astype(np.uint8)
    features[taken] = np.asarray(after)[: len(taken)]
    alike[first : first + len(taken)] = np.asarray(found)[: len(taken)]
  return KeptImages(pixels, features, alike)
