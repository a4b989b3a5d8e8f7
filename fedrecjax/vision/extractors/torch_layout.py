"""From arrays named and laid out as torch has them to the parameters of Flax modules."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from fedrecjax.vision.extractors.parameter_files import Shape, check_arrays

Convert = Callable[[np.ndarray], np.ndarray]


class Entry(NamedTuple):
  """One array of a file and where it goes.

  Attributes:
    key: its name in the file.
    shape: its shape there; -1 stands for any length.
    place: names of nested dicts joined by `/`; empty where the array is not used.
    convert: from torch's layout to Flax's.
    optional: whether it may be missing.
  """

  key: str
  shape: Shape
  place: str = ""
  convert: Convert = np.asarray
  optional: bool = False


def converted(state: Mapping[str, np.ndarray], entries: Iterable[Entry], *, where: str) -> dict[str, Any]:
  """Converts a file's arrays, which must be exactly those that are stated.

  Args:
    state: arrays by name.
    entries: every array that may be there.
    where: what the file is called in errors.

  Returns:
    Dicts of dicts of float32 JAX arrays.

  Raises:
    ValueError: naming the first array that is missing, superfluous, of another shape, or not finite.
  """
  entries = tuple(entries)
  check_arrays(
    state, {entry.key: entry.shape for entry in entries}, where=where,
    optional=frozenset(entry.key for entry in entries if entry.optional),
  )
  tree: dict[str, Any] = {}
  for entry in entries:
    if not entry.place:
      continue
    array = np.asarray(state[entry.key], np.float32)
    if not np.isfinite(array).all():
      raise ValueError(f"{where}: {entry.key} holds numbers that are not finite")
    *parents, name = entry.place.split("/")
    node = tree
    for parent in parents:
      node = node.setdefault(parent, {})
    node[name] = jnp.asarray(entry.convert(array))
  return tree


def spatial(kernel: np.ndarray) -> np.ndarray:
  """Kernel of a convolution, `[out, in, k, k]` to `[k, k, in, out]`."""
  return kernel.transpose(2, 3, 1, 0)


def pointwise(kernel: np.ndarray) -> np.ndarray:
  """Kernel of a convolution of 1 x 1, `[out, in, 1, 1]` to that of a dense layer, `[in, out]`."""
  return kernel[:, :, 0, 0].T


def channelwise(kernel: np.ndarray) -> np.ndarray:
  """Kernel of a depthwise convolution, `[C, 1, k, k]` to `[k, k, C]`."""
  return kernel[:, 0].transpose(1, 2, 0)


def dense(kernel: np.ndarray) -> np.ndarray:
  """Kernel of a dense layer, `[out, in]` to `[in, out]`."""
  return kernel.T
