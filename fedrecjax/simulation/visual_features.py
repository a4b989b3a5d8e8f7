"""Which runs need images, and what a model is told of them."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fedrecjax.config import ConfigError
from fedrecjax.datasets import Dataset
from fedrecjax.methods.hyperparameters import constructor_name, hyperparameter, remade
from fedrecjax.types import Attack, Defense, Model
from fedrecjax.vision.visuals import Visuals


def check_images(dataset: Dataset, model: Model, attack: Attack, defense: Defense, visuals: Visuals | None) -> None:
  """Checks that a model that sees images has some, and attack and defence of images what they work on.

  Raises:
    ConfigError: if they do not, or the images are of another number of items.
  """
  if visuals is not None and visuals.images.num_items != dataset.num_items:
    raise ConfigError(f"images.source: {visuals.images.name} has images of {visuals.images.num_items} items,"
                      f" {dataset.name} has {dataset.num_items}")
  if visuals is not None and dataset.features is not None:
    raise ConfigError(f"visual features of {dataset.name} are given twice, with the data set and with images")
  for kind, method in (("attack", attack), ("defense", defense)):
    if method.images is None:
      continue
    if visuals is None:
      raise ConfigError(f"the {kind} changes images, of which {dataset.name} has none; set images.source")
    if model.project is None:
      raise ConfigError(f"the {kind} changes images, which the model does not see; lightvgcn and vncf do")
  if model.project is not None and visuals is None and dataset.features is None:
    raise ConfigError(f"model {constructor_name(model)} sees images, and {dataset.name} has no visual features of its"
                      " items; set images.source")
  if "denoiser" in defense.requires and (visuals is None or visuals.denoiser is None):
    raise ConfigError("the defense needs a diffusion model of images, and there is none; set images.source and"
                      " images.diffusion, or give the visuals a denoiser")


def check_targets(dataset: Dataset, targets: np.ndarray, has_image: np.ndarray | None) -> None:
  """Raises ConfigError unless all targets `[T]` of a data set have an image."""
  assert has_image is not None
  bare = targets[~has_image[targets]]
  if len(bare):
    raise ConfigError(f"attacker.target_items: item {dataset.item_name(bare[0])} has no image, which the attack would"
                      " change")


def model_with_features(
  model: Model, dataset: Dataset, visuals: Visuals | None, transform: Any | None
) -> tuple[Model, jax.Array | None]:
  """The model for as many visual features as there are, and those that the server has before training.

  Args:
    model: base recommender; those without images see none.
    dataset: may have features.
    visuals: images instead of those.
    transform: what the server does to images, a pytree, or None.

  Raises:
    ConfigError: if the model was made for another number of features, or images or features come out impossible.
  """
  if model.project is None:
    return model, None
  name = constructor_name(model)
  try:
    features = dataset.features if visuals is None else visuals.kept(transform).features
  except ValueError as error:
    raise ConfigError(f"images of {dataset.name}: {error}") from error
  assert features is not None, "check_images comes first"
  width = features.shape[1]
  declared = hyperparameter(model, "num_features")
  if declared not in (0, width):
    raise ConfigError(f"{name}.num_features must be 0 or the {width} of the images' features, got {declared}")
  return remade(model, num_features=width), jnp.asarray(features, jnp.float32)
