"""Random arrays as torch files hold them."""

from __future__ import annotations

import numpy as np

from fedrecjax.vision.extractors import Stage

TINY_STAGES = (Stage(1, 3, 1, 1, 4), Stage(2, 5, 2, 2, 6))
TINY_STRIDES = (1, 2, 1)
TINY_STEM, TINY_HEAD = 5, 7


def efficientnet_state(seed: int = 0) -> dict[str, np.ndarray]:
  """A network of a stem of 5, three blocks (4 without expansion, 6, 6 with kernels of 5) and a head of 7 channels."""
  random = np.random.default_rng(seed)
  state: dict[str, np.ndarray] = {}

  def kernel(name: str, *shape: int) -> None:
    state[f"{name}.weight"] = random.normal(0, np.prod(shape[1:]) ** -0.5 * 1.5, shape).astype(np.float32)

  def norm(name: str, channels: int) -> None:
    state[f"{name}.weight"] = random.uniform(0.5, 2, channels).astype(np.float32)
    state[f"{name}.bias"] = random.normal(0.5, 0.5, channels).astype(np.float32)
    state[f"{name}.running_mean"] = random.normal(0, 0.3, channels).astype(np.float32)
    state[f"{name}.running_var"] = random.uniform(0.001, 0.8, channels).astype(np.float32)
    state[f"{name}.num_batches_tracked"] = np.array(17)

  kernel("_conv_stem", 5, 3, 3, 3)
  norm("_bn0", 5)
  for number, (inputs, inside, outputs, side) in enumerate([(5, 5, 4, 3), (4, 8, 6, 5), (6, 12, 6, 5)]):
    name = f"_blocks.{number}"
    if inside > inputs:
      kernel(f"{name}._expand_conv", inside, inputs, 1, 1)
      norm(f"{name}._bn0", inside)
    kernel(f"{name}._depthwise_conv", inside, 1, side, side)
    norm(f"{name}._bn1", inside)
    kernel(f"{name}._project_conv", outputs, inside, 1, 1)
    norm(f"{name}._bn2", outputs)
  kernel("_conv_head", 7, 6, 1, 1)
  norm("_bn1", 7)
  kernel("_fc", 1000, 7)
  state["_fc.bias"] = np.zeros(1000, np.float32)
  return state


TINY_WIDTHS, TINY_HIDDEN = (2, 3, 4, 5, 6), 8


def vgg_state(size: int, seed: int = 0) -> dict[str, np.ndarray]:
  """VGG-16 with channels 2, 3, 4, 5, 6 and dense layers of 8, for images of a size."""
  random = np.random.default_rng(seed)
  places = [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28]
  widths = [2, 2, 3, 3, 4, 4, 4, 5, 5, 5, 6, 6, 6]
  state: dict[str, np.ndarray] = {}
  for place, inputs, outputs in zip(places, [3, *widths], widths):
    state[f"features.{place}.weight"] = random.normal(0, (2 / (9 * inputs)) ** 0.5, (outputs, inputs, 3, 3))
    state[f"features.{place}.bias"] = random.normal(0.1, 0.1, outputs)
  flat = 6 * (size // 32) ** 2
  for place, inputs, outputs in ((0, flat, 8), (3, 8, 8), (6, 8, 10)):
    state[f"classifier.{place}.weight"] = random.normal(0, (2 / inputs) ** 0.5, (outputs, inputs))
    state[f"classifier.{place}.bias"] = random.normal(0.1, 0.1, outputs)
  return {name: array.astype(np.float32) for name, array in state.items()}
