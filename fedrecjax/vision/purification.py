"""Purification of images by diffusion: noise drowns a perturbation, and going back, guided by the image, removes both.

Images are on 0..255, outside as inside the project's attacks; they are mapped to the [-1, 1] of diffusion here.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from jax import Array
from jax.tree_util import Partial

from fedrecjax.methods.hyperparameters import check
from fedrecjax.vision.diffusion import Denoiser, Schedule, from_pixels, noised, posterior, step_noise

Guidance = Literal["none", "constant", "gdmp"]
Reduction = Literal["mean", "sum"]
Reference = Literal["fresh", "shared", "clean"]

PUBLISHED_START = 178
"""GDMP's 45 of 250 steps on ImageNet, the last of which is index 177."""
PUBLISHED_WEIGHT = 1000.0
HALF_RANGE = 127.5


class Purified(NamedTuple):
  """Purified images.

  Attributes:
    images: `[B, H, W, 3]` on 0..255; float32, or uint8 from :func:`purify_all`.
    capped: steps of each image in which the pull of some pixel reached `max_pull` and was held there, int32 `[B]`.
  """

  images: Array | np.ndarray
  capped: Array | np.ndarray


def steps_back(schedule: Schedule, start: int | Array) -> Array:
  """How many steps of a schedule lie within the first `start` steps of the one that the network was trained with.

  Args:
    schedule: S steps, respaced or not.
    start: number of steps of the original schedule.

  Returns:
    int32 scalar, 0..S: going back starts at the last step of `schedule` that is not above `start`.
  """
  return jnp.sum(jnp.asarray(schedule.timestep) < start, dtype=jnp.int32)


def guidance_scale(
  schedule: Schedule,
  *,
  guidance: Guidance = "gdmp",
  weight: float | Array = PUBLISHED_WEIGHT,
  assumed_bound: float | Array = 4.0,
) -> Array:
  """The factor of guidance in each step, s_t.

  Args:
    schedule: S steps; a respaced one counts by its own noise.
    guidance: "constant" is `weight` in every step, as printed; "gdmp" grows with the noise; "none" is 0.
    weight: lambda, which is 1000 in the paper and in the published settings of GDMP.
    assumed_bound: size of the perturbation that "gdmp" is tuned to, in units of 0..255; the scale is inverse to it.

  Returns:
    float32 `[S]`: for "gdmp" sqrt(1 - abar_t) / (m sqrt(abar_t)) with m = (2 assumed_bound / 255) / (3 weight).

  References:
    Yuan et al., 2023, Eq. 26, "constant"; Wang et al., "Guided Diffusion Model for Adversarial Purification", 2022, and
    its published code, "gdmp".
  """
  kept, variance = jnp.asarray(schedule.alphas_cumprod), jnp.asarray(schedule.noise_variance)
  if guidance == "gdmp":
    return jnp.sqrt(variance / kept) * (3 * weight * 255 / (2 * assumed_bound))
  return jnp.full_like(kept, weight if guidance == "constant" else 0.0)


def pull_limits(
  schedule: Schedule,
  num_values: int,
  *,
  guidance: Guidance = "gdmp",
  guidance_weight: float = PUBLISHED_WEIGHT,
  reduction: Reduction = "mean",
  assumed_bound: float = 4.0,
) -> Array:
  """The largest pull that guidance can have in each step: the share of the distance to its reference that it undoes.

  Guidance is stable while pulls are below 2, and overshoots above 1.

  Args:
    schedule: S steps.
    num_values: numbers in an image, H * W * 3.
    guidance: see :func:`purify`, as all that follows.
    guidance_weight: factor.
    reduction: of the squared error.
    assumed_bound: in units of 0..255.

  Returns:
    float32 `[S]`, for the largest variance that the network can predict, the step's own beta.
  """
  scale = guidance_scale(schedule, guidance=guidance, weight=guidance_weight, assumed_bound=assumed_bound)
  return 2 * scale * jnp.asarray(schedule.betas) / (num_values if reduction == "mean" else 1)


def _check_numbers(
  start: int | Array, guidance_weight: float | Array, assumed_bound: float | Array, max_pull: float | Array
) -> None:
  check(start >= 0, f"start must not be negative, got {start}")
  check(guidance_weight >= 0, f"guidance_weight must not be negative, got {guidance_weight}")
  check(assumed_bound > 0, f"assumed_bound must be positive, got {assumed_bound}")
  check(max_pull > 0, f"max_pull must be positive, got {max_pull}")


