"""Training of a diffusion model on the images of items."""

from __future__ import annotations

import functools
import io
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from fedrecjax.methods.hyperparameters import check
from fedrecjax.vision.diffusion import DiffusionLoss, Schedule, from_pixels, training_loss
from fedrecjax.vision.unet import COLORS, UNet, UNetConfig

GAP = 2
"""Pixels between the images of a grid."""


class DdpmState(NamedTuple):
  """Training between steps.

  Attributes:
    params: the network's parameters.
    average: their moving average, with which images are sampled and purified.
    optimizer: state of Adam.
    step: number of steps done, int32 scalar.
    key: of all draws, the step's number folded in.
  """

  params: Any
  average: Any
  optimizer: Any
  step: Array
  key: Array


def init_ddpm(config: UNetConfig, key: Array) -> DdpmState:
  """A fresh network, which predicts no noise at all, and what its training starts from.

  Args:
    config: structure of the network, without classes.
    key: of the initialisation and of all draws of the training.

  Returns:
    The state before the first step.

  Raises:
    ValueError: if the network is one of classes, which items do not have.
  """
  check(config.num_classes is None, f"config.num_classes must be None to train on items, got {config.num_classes}")
  for_params, for_training = jax.random.split(key)
  size = 2 ** (len(config.channel_mult) - 1)
  init = jax.jit(UNet(config).init)
  params = init(for_params, jnp.zeros((1, size, size, COLORS), jnp.float32), jnp.zeros(1, jnp.float32))["params"]
  average = jax.tree.map(jnp.copy, params)
  return DdpmState(params, average, optax.scale_by_adam().init(params), jnp.int32(0), for_training)


def _average_decay(step: Array, decay: Array | float) -> Array:
  """Decay of the average at a step: it forgets the first steps sooner than it would later ones."""
  return jnp.minimum(decay, (1 + step).astype(jnp.float32) / (10 + step))


@functools.partial(jax.jit, static_argnames=("config", "batch_size"))
def _step(
  state: DdpmState,
  pixels: Array,
  items: Array,
  schedule: Schedule,
  learning_rate: Array | float,
  average_decay: Array | float,
  variance_weight: Array | float,
  *,
  config: UNetConfig,
  batch_size: int,
) -> tuple[DdpmState, DiffusionLoss]:
  """One step of :func:`train_ddpm`; `items` are those that have an image."""
  network = UNet(config)

  def loss(params: Any, images: Array, index: Array, noise: Array, key: Array) -> tuple[Array, DiffusionLoss]:
    def denoiser(images: Array, timesteps: Array) -> Array:
      return jnp.asarray(network.apply({"params": params}, images, timesteps, train=True, rngs={"dropout": key}))

    each = training_loss(denoiser, schedule, images, index, noise, variance_weight=variance_weight)
    means = jax.tree.map(jnp.mean, each)
    return means.total, means

  keys = jax.random.split(jax.random.fold_in(state.key, state.step), 4)
  drawn = items[jax.random.randint(keys[0], (batch_size,), 0, len(items), jnp.int32)]
  images = from_pixels(pixels[drawn])
  index = jax.random.randint(keys[1], (batch_size,), 0, len(schedule.betas), jnp.int32)
  noise = jax.random.normal(keys[2], images.shape, jnp.float32)
  # Dropout and Adam are not ours, and leave the types of their own numbers to JAX.
  with jax.enable_x64(False):
    slope, losses = jax.grad(loss, has_aux=True)(state.params, images, index, noise, keys[3])
    change, optimizer = optax.scale_by_adam().update(slope, state.optimizer)
  params = jax.tree.map(lambda values, by: values - learning_rate * by, state.params, change)
  decay = _average_decay(state.step, average_decay)
  average = jax.tree.map(lambda old, new: decay * old + (1 - decay) * new, state.average, params)
  return DdpmState(params, average, optimizer, state.step + 1, state.key), losses


