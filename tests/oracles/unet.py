"""The network of guided diffusion in NumPy, image axes as in torch, for one image at a time.

It is given as a plan: a list of blocks, each a list of parts. Parts read their tensors by the names
of the published checkpoints.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

Tensors = dict[str, np.ndarray]


class Part(NamedTuple):
  """One part of a block: "stem", "res" or "attention", with the channels it takes and gives."""

  kind: str
  taken: int
  given: int
  resample: str = ""


class Plan(NamedTuple):
  """Blocks on the way down, in the middle and on the way up."""

  down: list[list[Part]]
  middle: list[Part]
  up: list[list[Part]]


def plan(width: int, multiples: Sequence[int], per_level: int, attends: Sequence[int]) -> Plan:
  """Levels follow each other down and up again; each block down leaves its output for one block up."""
  channels = width
  down, left = [[Part("stem", 3, width)]], [width]
  for level, multiple in enumerate(multiples):
    given = width * multiple
    for _ in range(per_level):
      parts = [Part("res", channels, given)]
      if level in attends:
        parts.append(Part("attention", given, given))
      channels = given
      down.append(parts)
      left.append(channels)
    if level + 1 < len(multiples):
      down.append([Part("res", channels, channels, "down")])
      left.append(channels)
  middle = [Part("res", channels, channels), Part("attention", channels, channels), Part("res", channels, channels)]
  up = []
  for level in range(len(multiples) - 1, -1, -1):
    given = width * multiples[level]
    for place in range(per_level + 1):
      parts = [Part("res", channels + left.pop(), given)]
      channels = given
      if level in attends:
        parts.append(Part("attention", given, given))
      if level > 0 and place == per_level:
        parts.append(Part("res", given, given, "up"))
      up.append(parts)
  assert not left
  return Plan(down, middle, up)


def tensors_of(part: Part, name: str, embedding: int) -> dict[str, tuple[int, ...]]:
  """Names and shapes of a part's tensors, in the order of the file."""
  taken, given = part.taken, part.given
  layers: dict[str, tuple[int, ...]]
  if part.kind == "stem":
    layers = {"": (given, taken, 3, 3)}
  elif part.kind == "attention":
    layers = {".norm": (given,), ".qkv": (3 * given, given, 1), ".proj_out": (given, given, 1)}
  else:
    layers = {
      ".in_layers.0": (taken,),
      ".in_layers.2": (given, taken, 3, 3),
      ".emb_layers.1": (2 * given, embedding),
      ".out_layers.0": (given,),
      ".out_layers.3": (given, given, 3, 3),
    }
    if taken != given:
      layers[".skip_connection"] = (given, taken, 1, 1)
  return {
    f"{name}{layer}.{kind}": shape if kind == "weight" else shape[:1]
    for layer, shape in layers.items()
    for kind in ("weight", "bias")
  }


def named_parts(layout: Plan) -> list[tuple[str, Part]]:
  """All parts with their names, in the order of the file."""
  named = [(f"input_blocks.{i}.{k}", part) for i, parts in enumerate(layout.down) for k, part in enumerate(parts)]
  named += [(f"middle_block.{k}", part) for k, part in enumerate(layout.middle)]
  named += [(f"output_blocks.{i}.{k}", part) for i, parts in enumerate(layout.up) for k, part in enumerate(parts)]
  return named


def file_shapes(layout: Plan, classes: int | None = None) -> dict[str, tuple[int, ...]]:
  """Names and shapes of all tensors, in the order of the file."""
  width = layout.down[0][0].given
  embedding = 4 * width
  shapes: dict[str, tuple[int, ...]] = {
    "time_embed.0.weight": (embedding, width),
    "time_embed.0.bias": (embedding,),
    "time_embed.2.weight": (embedding, embedding),
    "time_embed.2.bias": (embedding,),
  }
  if classes is not None:
    shapes["label_emb.weight"] = (classes, embedding)
  for name, part in named_parts(layout):
    shapes |= tensors_of(part, name, embedding)
  out = {"out.0.weight": (width,), "out.0.bias": (width,), "out.2.weight": (6, width, 3, 3), "out.2.bias": (6,)}
  return shapes | out


def silu(values: np.ndarray) -> np.ndarray:
  return values / (1 + np.exp(-values))


def linear(tensors: Tensors, name: str, values: np.ndarray) -> np.ndarray:
  return tensors[f"{name}.weight"] @ values + tensors[f"{name}.bias"]


def convolve(tensors: Tensors, name: str, image: np.ndarray) -> np.ndarray:
  """`image` `[I, H, W]`; zeros around it so that its size stays."""
  weight, bias = tensors[f"{name}.weight"], tensors[f"{name}.bias"]
  around = weight.shape[-1] // 2
  height, width = image.shape[1:]
  padded = np.pad(image, ((0, 0), (around, around), (around, around)))
  result = np.zeros((len(weight), height, width)) + bias[:, None, None]
  for row in range(weight.shape[2]):
    for column in range(weight.shape[3]):
      window = padded[:, row : row + height, column : column + width]
      result += np.tensordot(weight[:, :, row, column], window, axes=1)
  return result