def purify(
  denoiser: Denoiser,
  schedule: Schedule,
  images: Array,
  key: Array,
  *,
  ids: Array | None = None,
  start: int | Array = PUBLISHED_START,
  guidance: Guidance = "gdmp",
  guidance_weight: float | Array = PUBLISHED_WEIGHT,
  reduction: Reduction = "mean",
  reference: Reference = "fresh",
  assumed_bound: float | Array = 4.0,
  max_pull: float | Array = 1.0,
  literal_sign: bool = False,
  rounded: bool = True,
) -> Purified:
  """Diffuses images to a noise level and goes back, pulled towards the image's own diffused counterparts.

  In each step the mean of the network's distribution moves towards the reference by variance times the scale of
  :func:`guidance_scale` times the gradient of the squared error between the current image and the reference. The
  error is each image's own, so that neither guidance nor noise depends on the batch an image is in.

  What differs from the print: Eq. 25 grows with the distance, so that Eq. 24 and 26 would push the image away from its
  reference; the sign here is that of GDMP. Algorithm 4 starts at step 1000, where 0.6 % of the image is left; here the
  depth is `start`.

  Args:
    denoiser: the network bound to its parameters.
    schedule: S steps, respaced or not.
    images: `[B, H, W, 3]` on 0..255, of any type, of the network's size.
    key: of all noise; each image's is folded in by its id.
    ids: number of each image, int32 `[B]`; its place in the batch if None.
    start: depth as a number of steps of the original schedule; a respaced one starts at its last step that is not
      above it, see :func:`steps_back`. 0 returns the images as they are (rounded, if `rounded`). Traced, as all numbers
      are.
    guidance: "gdmp", "constant" or "none".
    guidance_weight: lambda.
    reduction: squared errors are averaged over the numbers of an image, "mean", or added up, "sum".
    reference: what an image is compared with in a step: its input noised to the step's level with noise of the step's
      own, "fresh", or with one noise for all steps, "shared"; or the input itself, "clean". Going back starts from
      the reference of the first step, for "clean" from the input noised.
    assumed_bound: see :func:`guidance_scale`.
    max_pull: pulls above it are held there, which is counted; see :func:`pull_limits`. infinity holds nothing.
    literal_sign: whether guidance pushes away from the reference, as printed.
    rounded: whether results are whole numbers.

  Returns:
    Images clipped to 0..255, float32, and how many steps were capped.

  Raises:
    ValueError: if an argument is out of its range.

  References:
    Yuan et al., "Manipulating Visually-aware Federated Recommender Systems and Its Countermeasures", 2023, Eq. 18 to
    26, Algorithm 4; Wang et al., "Guided Diffusion Model for Adversarial Purification", 2022.
  """
  for name, value, choices in (
    ("guidance", guidance, ("none", "constant", "gdmp")),
    ("reduction", reduction, ("mean", "sum")),
    ("reference", reference, ("fresh", "shared", "clean")),
  ):
    if value not in choices:
      raise ValueError(f"{name} must be one of {', '.join(choices)}, got {value!r}")
  if images.ndim != 4 or images.shape[-1] != 3:
    raise ValueError(f"images must be [B, H, W, 3], got {list(images.shape)}")
  _check_numbers(start, guidance_weight, assumed_bound, max_pull)

  batch, *shape = images.shape
  given = images.astype(jnp.float32)
  clean = from_pixels(images)
  numbers = jnp.arange(batch, dtype=jnp.int32) if ids is None else ids
  keys = jax.vmap(lambda number: jax.random.split(jax.random.fold_in(key, number)))(numbers)
  timestep = jnp.asarray(schedule.timestep)
  scale = guidance_scale(schedule, guidance=guidance, weight=guidance_weight, assumed_bound=assumed_bound)
  per_value = 2 * scale / (np.prod(shape) if reduction == "mean" else 1)
  direction = -1.0 if literal_sign else 1.0

  def noise(keys: Array, index: Array | int) -> Array:
    return jax.vmap(lambda one: jax.random.normal(jax.random.fold_in(one, index), shape, jnp.float32))(keys)

  one_noise = None if reference == "fresh" else noise(keys[:, 0], 0)

  def counterpart(index: Array) -> Array:
    """The input, noised by the steps up to `index`."""
    return noised(schedule, clean, index, noise(keys[:, 0], index) if one_noise is None else one_noise)

  def step(done: Array, carry: tuple[Array, Array]) -> tuple[Array, Array]:
    current, capped = carry
    index = steps - 1 - done
    before = posterior(schedule, denoiser(current, jnp.full(batch, timestep[index], timestep.dtype)), current, index)
    mean = before.mean
    if guidance != "none":
      pull = per_value[index] * jnp.exp(before.log_variance)
      target = clean if reference == "clean" else counterpart(index)
      mean = mean - direction * jnp.minimum(pull, max_pull) * (current - target)
      capped = capped + jnp.any(pull > max_pull, axis=(1, 2, 3))
    return step_noise(mean, before.log_variance, index, noise(keys[:, 1], index)), capped

  steps = steps_back(schedule, start)
  diffused = counterpart(jnp.maximum(steps - 1, 0))
  restored, capped = jax.lax.fori_loop(0, steps, step, (diffused, jnp.zeros(batch, jnp.int32)))
  pixels = jnp.clip((restored + 1) * HALF_RANGE, 0.0, 255.0)
  pixels = jnp.where(steps > 0, pixels, given)
  return Purified(jnp.round(pixels) if rounded else pixels, capped)


