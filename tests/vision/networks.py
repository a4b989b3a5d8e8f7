"""Networks with fixed weights, by the names that a file has for them."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from fedrecjax.vision.unet import UNetConfig
from tests.oracles import unet as oracle

SMALL = UNetConfig(width=32, channel_mult=(1, 2, 2), num_res_blocks=1, attention_levels=(1, 2), head_width=16)
"""The network whose output openai/guided-diffusion computed."""

TINY = UNetConfig(width=32, channel_mult=(1, 2), num_res_blocks=1, attention_levels=(0,), head_width=16)
CLASSES = dataclasses.replace(TINY, num_classes=5, new_attention_order=True, num_res_blocks=2, attention_levels=(1,))
SINGLE = UNetConfig(width=64, channel_mult=(1,), num_res_blocks=1, attention_levels=(), head_width=64)


def plan_of(config: UNetConfig) -> oracle.Plan:
  return oracle.plan(config.width, config.channel_mult, config.num_res_blocks, config.attention_levels)


def shapes_of(config: UNetConfig) -> dict[str, tuple[int, ...]]:
  return oracle.file_shapes(plan_of(config), config.num_classes)


def filled(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
  """Sines: of the size of usual weights, near 1 for gains, small for biases."""
  tensors = {}
  for place, (name, shape) in enumerate(shapes.items()):
    size = int(np.prod(shape))
    wave = np.sin(0.37 * np.arange(1, size + 1) + 0.11 * place)
    if len(shape) > 1:
      wave = wave / np.sqrt(np.prod(shape[1:]))
    elif name.endswith(".weight"):
      wave = 1 + 0.1 * wave
    else:
      wave = 0.05 * wave
    tensors[name] = wave.reshape(shape).astype(np.float32)
  return tensors
