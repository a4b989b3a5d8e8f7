"""Training of the small network to tell images apart, from images alone."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

from fedrecjax.datasets.image_set import ItemImages
from fedrecjax.vision.extractors.interface import FeatureExtractor
from fedrecjax.vision.extractors.small_cnn import SIZE, WIDTHS, SmallCnn, small_cnn

PROJECTED = 32
LEAST_SIDE = 0.6
GAIN = 0.15
OFFSET = 20.0
GRAIN = 7.0


class Training(NamedTuple):
  """A trained network and how training went.

  Attributes:
    extractor: the network, without the layers that only its training had.
    losses: float32 `[steps]`.
  """

  extractor: FeatureExtractor
  losses: np.ndarray


def train_small_cnn(
  images: ItemImages,
  *,
  seed: int = 0,
  steps: int = 200,
  batch: int = 128,
  learning_rate: float = 2e-3,
  temperature: float = 0.2,
  widths: tuple[int, ...] = WIDTHS,
  size: int = SIZE,
) -> Training:
  """Trains a small network to recognise an image in another view of it among the views of other images.

  Nothing but images enters, so that its features hold nothing of the interactions, held-out ones neither. Each step
  draws images without replacement and two views of each: a crop, other gains of the colors, another brightness and
  grain; never mirrored. Two dense layers stand on the features during training alone.

  Args:
    images: clean images.
    seed: of initialisation, batches and views.
    steps: number of steps of Adam.
    batch: images of a step, at most as many as there are.
    learning_rate: of Adam.
    temperature: divides the cosines in the loss.
    widths: channels of the network, the last of which is the number of features F.
    size: side in pixels of views, and of the network's input.

  Returns:
    The extractor and the losses.

  Raises:
    ValueError: if a number is out of its range, or training diverges.

  References:
    Chen et al., "A Simple Framework for Contrastive Learning of Visual Representations", 2020, Eq. 1, Algorithm 1; the
    network, views and numbers are this project's.
  """
  for name, number in (("steps", steps), ("learning_rate", learning_rate), ("temperature", temperature)):
    if not number > 0:
      raise ValueError(f"train_small_cnn: {name} must be positive, got {number}")
  if not 2 <= batch <= images.num_images:
    raise ValueError(f"train_small_cnn: batch must be 2 to {images.num_images}, the number of images, got {batch}")
  module = SmallCnn(widths, size)
  random = np.random.default_rng(seed)
  for_start, for_steps = jax.random.split(jax.random.key(seed))
  trainee = _start(for_start, module=module)
  losses = []
  for key in jax.random.split(for_steps, steps):
    drawn = random.choice(images.items, batch, replace=False)
    views = views_of(key, jnp.asarray(images.pixels[np.tile(drawn, 2)], jnp.float32), size)
    trainee, loss = _step(trainee, views, jnp.float32(learning_rate), jnp.float32(temperature), module=module)
    losses.append(loss)
  history = np.asarray(jnp.stack(losses))
  if not np.isfinite(history).all():
    raise ValueError(f"train_small_cnn: loss is not finite in step {np.argmin(np.isfinite(history))}")
  return Training(small_cnn(trainee.parameters["network"], size=size), history)


def contrastive_loss(first: jax.Array, second: jax.Array, temperature: float | jax.Array) -> jax.Array:
  """Normalised temperature-scaled cross entropy of pairs of views (NT-Xent).

  Each of 2 B views is to pick the other view of its image among the 2 B - 1 other views, by cosine.

  Args:
    first: projections of one view of each image `[B, p]`.
    second: of another view, `[B, p]`.
    temperature: divides the cosines.

  Returns:
    The mean over views, a scalar.

  References:
    Chen et al., 2020, Eq. 1.
  """
  views = jnp.concatenate([first, second])
  # Inside the root, as the gradient of a length is undefined at zero.
  views /= jnp.sqrt(jnp.sum(views**2, axis=1, keepdims=True) + 1e-12)
  count = len(views)
  logits = views @ views.T / temperature
  logits = jnp.where(jnp.eye(count, dtype=bool), -jnp.inf, logits)
  other = jnp.roll(jnp.arange(count, dtype=jnp.int32), count // 2)
  return optax.softmax_cross_entropy_with_integer_labels(logits, other).mean()


@functools.partial(jax.jit, static_argnames="size")
def views_of(key: jax.Array, images: jax.Array, size: int) -> jax.Array:
  """A random view of each image: a crop scaled to `size`, with other colors, brightness and grain.

  Args:
    key: of the draw.
    images: float32 in 0..255 `[B, H, W, 3]`.
    size: wanted side in pixels.

  Returns:
    float32 in 0..255 `[B, size, size, 3]`.
  """
  count = len(images)
  for_side, for_place, for_gain, for_offset, for_grain = jax.random.split(key, 5)
  side = jax.random.uniform(for_side, (count,), jnp.float32, minval=LEAST_SIDE)
  top, left = (1 - side) * jax.random.uniform(for_place, (2, count), jnp.float32)
  rows = _crop_weights(top, side, images.shape[1], size)
  columns = _crop_weights(left, side, images.shape[2], size)
  views = jnp.einsum("biy,byxc->bixc", rows, images)
  views = jnp.einsum("bjx,bixc->bijc", columns, views)
  gain = 1 + GAIN * jax.random.uniform(for_gain, (count, 1, 1, 3), jnp.float32, minval=-1.0)
  offset = OFFSET * jax.random.uniform(for_offset, (count, 1, 1, 1), jnp.float32, minval=-1.0)
  grain = GRAIN * jax.random.uniform(for_grain, views.shape, jnp.float32, minval=-1.0)
  return jnp.clip(gain * views + offset + grain, 0, 255)


def _crop_weights(start: jax.Array, side: jax.Array, length: int, size: int) -> jax.Array:
  """Weights of bilinear resizing of a crop along one axis, `[B, size, length]`; shrinking averages.

  Args:
    start: where the crop begins, as a share of the axis, `[B]`.
    side: its length, as a share of the axis, `[B]`.
    length: pixels of the axis.
    size: pixels of the view.
  """
  middles = (start[:, None] + side[:, None] * (jnp.arange(size, dtype=jnp.float32) + 0.5) / size) * length - 0.5
  reach = jnp.maximum(side * length / size, 1)[:, None, None]
  weights = jnp.maximum(0, 1 - jnp.abs(middles[:, :, None] - jnp.arange(length, dtype=jnp.float32)) / reach)
  return weights / weights.sum(axis=2, keepdims=True)


class _Projection(nn.Module):
  """The layers that training alone has."""

  @nn.compact
  def __call__(self, features: jax.Array) -> jax.Array:
    return nn.Dense(PROJECTED)(nn.relu(nn.Dense(features.shape[-1])(features)))


class _Trainee(NamedTuple):
  """What one step hands to the next: parameters, and the optimiser's state."""

  parameters: Any
  state: Any


