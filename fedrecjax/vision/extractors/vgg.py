"""VGG-16, pretrained on ImageNet: the network, and its parameters from torchvision's file."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator, Mapping
from typing import Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from fedrecjax.vision.convolution import convolution
from fedrecjax.vision.extractors.interface import FeatureExtractor, ModuleApply
from fedrecjax.vision.extractors.resizing import to_size
from fedrecjax.vision.extractors.torch_layout import Entry, converted, dense, spatial
from fedrecjax.vision.torch_file import read_torch_file

VggFeatures = Literal["fc7", "conv5"]

CONVOLUTIONS = (2, 2, 3, 3, 3)
"""Convolutions before each pooling."""

MEAN = (123.675, 116.28, 103.53)
DEVIATION = (58.395, 57.12, 57.375)
"""Of red, green and blue in 0..255; torchvision's (0.485, 0.456, 0.406) and (0.229, 0.224, 0.225) times 255."""


class Vgg16(nn.Module):
  """Thirteen convolutions of 3 x 3 in five groups, then two dense layers; rectifiers throughout.

  Attributes:
    widths: channels of each group.
    hidden: width of the dense layers.
    size: side in pixels to which images are resized; a multiple of 32.
    features: "fc7", the second dense layer after its rectifier; or "conv5", the mean over places of the last pooling.
  """

  widths: tuple[int, ...] = (64, 128, 256, 512, 512)
  hidden: int = 4096
  size: int = 224
  features: VggFeatures = "fc7"

  @nn.compact
  def __call__(self, images: jax.Array) -> jax.Array:
    """Features of images.

    Args:
      images: float32 in 0..255 `[B, H, W, 3]`.

    Returns:
      `[B, F]`, not negative.
    """
    signal = (to_size(images, self.size) - jnp.array(MEAN, jnp.float32)) / jnp.array(DEVIATION, jnp.float32)
    for group, width in enumerate(self.widths):
      for layer in range(CONVOLUTIONS[group]):
        name = f"convolution_{group}_{layer}"
        signal = nn.relu(nn.Conv(width, (3, 3), padding=1, name=name, conv_general_dilated=convolution)(signal))
      signal = nn.max_pool(signal, (2, 2), strides=(2, 2))
    if self.features == "conv5":
      return signal.mean(axis=(1, 2))
    signal = signal.reshape(len(signal), -1)
    for name in ("fc6", "fc7"):
      signal = nn.relu(nn.Dense(self.hidden, name=name)(signal))
    return signal


def vgg16(path: pathlib.Path, *, features: VggFeatures = "fc7") -> FeatureExtractor:
  """VGG-16 with parameters from a file of torchvision, such as `vgg16-397923af.pth`.

  Args:
    path: the file, a state dict of `features.0.weight` to `classifier.6.bias`; the layer of classes, `classifier.6`,
      may be missing and is not used.
    features: "fc7" gives F = 4096, "conv5" F = 512.

  Returns:
    The extractor.

  Raises:
    DataError: if the file cannot be read.
    ValueError: if `features` is unknown, or an array is missing, superfluous or of another shape.

  References:
    Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", 2015, configuration D.
  """
  if features not in get_args(VggFeatures):
    raise ValueError(f"vgg16: features must be one of {' '.join(get_args(VggFeatures))}, got {features!r}")
  return vgg16_from_state(read_torch_file(path), where=str(path), module=Vgg16(features=features))


def vgg16_from_state(state: Mapping[str, np.ndarray], *, where: str, module: Vgg16) -> FeatureExtractor:
  """An extractor from arrays named and laid out as torchvision's.

  Args:
    state: by name; convolutions `[out, in, 3, 3]`, dense layers `[out, in]`.
    where: what the arrays are called in errors.
    module: the network, perhaps a narrower one.

  Returns:
    The extractor.

  Raises:
    ValueError: if the network's size is no multiple of 32, or an array is missing, superfluous or of another shape.
  """
  if module.size < 32 or module.size % 32:
    raise ValueError(f"{where}: size must be a multiple of 32, got {module.size}")
  parameters = converted(state, _entries(module), where=where)
  if module.features == "conv5":
    parameters = {name: layer for name, layer in parameters.items() if not name.startswith("fc")}
  width = module.hidden if module.features == "fc7" else module.widths[-1]
  return FeatureExtractor(parameters, ModuleApply(module), width, f"vgg16_{module.features}")


def _entries(module: Vgg16) -> Iterator[Entry]:
  """Every array of a file of this network."""
  place, received = 0, 3
  for group, width in enumerate(module.widths):
    for layer in range(CONVOLUTIONS[group]):
      ours = f"convolution_{group}_{layer}"
      yield Entry(f"features.{place}.weight", (width, received, 3, 3), f"{ours}/kernel", spatial)
      yield Entry(f"features.{place}.bias", (width,), f"{ours}/bias")
      # Its list of layers counts rectifiers and poolings, too.
      place, received = place + 2, width
    place += 1
  grid = module.size // 32

  def flattened(kernel: np.ndarray) -> np.ndarray:
    """Torch flattens channels, rows, columns; here channels come last."""
    return kernel.reshape(-1, received, grid, grid).transpose(2, 3, 1, 0).reshape(-1, len(kernel))

  yield Entry("classifier.0.weight", (module.hidden, received * grid**2), "fc6/kernel", flattened)
  yield Entry("classifier.0.bias", (module.hidden,), "fc6/bias")
  yield Entry("classifier.3.weight", (module.hidden, module.hidden), "fc7/kernel", dense)
  yield Entry("classifier.3.bias", (module.hidden,), "fc7/bias")
  yield Entry("classifier.6.weight", (-1, module.hidden), optional=True)
  yield Entry("classifier.6.bias", (-1,), optional=True)
