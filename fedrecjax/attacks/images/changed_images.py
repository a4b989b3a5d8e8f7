"""Bounded changes of the targets' own images, as every attack by images makes them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from fedrecjax.methods.hyperparameters import check
from fedrecjax.types import ImageView
from fedrecjax.vision.perturbation import perturb
from fedrecjax.vision.purification import straight_through

# Targets whose images are changed at a time: what the gradient keeps of each in a large network is 100 MB and more.
_TARGETS = 8


@dataclasses.dataclass(frozen=True, kw_only=True)
class PixelOptions:
  """How far and how pixels are changed: hyperparameters of every attack by images.

  Attributes:
    bound: largest change of a pixel value, epsilon, in units of 0..255 (Eq. 9); the paper states no norm.
    steps: steps along the signs of the gradient; the paper states no solver.
    step_share: size of a step as a share of the bound.
    restart: whether each epoch starts from the clean picture; else from the last one uploaded.
    rounded: whether pixel values are whole numbers.
    adaptive: whether the provider knows the server's defense of images and takes its derivative for 1.
  """

  bound: float = 4.0
  steps: int = 20
  step_share: float = 0.25
  restart: bool = True
  rounded: bool = True
  adaptive: bool = False

  @property
  def requires(self) -> frozenset[str]:
    """What a provider has to be granted for these changes, as in `Attack.requires`."""
    return frozenset({"image_defense"} if self.adaptive else ())


def check_pixels(owner: str, options: PixelOptions) -> None:
  """Raises ValueError, naming the attack's field, if a number is out of its range."""
  for name in ("bound", "step_share"):
    number = getattr(options, name)
    check(number >= 0, f"{owner}.{name} must not be negative, got {number}")
  check(options.steps >= 0, f"{owner}.steps must not be negative, got {options.steps}")


def changed_images(
  options: PixelOptions, view: ImageView, loss: Callable[[jax.Array, jax.Array], jax.Array], key: jax.Array
) -> jax.Array:
  """The targets' images after changes that lower a loss of each one's features.

  Args:
    options: bound and solver.
    view: of the provider.
    loss: `(place of the target, its features [F]) -> scalar`.
    key: of the noise that an adaptive provider purifies with.

  Returns:
    float32 `[T, H, W, 3]` on 0..255.
  """
  purify = view.purify if options.adaptive else None
  through = None if purify is None else straight_through(lambda images: purify(images, key))

  def of_target(place: jax.Array, clean: jax.Array, current: jax.Array) -> jax.Array:
    def of_pixels(pixels: jax.Array) -> jax.Array:
      images = pixels[None] if through is None else through(pixels[None])
      return loss(place, view.extract(images)[0])

    return perturb(
      of_pixels, clean, bound=options.bound, steps=options.steps, step_size=options.bound * options.step_share,
      start=None if options.restart else current - clean, rounded=options.rounded,
    ).image

  targets = (jnp.arange(view.targets.shape[0], dtype=jnp.int32), view.clean, view.current)
  if view.targets.shape[0] <= _TARGETS:
    return jax.vmap(of_target)(*targets)
  return lax.map(lambda one: of_target(*one), targets, batch_size=_TARGETS)