@functools.partial(jax.jit, static_argnames="module")
def _start(key: jax.Array, *, module: SmallCnn) -> _Trainee:
  for_network, for_head = jax.random.split(key)
  parameters = {
    "network": module.init(for_network, jnp.zeros((1, module.size, module.size, 3), jnp.float32))["params"],
    "head": _Projection().init(for_head, jnp.zeros((1, module.widths[-1]), jnp.float32))["params"],
  }
  return _Trainee(parameters, optax.adam(0.0).init(parameters))


@functools.partial(jax.jit, static_argnames="module", donate_argnames="trainee")
def _step(
  trainee: _Trainee, views: jax.Array, learning_rate: jax.Array, temperature: jax.Array, *, module: SmallCnn
) -> tuple[_Trainee, jax.Array]:
  """The trainee after one step on two views of each image `[2 B, H, W, 3]`, and the loss before."""

  def loss(parameters: Any) -> jax.Array:
    features = module.apply({"params": parameters["network"]}, views)
    projections = jnp.asarray(_Projection().apply({"params": parameters["head"]}, features))
    first, second = jnp.split(projections, 2)
    return contrastive_loss(first, second, temperature)

  value, gradient = jax.value_and_grad(loss)(trainee.parameters)
  # Adam is not ours, and leaves the types of its own numbers to JAX.
  with jax.enable_x64(False):
    change, state = optax.adam(learning_rate).update(gradient, trainee.state)
  return _Trainee(optax.apply_updates(trainee.parameters, change), state), value
