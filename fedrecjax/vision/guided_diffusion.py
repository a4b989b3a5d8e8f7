"""Checkpoints of openai/guided-diffusion, as parameters of :class:`fedrecjax.vision.unet.UNet`.

The structure that a file was trained with shows in the names and shapes of its tensors, but for the width of a head,
the order inside attention and dropout. It is compared with the expected structure first, then every tensor is.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from fedrecjax.datasets.errors import DataError
from fedrecjax.vision.torch_file import read_torch_file
from fedrecjax.vision.unet import COLORS, UNet, UNetConfig

Shapes = dict[str, tuple[int, ...]]
Place = tuple[str, ...]

NAMED_IN_ERRORS = 3


class Checkpoint(NamedTuple):
  """A network read from a file.

  Attributes:
    config: its structure, with the number of classes that the file has.
    params: its parameters, float32.
  """

  config: UNetConfig
  params: Any


def _parameters(config: UNetConfig) -> dict[Place, tuple[int, ...]]:
  """Shapes of a network's parameters by their path; nothing is allocated."""
  size = 2 ** (len(config.channel_mult) - 1)
  labels = None if config.num_classes is None else jnp.zeros(1, jnp.int32)
  variables = jax.eval_shape(
    UNet(config).init, jax.random.key(0), jnp.zeros((1, size, size, COLORS), jnp.float32), jnp.zeros(1, jnp.float32),
    labels,
  )
  return {path: leaf.shape for path, leaf in traverse_util.flatten_dict(variables["params"]).items()}


def _torch_name(path: Place) -> str:
  """Name in the file: numbers become parts of their own, all multiplied arrays are called weights."""
  modules = re.sub(r"_(\d+)", r".\1", ".".join(path[:-1]))
  return f"{modules}.{'bias' if path[-1] == 'bias' else 'weight'}"


def _is_attention(path: Place) -> bool:
  """Whether a kernel is stored as that of a convolution along one axis, of length 1."""
  return path[-2] in ("qkv", "proj_out")


def _torch_shape(path: Place, shape: tuple[int, ...]) -> tuple[int, ...]:
  """Shape in the file: outputs before inputs, both before the places of a convolution."""
  if path[-1] != "kernel":
    return shape
  return (shape[-1], shape[-2], *shape[:-2], *((1,) if _is_attention(path) else ()))


def _from_torch(path: Place, values: np.ndarray) -> np.ndarray:
  """A tensor of the file in the network's order of axes."""
  if path[-1] != "kernel":
    return values
  if _is_attention(path):
    values = values[:, :, 0]
  return values.transpose(2, 3, 1, 0) if values.ndim == 4 else values.T


def expected_tensors(config: UNetConfig) -> Shapes:
  """Names and shapes of the tensors in a file of a network of this structure.

  Args:
    config: structure of the network.

  Returns:
    Shapes by name, as torch has them: `[out, in, height, width]`.
  """
  return {_torch_name(path): _torch_shape(path, shape) for path, shape in _parameters(config).items()}


