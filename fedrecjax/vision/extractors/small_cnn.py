"""A small convolutional network as feature extractor: it needs no file and runs fast on a CPU."""

from __future__ import annotations

import pathlib
from typing import Any

import jax
import numpy as np
from flax import linen as nn

from fedrecjax.datasets.image_files import read_archive
from fedrecjax.vision.convolution import convolution
from fedrecjax.vision.extractors.interface import FeatureExtractor, ModuleApply, StandardizedApply
from fedrecjax.vision.extractors.parameter_files import nested, write_parameters
from fedrecjax.vision.extractors.resizing import to_size

NAME = "small_cnn"
WIDTHS = (16, 32, 64, 64)
SIZE = 32


class SmallCnn(nn.Module):
  """Convolutions of 3 x 3 with rectifiers, the first three with stride 2, then the mean over places.

  Attributes:
    widths: channels after each convolution; the last one is the number of features F.
    size: side in pixels to which images are resized.
  """

  widths: tuple[int, ...] = WIDTHS
  size: int = SIZE

  @nn.compact
  def __call__(self, images: jax.Array) -> jax.Array:
    """Features of images.

    Args:
      images: float32 in 0..255 `[B, H, W, 3]`.

    Returns:
      `[B, F]`, not negative.
    """
    signal = (to_size(images, self.size) - 127.5) / 64
    for layer, width in enumerate(self.widths):
      stride = 2 if layer < 3 else 1
      layer_of = nn.Conv(
        width, (3, 3), strides=stride, kernel_init=nn.initializers.he_normal(), name=f"convolution_{layer}",
        conv_general_dilated=convolution,
      )
      signal = nn.relu(layer_of(signal))
    return signal.mean(axis=(1, 2))


def small_cnn(parameters: Any, *, size: int = SIZE) -> FeatureExtractor:
  """The small network with given parameters.

  Args:
    parameters: of :class:`SmallCnn`, `{"convolution_0": {"kernel": [3, 3, 3, C], "bias": [C]}, ...}`.
    size: side in pixels to which images are resized.

  Returns:
    The extractor; widths are those of the parameters.
  """
  widths = tuple(parameters[f"convolution_{layer}"]["bias"].shape[0] for layer in range(len(parameters)))
  return FeatureExtractor(parameters, ModuleApply(SmallCnn(widths, size)), widths[-1], NAME)


def save_small_cnn(extractor: FeatureExtractor, path: pathlib.Path) -> None:
  """Writes a small network, standardized or not, to a NumPy archive.

  Args:
    extractor: made by :func:`small_cnn` or trained; or standardized from such a one.
    path: the file, `.npz`; replaced if it exists.

  Raises:
    ValueError: if it is another network.
  """
  apply = extractor.apply.inner if isinstance(extractor.apply, StandardizedApply) else extractor.apply
  if not isinstance(apply, ModuleApply) or not isinstance(apply.module, SmallCnn):
    raise ValueError(f"save_small_cnn: {extractor.name} is no small network, or standardized more than once")
  write_parameters(path, {"size": np.int32(apply.module.size), "parameters": extractor.parameters})


def load_small_cnn(path: pathlib.Path) -> FeatureExtractor:
  """Reads what :func:`save_small_cnn` wrote.

  Args:
    path: the file.

  Returns:
    The extractor, with the same features to the bit.

  Raises:
    DataError: if the file is missing or no NumPy archive.
    ValueError: if an array is missing, superfluous, or of another shape or type.
  """
  arrays = dict(read_archive(path))
  scaled = "parameters/inner/convolution_0/kernel" in arrays
  root = "parameters/inner/" if scaled else "parameters/"
  num_layers = sum(key.startswith(root) and key.endswith("/kernel") for key in arrays)
  shapes: dict[str, tuple[int, ...]] = {"size": ()}
  inputs = 3
  for layer in range(max(num_layers, 1)):
    key = f"{root}convolution_{layer}/kernel"
    width = arrays[key].shape[-1] if key in arrays and arrays[key].ndim == 4 else 0
    shapes |= {key: (3, 3, inputs, width), f"{root}convolution_{layer}/bias": (width,)}
    inputs = width
  if scaled:
    shapes |= {"parameters/mean": (inputs,), "parameters/scale": ()}
  types = {key: np.dtype(np.int32 if key == "size" else np.float32) for key in shapes}
  tree = nested(arrays, shapes, types, where=str(path))
  parameters, size = tree["parameters"], int(tree["size"])
  if not scaled:
    return small_cnn(parameters, size=size)
  inner = small_cnn(parameters["inner"], size=size)
  return inner._replace(parameters=parameters, apply=StandardizedApply(inner.apply))
