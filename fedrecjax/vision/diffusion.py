"""Denoising diffusion over images: the noise schedule, one step back, sampling and the training loss.

Indices count the steps of a schedule from 0: index 0 stands for an image that was noised once. A respaced schedule has
fewer steps, each of which keeps the index by which the network knows it (`Schedule.timestep`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.special import ndtr

Denoiser = Callable[[Array, Array], Array]
"""`(images [B, H, W, 3], timesteps [B]) -> [B, H, W, 6]`: predicted noise, then the coefficient of the variance."""

PUBLISHED_STEPS = 1000
HALF_BIN = 1 / 255
"""Half the distance of two neighbouring pixel values, where 0..255 lie on [-1, 1]."""


class Schedule(NamedTuple):
  """Numbers of each of S noising steps, float32 `[S]`; computed in float64.

  Attributes:
    betas: variance that the step adds.
    alphas_cumprod: share of the image's variance that is left after the step, the running product of 1 - beta.
    alphas_cumprod_previous: the same before the step.
    posterior_variance: of the image before the step, given the one after it and the clean one; 0 in the first step.
    posterior_log_variance: its logarithm; in the first step that of the second.
    timestep: the step's index in the schedule that the network was trained with, int32.
    noise_variance: 1 - alphas_cumprod, which float32 does not hold exactly enough to be subtracted later.
  """

  betas: Array | np.ndarray
  alphas_cumprod: Array | np.ndarray
  alphas_cumprod_previous: Array | np.ndarray
  posterior_variance: Array | np.ndarray
  posterior_log_variance: Array | np.ndarray
  timestep: Array | np.ndarray
  noise_variance: Array | np.ndarray


class Posterior(NamedTuple):
  """The distribution of the image before a step, as the network predicts it; all of the image's shape.

  Attributes:
    mean: of the image before the step.
    log_variance: its logarithmic variance.
    clean: the predicted clean image.
  """

  mean: Array
  log_variance: Array
  clean: Array


def from_pixels(images: Array | np.ndarray) -> Array:
  """Pixel values 0..255 of any shape as numbers on [-1, 1], float32."""
  return jnp.asarray(images, jnp.float32) / 127.5 - 1


def to_pixels(images: Array) -> Array:
  """The pixel values nearest to numbers on [-1, 1], uint8; numbers beyond are black or full."""
  return jnp.clip(jnp.round((images + 1) * 127.5), 0, 255).astype(jnp.uint8)


class DiffusionLoss(NamedTuple):
  """Losses of a batch's images, float32 `[B]`.

  Attributes:
    total: what is minimised.
    simple: mean squared error of the predicted noise.
    variational: the drawn step's term of the variational bound, in bits per number.
  """

  total: Array
  simple: Array
  variational: Array


def _schedule(betas: np.ndarray, timestep: np.ndarray) -> Schedule:
  """All numbers of a schedule from float64 `betas`."""
  kept = np.cumprod(1 - betas)
  kept_before = np.append(1.0, kept[:-1])
  variance = betas * (1 - kept_before) / (1 - kept)
  log_variance = np.log(np.append(variance[1], variance[1:]))
  betas, kept, kept_before, variance, log_variance, noise = (
    numbers.astype(np.float32) for numbers in (betas, kept, kept_before, variance, log_variance, 1 - kept)
  )
  return Schedule(betas, kept, kept_before, variance, log_variance, timestep.astype(np.int32), noise)


def linear_schedule(num_steps: int = PUBLISHED_STEPS, *, first: float = 1e-4, last: float = 2e-2) -> Schedule:
  """Variances that grow linearly from step to step.

  The formula printed by Yuan et al. (2023) leaves out the first variance, so that the first step would add nothing and
  its posterior would be undefined; here it is where its source has it.

  Args:
    num_steps: S.
    first: variance that the first of 1000 steps adds; for other S it is multiplied by 1000 / S.
    last: variance that the last step adds, likewise.

  Returns:
    S steps.

  Raises:
    ValueError: if there are fewer than two steps or a scaled variance is not between 0 and 1.

  References:
    Ho et al., "Denoising Diffusion Probabilistic Models", 2020, Section 4; the scaling is openai/guided-diffusion's.

  >>> schedule = linear_schedule()
  >>> print(f"{schedule.alphas_cumprod[-1]:.4e}")
  4.0358e-05
  """
  if num_steps < 2:
    raise ValueError(f"num_steps must be at least 2, got {num_steps}")
  scale = PUBLISHED_STEPS / num_steps
  for name, value in (("first", first), ("last", last)):
    if not 0 < scale * value < 1:
      raise ValueError(f"{name} must lie between 0 and {1 / scale:g} for {num_steps} steps, got {value}")
  return _schedule(np.linspace(scale * first, scale * last, num_steps), np.arange(num_steps))


def respaced(schedule: Schedule, count: int) -> Schedule:
  """A schedule that visits only some steps of another, evenly spaced from its first to its last.

  Args:
    schedule: S steps, concrete.
    count: number of steps to keep, from 2 to S.

  Returns:
    `count` steps; each adds the noise of all those since the step before it.

  Raises:
    ValueError: if `count` is out of its range.

  References:
    Nichol and Dhariwal, "Improved Denoising Diffusion Probabilistic Models", 2021, Section 4. Positions are sums of the
    spacing, rounded half to even, as in openai/guided-diffusion.

  >>> respaced(linear_schedule(), 250).timestep[[0, 1, 2, -2, -1]].tolist()
  [0, 4, 8, 995, 999]
  """
  steps = len(schedule.betas)
  if not 2 <= count <= steps:
    raise ValueError(f"count must be from 2 to the schedule's {steps} steps, got {count}")
  spacing = (steps - 1) / (count - 1)
  positions, position = [], 0.0
  for _ in range(count):
    positions.append(round(position))
    position += spacing
  kept = np.cumprod(1 - np.asarray(schedule.betas, np.float64))[positions]
  return _schedule(1 - kept / np.append(1.0, kept[:-1]), np.asarray(schedule.timestep)[positions])


def noised(schedule: Schedule, clean: Array, index: Array, noise: Array) -> Array:
  """A clean image after the step `index` and all before it, drawn in one go.

  Args:
    schedule: S steps.
    clean: `[..., 3]` on [-1, 1].
    index: int32 scalar, 0..S-1; 0 noises once.
    noise: standard normal, of the image's shape.

  Returns:
    The noisy image, of the same shape.

  References:
    Yuan et al., "Manipulating Visually-aware Federated Recommender Systems and Its Countermeasures", 2023, Eq. 19, 20.
  """
  kept, variance = (jnp.asarray(numbers)[index] for numbers in (schedule.alphas_cumprod, schedule.noise_variance))
  return jnp.sqrt(kept) * clean + jnp.sqrt(variance) * noise


def _posterior_mean(schedule: Schedule, clean: Array, noisy: Array, index: Array) -> Array:
  """Mean of the image before the step given those after it and before all steps (Ho et al., 2020, Eq. 7)."""
  beta, kept_before, variance, noise = (
    jnp.asarray(numbers)[index]
    for numbers in (
      schedule.betas, schedule.alphas_cumprod_previous, schedule.posterior_variance, schedule.noise_variance
    )
  )
  return beta * jnp.sqrt(kept_before) / noise * clean + variance / beta * jnp.sqrt(1 - beta) * noisy


def posterior(schedule: Schedule, output: Array, noisy: Array, index: Array, *, clip: bool = True) -> Posterior:
  """What the network's output says about the image before the step `index`.

  Args:
    schedule: S steps.
    output: of the network, `[..., 6]`: predicted noise, then coefficients v that interpolate the logarithmic variance
      between the posterior's (v = -1) and the step's own (v = 1).
    noisy: the image after the step, `[..., 3]`.
    index: int32 scalar, 0..S-1.
    clip: whether the predicted clean image is clipped to [-1, 1] before it enters the mean.

  Returns:
    Mean, logarithmic variance and predicted clean image, each `[..., 3]`.

  References:
    Ho et al., 2020, Eq. 7 and 15; Nichol and Dhariwal, 2021, Eq. 15, whose v is (v + 1) / 2 here as in
    openai/guided-diffusion.
  """
  noise, coefficient = jnp.split(output, 2, axis=-1)
  kept, variance, beta, shortest = (
    jnp.asarray(numbers)[index]
    for numbers in (schedule.alphas_cumprod, schedule.noise_variance, schedule.betas, schedule.posterior_log_variance)
  )
  clean = (noisy - jnp.sqrt(variance) * noise) / jnp.sqrt(kept)
  if clip:
    clean = jnp.clip(clean, -1.0, 1.0)
  share = (coefficient + 1) / 2
  log_variance = share * jnp.log(beta) + (1 - share) * shortest
  return Posterior(_posterior_mean(schedule, clean, noisy, index), log_variance, clean)


def step_noise(mean: Array, log_variance: Array, index: Array, noise: Array) -> Array:
  """The image before the step, drawn around its mean; the last step back, index 0, adds no noise.

  Args:
    mean: `[..., 3]`.
    log_variance: `[..., 3]`.
    index: int32 scalar.
    noise: standard normal, `[..., 3]`.

  Returns:
    `[..., 3]`.
  """
  return mean + jnp.where(index > 0, jnp.exp(0.5 * log_variance) * noise, 0.0)


def sample(denoiser: Denoiser, schedule: Schedule, key: Array, shape: tuple[int, int, int, int]) -> Array:
  """Images from pure noise, by going back through all steps; can be jitted.

  Args:
    denoiser: the network bound to its parameters.
    schedule: S steps.
    key: of all noise.
    shape: `(B, H, W, 3)`.

  Returns:
    Images of that shape on [-1, 1].

  References:
    Ho et al., 2020, Algorithm 2, with the learned variance of Nichol and Dhariwal, 2021.
  """
  steps = len(schedule.betas)
  timestep = jnp.asarray(schedule.timestep)

  def step_back(done: Array, noisy: Array) -> Array:
    index = steps - 1 - done
    output = denoiser(noisy, jnp.full(shape[0], timestep[index], timestep.dtype))
    before = posterior(schedule, output, noisy, index)
    noise = jax.random.normal(jax.random.fold_in(key, index), shape, jnp.float32)
    return step_noise(before.mean, before.log_variance, index, noise)

  pure_noise = jax.random.normal(jax.random.fold_in(key, steps), shape, jnp.float32)
  return jnp.clip(jax.lax.fori_loop(0, steps, step_back, pure_noise), -1.0, 1.0)


def _pixel_likelihood(clean: Array, mean: Array, log_variance: Array) -> Array:
  """Logarithmic probability of pixel values that a normal distribution is rounded to (Ho et al., 2020, Eq. 13)."""
  deviation = jnp.exp(0.5 * log_variance)
  # The first and the last value stand for all numbers below and above; half a bin tells them from the others.
  above = jnp.where(clean > 1 - HALF_BIN, 1.0, ndtr((clean + HALF_BIN - mean) / deviation))
  below = jnp.where(clean < HALF_BIN - 1, 0.0, ndtr((clean - HALF_BIN - mean) / deviation))
  probability = above - below
  return jnp.log(jnp.maximum(probability, 1e-12))


def variational_term(schedule: Schedule, output: Array, clean: Array, noisy: Array, index: Array) -> Array:
  """One step's term of the variational bound for one image; only the variance is trained by it.

  Args:
    schedule: S steps.
    output: of the network, `[H, W, 6]`.
    clean: `[H, W, 3]`, pixel values on [-1, 1].
    noisy: the image after the step, `[H, W, 3]`.
    index: int32 scalar.

  Returns:
    Bits per number, a scalar: the divergence of the true posterior from the predicted one, or, in the step of index 0,
    the negative log-likelihood of the pixels. No gradient reaches the predicted noise.

  References:
    Nichol and Dhariwal, 2021, Eq. 4 to 6 and Section 3.1.
  """
  noise, coefficient = jnp.split(output, 2, axis=-1)
  frozen = jnp.concatenate([jax.lax.stop_gradient(noise), coefficient], axis=-1)
  predicted = posterior(schedule, frozen, noisy, index, clip=False)
  true_mean = _posterior_mean(schedule, clean, noisy, index)
  true_log_variance = jnp.asarray(schedule.posterior_log_variance)[index]
  ratio = true_log_variance - predicted.log_variance
  distance = jnp.square(true_mean - predicted.mean) * jnp.exp(-predicted.log_variance)
  divergence = 0.5 * (jnp.exp(ratio) - 1 - ratio + distance)
  likelihood = _pixel_likelihood(clean, predicted.mean, predicted.log_variance)
  return jnp.mean(jnp.where(index > 0, divergence, -likelihood)) / jnp.log(jnp.float32(2.0))


def training_loss(
  denoiser: Denoiser,
  schedule: Schedule,
  clean: Array,
  index: Array,
  noise: Array,
  *,
  variance_weight: Array | float = 1e-3,
) -> DiffusionLoss:
  """The hybrid loss: squared error of the predicted noise plus a little of the variational bound.

  Args:
    denoiser: the network bound to the parameters to train.
    schedule: S steps.
    clean: images `[B, H, W, 3]`, pixel values on [-1, 1].
    index: step drawn for each image, uniform on 0..S-1, int32 `[B]`.
    noise: standard normal, `[B, H, W, 3]`.
    variance_weight: of the bound, of which the drawn step's term times S is an estimate; 0.001 as in the paper.

  Returns:
    Losses of each image.

  References:
    Nichol and Dhariwal, "Improved Denoising Diffusion Probabilistic Models", 2021, Section 3.1, Eq. 16; bits and means
    over numbers as in their code.
  """
  noisy = jax.vmap(noised, in_axes=(None, 0, 0, 0))(schedule, clean, index, noise)
  output = denoiser(noisy, jnp.asarray(schedule.timestep)[index])
  simple = jnp.mean(jnp.square(noise - output[..., :3]), axis=(1, 2, 3))
  variational = jax.vmap(variational_term, in_axes=(None, 0, 0, 0, 0))(schedule, output, clean, noisy, index)
  return DiffusionLoss(simple + variance_weight * len(schedule.betas) * variational, simple, variational)