def inferred_structure(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
  """What the tensors of a file say about the network's structure.

  Args:
    shapes: of the file's tensors by name.

  Returns:
    The fields `width`, `channel_mult`, `num_res_blocks`, `attention_levels` and `num_classes` of a
    :class:`fedrecjax.vision.unet.UNetConfig`.

  Raises:
    DataError: if this is no such network, or one without learned variance or with resampling outside of residual
      blocks.
  """
  for name in ("input_blocks.0.0.weight", "out.2.weight"):
    if len(shapes.get(name, ())) != 4:
      raise DataError(f"no network of guided diffusion: {name} is missing or no convolution")
  if any(re.fullmatch(r"input_blocks\.\d+\.0\.op\..*|output_blocks\.\d+\.\d\.conv\..*", name) for name in shapes):
    raise DataError("resamples outside of residual blocks; networks with resblock_updown are read")
  outputs = shapes["out.2.weight"][0]
  if outputs != 2 * COLORS:
    raise DataError(f"has {outputs} output channels, {2 * COLORS} are expected: noise and learned variance")

  last_convolution = r"{}\.(\d+)\.{}\.out_layers\.3\.weight"
  down = _numbered(last_convolution.format("input_blocks", "0"), shapes)
  up = _numbered(last_convolution.format("output_blocks", "[12]"), shapes)
  levels, blocks = len(up) + 1, len(down) + 1
  if not down or blocks % levels or blocks == levels:
    raise DataError(f"no network of guided diffusion: {blocks} blocks on the way down, {levels} levels")
  per_level = blocks // levels
  width = shapes["input_blocks.0.0.weight"][0]
  first = [1 + level * per_level for level in range(levels)]
  channels = [down[block][0] if len(down.get(block, ())) == 4 else 0 for block in first]
  if 0 in (width, *channels) or any(size % width for size in channels):
    raise DataError(f"no network of guided diffusion: channels {channels} are no multiples of {width}")
  labels = shapes.get("label_emb.weight")
  return {
    "width": width,
    "channel_mult": tuple(size // width for size in channels),
    "num_res_blocks": per_level - 1,
    "attention_levels": tuple(
      level for level, block in enumerate(first) if f"input_blocks.{block}.1.qkv.weight" in shapes
    ),
    "num_classes": labels[0] if labels else None,
  }


def _numbered(pattern: str, shapes: Mapping[str, tuple[int, ...]]) -> dict[int, tuple[int, ...]]:
  """Shapes of the tensors whose whole name matches, by the number in it."""
  matches = ((re.fullmatch(pattern, name), shape) for name, shape in shapes.items())
  return {int(match[1]): shape for match, shape in matches if match}


def _some(names: Iterable[str]) -> str:
  """The first few of many names, and how many there are beyond."""
  names = list(names)
  beyond = len(names) - NAMED_IN_ERRORS
  return ", ".join(names[:NAMED_IN_ERRORS]) + (f" and {beyond} more" if beyond > 0 else "")


def convert(tensors: Mapping[str, np.ndarray], config: UNetConfig) -> Checkpoint:
  """Parameters of a network from the tensors of a checkpoint.

  Args:
    tensors: by name, as :func:`fedrecjax.vision.torch_file.read_torch_file` returns them; of any floating type.
    config: expected structure. `num_classes` is the file's, whatever it is here.

  Returns:
    The structure and the parameters.

  Raises:
    DataError: if the structure is another, or a tensor is missing, unexpected, of another shape, or not of floating
      numbers.
  """
  shapes = {name: values.shape for name, values in tensors.items()}
  found = inferred_structure(shapes)
  config = dataclasses.replace(config, num_classes=found["num_classes"])
  for field, value in found.items():
    if value != getattr(config, field):
      raise DataError(f"has {field} {value}, {getattr(config, field)} is expected")
  parameters = _parameters(config)
  names = {path: _torch_name(path) for path in parameters}
  expected = {names[path]: _torch_shape(path, shape) for path, shape in parameters.items()}
  problems = {
    "missing": [name for name in expected if name not in shapes],
    "unexpected": [name for name in shapes if name not in expected],
    "of another shape": [
      f"{name} {list(shapes[name])} for {list(shape)}"
      for name, shape in expected.items()
      if shapes.get(name, shape) != shape
    ],
    "not of floating numbers": [
      name for name in expected if name in tensors and not jnp.issubdtype(tensors[name].dtype, jnp.floating)
    ],
  }
  if any(problems.values()):
    raise DataError("; ".join(f"{problem}: {_some(where)}" for problem, where in problems.items() if where))
  converted = {path: jnp.asarray(_from_torch(path, tensors[name]), jnp.float32) for path, name in names.items()}
  return Checkpoint(config, traverse_util.unflatten_dict(converted))


def load_guided_diffusion(path: str | Path, config: UNetConfig) -> Checkpoint:
  """A published network from its file.

  The file that the GDMPD paper links, `256x256_diffusion.pt`, is that of a network that is told an image's class; the
  unconditional one is `256x256_diffusion_uncond.pt`. Both have the structure `PUBLISHED_256`, but for the classes.

  Args:
    path: a `.pt` file.
    config: expected structure. `num_classes` is the file's, whatever it is here; head width, order of attention and
      dropout cannot be seen in the file and are taken on trust.

  Returns:
    The structure and the parameters, float32; bind them with :func:`fedrecjax.vision.unet.denoiser_of`.

  Raises:
    DataError: if the file cannot be read or is that of another network.
  """
  tensors = read_torch_file(path)
  try:
    return convert(tensors, config)
  except DataError as error:
    raise DataError(f"{path}: {error}") from error