def group_norm(tensors: Tensors, name: str, image: np.ndarray) -> np.ndarray:
  """32 groups of neighbouring channels."""
  result = np.empty(image.shape)
  size = len(image) // 32
  for first in range(0, len(image), size):
    group = image[first : first + size]
    result[first : first + size] = (group - group.mean()) / np.sqrt(group.var() + 1e-5)
  return result * tensors[f"{name}.weight"][:, None, None] + tensors[f"{name}.bias"][:, None, None]


def half(image: np.ndarray) -> np.ndarray:
  return (image[:, ::2, ::2] + image[:, 1::2, ::2] + image[:, ::2, 1::2] + image[:, 1::2, 1::2]) / 4


def double(image: np.ndarray) -> np.ndarray:
  return image.repeat(2, axis=1).repeat(2, axis=2)


def residual(tensors: Tensors, name: str, part: Part, image: np.ndarray, embedding: np.ndarray) -> np.ndarray:
  resample = {"": lambda same: same, "down": half, "up": double}[part.resample]
  inner = resample(silu(group_norm(tensors, f"{name}.in_layers.0", image)))
  image = resample(image)
  inner = convolve(tensors, f"{name}.in_layers.2", inner)
  change = linear(tensors, f"{name}.emb_layers.1", silu(embedding))[:, None, None]
  scale, shift = change[: part.given], change[part.given :]
  inner = group_norm(tensors, f"{name}.out_layers.0", inner) * (1 + scale) + shift
  inner = convolve(tensors, f"{name}.out_layers.3", silu(inner))
  if part.taken != part.given:
    image = convolve(tensors, f"{name}.skip_connection", image)
  return image + inner


def attention(tensors: Tensors, name: str, image: np.ndarray, head_width: int, new_order: bool) -> np.ndarray:
  channels, heads = len(image), len(image) // head_width
  flat = group_norm(tensors, f"{name}.norm", image).reshape(channels, -1)
  mixed = tensors[f"{name}.qkv.weight"][:, :, 0] @ flat + tensors[f"{name}.qkv.bias"][:, None]
  attended = []
  for head in range(heads):
    if new_order:
      starts = [kind * channels + head * head_width for kind in range(3)]
    else:
      starts = [(3 * head + kind) * head_width for kind in range(3)]
    query, key, value = (mixed[start : start + head_width] for start in starts)
    weights = np.exp(query.T @ key / np.sqrt(head_width))
    attended.append(value @ (weights / weights.sum(axis=1, keepdims=True)).T)
  projected = tensors[f"{name}.proj_out.weight"][:, :, 0] @ np.concatenate(attended)
  return image + (projected + tensors[f"{name}.proj_out.bias"][:, None]).reshape(image.shape)


def embed_timestep(timestep: float, width: int) -> np.ndarray:
  frequencies = [10_000 ** (-place / (width // 2)) for place in range(width // 2)]
  return np.array([np.cos(timestep * one) for one in frequencies] + [np.sin(timestep * one) for one in frequencies])


def forward(
  tensors: Tensors,
  layout: Plan,
  image: np.ndarray,
  timestep: float,
  *,
  head_width: int,
  new_order: bool = False,
  label: int | None = None,
) -> np.ndarray:
  """`[3, H, W] -> [6, H, W]`."""
  tensors = {name: values.astype(np.float64) for name, values in tensors.items()}
  embedding = linear(tensors, "time_embed.0", embed_timestep(timestep, layout.down[0][0].given))
  embedding = linear(tensors, "time_embed.2", silu(embedding))
  if label is not None:
    embedding = embedding + tensors["label_emb.weight"][label]

  def run(name: str, parts: list[Part], signal: np.ndarray) -> np.ndarray:
    for place, part in enumerate(parts):
      full = f"{name}.{place}"
      if part.kind == "stem":
        signal = convolve(tensors, full, signal)
      elif part.kind == "attention":
        signal = attention(tensors, full, signal, head_width, new_order)
      else:
        signal = residual(tensors, full, part, signal, embedding)
    return signal

  signal, aside = image.astype(np.float64), []
  for block, parts in enumerate(layout.down):
    signal = run(f"input_blocks.{block}", parts, signal)
    aside.append(signal)
  signal = run("middle_block", layout.middle, signal)
  for block, parts in enumerate(layout.up):
    signal = run(f"output_blocks.{block}", parts, np.concatenate([signal, aside.pop()]))
  return convolve(tensors, "out.2", silu(group_norm(tensors, "out.0", signal)))
