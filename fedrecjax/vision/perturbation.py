"""A bounded change of an image's pixels that lowers a loss: projected gradient descent, unbatched."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from fedrecjax.methods.hyperparameters import check

PixelLoss = Callable[[Array], Array]
"""`image [H, W, 3]` on 0..255, float32 -> a scalar to minimise."""

BRIGHTEST = 255.0


class Perturbed(NamedTuple):
  """A changed image.

  Attributes:
    image: `[H, W, 3]` on 0..255, float32; whole numbers if it was rounded.
    delta: the change that was made, image - clean image, `[H, W, 3]`.
    loss: of `image`, a scalar.
  """

  image: Array
  delta: Array
  loss: Array


def perturb(
  loss: PixelLoss,
  image: Array,
  key: Array | None = None,
  *,
  bound: Array | float = 4.0,
  steps: int = 20,
  step_size: Array | float | None = None,
  start: Array | None = None,
  random_start: bool = False,
  rounded: bool = True,
  keep: Literal["best", "last"] = "best",
) -> Perturbed:
  """Changes an image within a bound so that a loss falls, by signs of its gradient.

  Each step moves every pixel value by `step_size` against the sign of its derivative and projects onto the bound and
  onto 0..255; a value without derivative stays. With `rounded`, the loss and its gradient are taken at the rounded
  image, so that the kept image is the best of those that can be uploaded; the steps themselves add up unrounded.

  Args:
    loss: of the pixels, differentiable.
    image: the clean image `[H, W, 3]` on 0..255; of an integer type if the result is to be rounded.
    key: needed for a random start only.
    bound: largest change of a pixel value, in units of 0..255. Traced, as `step_size` is.
    steps: number of steps.
    step_size: in units of 0..255; `bound` / 4 if None.
    start: change to start from `[H, W, 3]`, such as the last one's `delta`; projected first. None is the clean image.
    random_start: whether the change to start from is drawn uniformly within the bound instead.
    rounded: whether pixel values are whole numbers, rounded to the nearest that the bound allows.
    keep: "best" is the image of least loss among the first and those after each step, the earliest of equals; "last"
      the one after the last step.

  Returns:
    The changed image.

  Raises:
    ValueError: if a number is out of its range, a rounded result is asked for an image of a floating type, or a random
      start without a key or together with `start`.

  References:
    Yuan et al., "Manipulating Visually-aware Federated Recommender Systems and Its Countermeasures", 2023, Eq. 17,
    which states neither norm nor solver; the solver is that of Madry et al., "Towards Deep Learning Models Resistant to
    Adversarial Attacks", 2018.
  """
  check(bound >= 0, f"bound must not be negative, got {bound}")
  check(steps >= 0, f"steps must not be negative, got {steps}")
  if step_size is None:
    step_size = bound / 4
  check(step_size >= 0, f"step_size must not be negative, got {step_size}")
  if keep not in ("best", "last"):
    raise ValueError(f'keep must be "best" or "last", got {keep!r}')
  if rounded and not jnp.issubdtype(image.dtype, jnp.integer):
    raise ValueError(f"image must be of an integer type for a rounded result, got {image.dtype}")
  if random_start and (key is None or start is not None):
    raise ValueError("random_start needs a key and no start")

  clean = image.astype(jnp.float32)
  lowest = jnp.maximum(clean - bound, 0.0)
  highest = jnp.minimum(clean + bound, BRIGHTEST)
  if rounded:
    lowest, highest = jnp.ceil(lowest), jnp.floor(highest)

  def uploaded(pixels: Array) -> Array:
    return jnp.clip(jnp.round(pixels), lowest, highest) if rounded else pixels

  if random_start:
    assert key is not None
    delta = jax.random.uniform(key, clean.shape, jnp.float32, minval=-bound, maxval=bound)
  else:
    delta = jnp.zeros_like(clean) if start is None else jnp.asarray(start, jnp.float32)
  first = jnp.clip(clean + delta, lowest, highest)
  slope = jax.value_and_grad(loss)

  def step(index: Array, carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
    pixels, kept, least = carry
    candidate = uploaded(pixels)
    value, gradient = slope(candidate)
    better = (index == 0) | (value < least) if keep == "best" else jnp.array(True)
    kept, least = jnp.where(better, candidate, kept), jnp.where(better, value, least)
    return jnp.clip(pixels - step_size * jnp.sign(gradient), lowest, highest), kept, least

  # One turn more than steps, which judges the last image; its own step is not used.
  unjudged = jnp.full((), jnp.inf, jnp.float32)
  _, kept, least = jax.lax.fori_loop(0, steps + 1, step, (first, first, unjudged))
  return Perturbed(kept, kept - clean, least)
