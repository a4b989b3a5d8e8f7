"""Bounded changes of the targets' own images, as every attack by images makes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from fedrecjax.methods.hyperparameters import check
from fedrecjax.types import ImageView
from fedrecjax.vision.perturbation import perturb
from fedrecjax.vision.purification import straight_through

# Targets whose images are changed at a time: what the gradient keeps of each in a large network is 100 MB and more.
_TARGETS = 8


class PixelSettings(NamedTuple):
  """How far and how pixels are changed.

  Attributes:
    bound: largest change of a pixel value, in units of 0..255.
    steps: steps along the signs of the gradient, static.
    step_share: size of a step as a share of the bound.
    restart: whether each epoch starts from the clean image; else from the last one uploaded.
    rounded: whether uploads are whole numbers.
    adaptive: whether what the server makes of images is applied within the loss, its derivative taken as 1.
  """

  bound: jax.Array | float
  steps: int
  step_share: jax.Array | float
  restart: bool
  rounded: bool
  adaptive: bool


def check_pixels(owner: str, settings: PixelSettings) -> None:
  """Raises ValueError, naming the attack's field, if a number is out of its range."""
  for name in ("bound", "step_share"):
    number = getattr(settings, name)
    check(number >= 0, f"{owner}.{name} must not be negative, got {number}")
  check(settings.steps >= 0, f"{owner}.steps must not be negative, got {settings.steps}")


def changed_images(
  settings: PixelSettings, view: ImageView, loss: Callable[[jax.Array, jax.Array], jax.Array], key: jax.Array
) -> jax.Array:
  """The targets' images after changes that lower a loss of each one's features.

  Args:
    settings: bound and solver.
    view: of the provider.
    loss: `(place of the target, its features [F]) -> scalar`.
    key: of the noise that an adaptive provider purifies with.

  Returns:
    float32 `[T, H, W, 3]` on 0..255.
  """
  purify = view.purify if settings.adaptive else None
  through = None if purify is None else straight_through(lambda images: purify(images, key))

  def of_target(place: jax.Array, clean: jax.Array, current: jax.Array) -> jax.Array:
    def of_pixels(pixels: jax.Array) -> jax.Array:
      images = pixels[None] if through is None else through(pixels[None])
      return loss(place, view.extract(images)[0])

    return perturb(
      of_pixels, clean, bound=settings.bound, steps=settings.steps, step_size=settings.bound * settings.step_share,
      start=None if settings.restart else current - clean, rounded=settings.rounded,
    ).image

  targets = (jnp.arange(view.targets.shape[0]), view.clean, view.current)
  if view.targets.shape[0] <= _TARGETS:
    return jax.vmap(of_target)(*targets)
  return lax.map(lambda one: of_target(*one), targets, batch_size=_TARGETS)