@functools.partial(jax.jit, static_argnames=("guidance", "reduction", "reference", "literal_sign"))
def _purify_batch(denoiser: Partial, schedule: Schedule, images: Array, key: Array, **options: object) -> Purified:
  found = purify(denoiser, schedule, images, key, **options)  # type: ignore[arg-type]
  return Purified(found.images.astype(jnp.uint8), found.capped)


def purify_all(
  denoiser: Denoiser,
  schedule: Schedule,
  images: npt.ArrayLike,
  has_image: npt.ArrayLike,
  key: Array,
  *,
  batch: int,
  start: int = PUBLISHED_START,
  guidance: Guidance = "gdmp",
  guidance_weight: float = PUBLISHED_WEIGHT,
  reduction: Reduction = "mean",
  reference: Reference = "fresh",
  assumed_bound: float = 4.0,
  max_pull: float = 1.0,
  literal_sign: bool = False,
) -> Purified:
  """Purifies the images of all items, a batch at a time; one program for all batches.

  Args:
    denoiser: the network bound to its parameters; parameters bound by `jax.tree_util.Partial` are arguments of the
      program, those of any other function are compiled into it.
    schedule: S steps.
    images: one per item, uint8 `[M, H, W, 3]`.
    has_image: items that have one, bool `[M]`; what stands in the place of the others is returned as it is.
    key: of all noise; an image's depends on its item alone, not on the batch or on the other items.
    batch: images worked on at a time.
    start: see :func:`purify`, as all that follows.
    guidance: "gdmp", "constant" or "none".
    guidance_weight: lambda.
    reduction: "mean" or "sum".
    reference: "fresh", "shared" or "clean".
    assumed_bound: in units of 0..255.
    max_pull: at which pulls are held.
    literal_sign: whether guidance pushes away.

  Returns:
    uint8 images on the host, rounded, and capped steps, 0 for items without an image.

  Raises:
    ValueError: if `images` or `has_image` has another type or shape, `batch` is not positive, or another argument is
      out of its range.
  """
  pixels, present = np.asarray(images), np.asarray(has_image)
  if pixels.dtype != np.uint8 or pixels.ndim != 4:
    raise ValueError(f"images must be uint8 [M, H, W, 3], got {pixels.dtype} {list(pixels.shape)}")
  if present.dtype != np.bool_ or present.shape != pixels.shape[:1]:
    raise ValueError(f"has_image must be bool [{len(pixels)}], got {present.dtype} {list(present.shape)}")
  if batch < 1:
    raise ValueError(f"batch must be positive, got {batch}")
  _check_numbers(start, guidance_weight, assumed_bound, max_pull)
  bound = denoiser if isinstance(denoiser, Partial) else Partial(denoiser)
  result, capped = pixels.copy(), np.zeros(len(pixels), np.int32)
  items = np.flatnonzero(present)
  for first in range(0, len(items), batch):
    taken = items[first : first + batch]
    # The last batch is filled up by repetition, so that it runs the same program.
    filled = np.resize(taken, batch)
    found = _purify_batch(
      bound, schedule, pixels[filled], key, ids=filled.astype(np.int32), start=np.int32(start), guidance=guidance,
      guidance_weight=np.float32(guidance_weight), reduction=reduction, reference=reference,
      assumed_bound=np.float32(assumed_bound), max_pull=np.float32(max_pull), literal_sign=literal_sign,
    )
    result[taken] = np.asarray(found.images)[: len(taken)]
    capped[taken] = np.asarray(found.capped)[: len(taken)]
  return Purified(result, capped)


def straight_through(transform: Callable[[Array], Array]) -> Callable[[Array], Array]:
  """A transform whose derivative is taken to be the identity's: how an adaptive attacker differentiates a purifier.

  Args:
    transform: of images, result of the same shape; need not be differentiable.

  Returns:
    A function with the values of `transform`.

  References:
    Athalye et al., "Obfuscated Gradients Give a False Sense of Security", 2018, Section 4.1 (backward pass
    differentiable approximation).

  >>> rounded = straight_through(jnp.round)
  >>> float(rounded(1.7)), float(jax.grad(rounded)(1.7))
  (2.0, 1.0)
  """

  def through(images: Array) -> Array:
    held = jax.lax.stop_gradient(images)
    # The difference is exactly zero, so that values are the transform's to the last bit.
    return jax.lax.stop_gradient(transform(held)) + (images - held)

  return through
