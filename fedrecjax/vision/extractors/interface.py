"""What a frozen feature extractor is, and the features of a whole set of images."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from fedrecjax.datasets.image_set import ItemImages

Apply = Callable[[Any, jax.Array], jax.Array]


@dataclasses.dataclass(frozen=True)
class ModuleApply:
  """A Flax module as the function of an extractor: equal where modules are, so that programs are shared.

  Attributes:
    module: maps images `[B, H, W, 3]` to features; all its variables are in the collection "params".
  """

  module: nn.Module

  def __call__(self, parameters: Any, images: jax.Array) -> jax.Array:
    """Features `[B, F]` of images `[B, H, W, 3]`."""
    return jnp.asarray(self.module.apply({"params": parameters}, images))


@dataclasses.dataclass(frozen=True)
class StandardizedApply:
  """The function of a standardized extractor, see :func:`standardized`.

  Attributes:
    inner: the function of the extractor as it was.
  """

  inner: Apply

  def __call__(self, parameters: Any, images: jax.Array) -> jax.Array:
    """Centered and scaled features `[B, F]` of images `[B, H, W, 3]`."""
    return (self.inner(parameters["inner"], images) - parameters["mean"]) / parameters["scale"]


class FeatureExtractor(NamedTuple):
  """A frozen network from images to features.

  A jitted function takes `parameters` as an argument; `apply` is static, and equal for extractors of the same
  structure, so that new parameters do not recompile.

  Attributes:
    parameters: pytree of arrays.
    apply: `(parameters, images [B, H, W, 3]) -> features [B, F]`; images float32 in 0..255 of any size, which are
      resized and normalised inside. Differentiable with respect to the images, and jittable.
    num_features: number of features F.
    name: for messages and results.
  """

  parameters: Any
  apply: Apply
  num_features: int
  name: str


def features_of(extractor: FeatureExtractor, images: ItemImages, *, batch: int = 64) -> jax.Array:
  """Features of all items.

  Args:
    extractor: the extractor.
    images: images of M items.
    batch: images that pass the network at once; memory grows with it.

  Returns:
    float32 `[M, F]`, zero where an item has no image.

  Raises:
    ValueError: if `batch` is not positive, or a feature is not finite.
  """
  if batch < 1:
    raise ValueError(f"features_of: batch must be positive, got {batch}")
  items = images.items
  features = np.zeros((images.num_items, extractor.num_features), np.float32)
  for first in range(0, len(items), batch):
    taken = items[first : first + batch]
    # The last batch is filled up with copies: one shape, one program.
    filled = np.resize(taken, batch)
    found = _batch_features(extractor.apply, extractor.parameters, images.pixels[filled])
    features[taken] = np.asarray(found)[: len(taken)]
  finite = np.isfinite(features).all(axis=1)
  if not finite.all():
    raise ValueError(f"{extractor.name}: features of item {np.argmin(finite)} of {images.name} are not finite")
  return jnp.asarray(features)


def standardized(extractor: FeatureExtractor, images: ItemImages, *, batch: int = 64) -> FeatureExtractor:
  """Centers and scales an extractor's features by those of a clean set of images, once and for all.

  Each feature loses its mean, and all are divided by one number, the root mean square of what is left: directions and
  ratios of distances stay as they are. An item without an image, whose feature is zero, then stands at the mean.

  Args:
    extractor: the extractor.
    images: clean images.
    batch: images that pass the network at once.

  Returns:
    An extractor whose parameters are `inner`, those of the one given, `mean` `[F]` and `scale`, a scalar.

  Raises:
    ValueError: if all images have the same features.
  """
  features = np.asarray(features_of(extractor, images, batch=batch), np.float64)[images.has_image]
  mean = features.mean(axis=0)
  scale = np.sqrt(np.mean((features - mean) ** 2))
  if not scale > 0:
    raise ValueError(f"{extractor.name}: all images of {images.name} have the same features, which have no scale")
  parameters = {
    "inner": extractor.parameters,
    "mean": jnp.asarray(mean, jnp.float32),
    "scale": jnp.asarray(scale, jnp.float32),
  }
  return extractor._replace(parameters=parameters, apply=StandardizedApply(extractor.apply))


@functools.partial(jax.jit, static_argnums=0)
def _batch_features(apply: Apply, parameters: Any, pixels: jax.Array) -> jax.Array:
  return apply(parameters, pixels.astype(jnp.float32))