def train_ddpm(
  state: DdpmState,
  pixels: np.ndarray,
  has_image: np.ndarray,
  schedule: Schedule,
  *,
  config: UNetConfig,
  num_steps: int,
  batch_size: int = 16,
  learning_rate: float = 2e-4,
  average_decay: float = 0.9999,
  variance_weight: float = 1e-3,
) -> tuple[DdpmState, DiffusionLoss]:
  """So many steps of Adam on images drawn at random.

  Each step is a call of one program, so that training can be interrupted and any number of steps compiles once.

  Args:
    state: from :func:`init_ddpm`, an earlier call or a checkpoint.
    pixels: images, uint8 `[M, H, W, 3]`.
    has_image: items whose image is trained on, bool `[M]`.
    schedule: S steps of noise.
    config: structure of the network that the state is of.
    num_steps: number of steps.
    batch_size: images of a step, drawn with replacement.
    learning_rate: step size of Adam; 2e-4 is that of Ho et al. for small images. Traced.
    average_decay: decay of the moving average of parameters, 0.9999 in both papers. Up to step t it is at most
      (1 + t) / (10 + t), so that short trainings forget their start, too. Traced.
    variance_weight: see :func:`fedrecjax.vision.diffusion.training_loss`. Traced.

  Returns:
    The state after the steps, and the batch's mean losses in each of them, `[num_steps]`.

  Raises:
    ValueError: if images or mask have another type or shape, no item has an image, or a number is out of its range.

  References:
    Ho et al., "Denoising Diffusion Probabilistic Models", 2020, Algorithm 1 and Appendix B; Nichol and Dhariwal,
    "Improved Denoising Diffusion Probabilistic Models", 2021.
  """
  pixels, has_image = np.asarray(pixels), np.asarray(has_image)
  if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[3] != COLORS:
    raise ValueError(f"pixels must be uint8 [M, H, W, 3], got {pixels.dtype} {list(pixels.shape)}")
  if has_image.dtype != np.bool_ or has_image.shape != pixels.shape[:1]:
    raise ValueError(f"has_image must be bool [{len(pixels)}], got {has_image.dtype} {list(has_image.shape)}")
  if not has_image.any():
    raise ValueError(f"has_image must hold for at least one item, none of {len(pixels)} has an image")
  for name, number in (("num_steps", num_steps), ("batch_size", batch_size), ("learning_rate", learning_rate)):
    check(number > 0, f"{name} must be positive, got {number}")
  check(0 <= average_decay < 1, f"average_decay must be at least 0 and below 1, got {average_decay}")
  check(variance_weight >= 0, f"variance_weight must not be negative, got {variance_weight}")
  given, items = jnp.asarray(pixels), jnp.asarray(np.flatnonzero(has_image), jnp.int32)
  numbers = [jnp.float32(number) for number in (learning_rate, average_decay, variance_weight)]
  losses = []
  for _ in range(num_steps):
    state, loss = _step(state, given, items, schedule, *numbers, config=config, batch_size=batch_size)
    losses.append(loss)
  return state, jax.tree.map(lambda *values: jnp.stack(values), *losses)


def sample_grid(images: np.ndarray, *, columns: int) -> bytes:
  """Images side by side in one picture, on white.

  Args:
    images: uint8 `[B, H, W, 3]`, at least one.
    columns: images in a row; the last row may be short.

  Returns:
    A PNG file's content.

  Raises:
    ValueError: if images have another type or shape, or `columns` is not positive.
  """
  from PIL import Image  # training and sampling need no image library

  images = np.asarray(images)
  if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != COLORS or 0 in images.shape:
    raise ValueError(f"images must be uint8 [B, H, W, 3], got {images.dtype} {list(images.shape)}")
  check(columns > 0, f"columns must be positive, got {columns}")
  count, height, width, _ = images.shape
  columns = min(columns, count)
  rows = -(-count // columns)
  grid = np.full((rows * (height + GAP) - GAP, columns * (width + GAP) - GAP, COLORS), 255, np.uint8)
  for place, image in enumerate(images):
    top, left = place // columns * (height + GAP), place % columns * (width + GAP)
    grid[top : top + height, left : left + width] = image
  file = io.BytesIO()
  Image.fromarray(grid).save(file, format="PNG")
  return file.getvalue()
