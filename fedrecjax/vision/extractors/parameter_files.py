"""Parameters in files: trees of arrays to and from archives, and the check that a file holds what it must."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

Shape = tuple[int, ...]


def write_parameters(path: pathlib.Path, tree: Mapping[str, Any]) -> None:
  """Writes a tree of arrays to a NumPy archive, with names joined by `/`.

  The file is written under another name and renamed, so that it is whole or not there.

  Args:
    path: the file, `.npz`.
    tree: dicts of dicts of arrays.
  """
  arrays: dict[str, Any] = {name: np.asarray(array) for name, array in _flat(tree).items()}
  partial = path.with_name(f"{path.name}.{os.getpid()}.part")
  with partial.open("wb") as file:
    np.savez(file, **arrays)
  partial.replace(path)


def nested(
  arrays: Mapping[str, np.ndarray], shapes: Mapping[str, Shape], types: Mapping[str, np.dtype], *, where: str
) -> dict[str, Any]:
  """Inverse of :func:`write_parameters`, of arrays that must be as stated.

  Args:
    arrays: by name.
    shapes: of every array that must be there, and of no other.
    types: of every array.
    where: what the file is called in errors.

  Returns:
    Dicts of dicts of JAX arrays.

  Raises:
    ValueError: if an array is missing, superfluous, or of another shape or type.
  """
  check_arrays(arrays, shapes, where=where)
  tree: dict[str, Any] = {}
  for key, array in arrays.items():
    if array.dtype != types[key]:
      raise ValueError(f"{where}: {key} is of type {array.dtype}, expected {types[key]}")
    *parents, name = key.split("/")
    node = tree
    for parent in parents:
      node = node.setdefault(parent, {})
    node[name] = jnp.asarray(array)
  return tree


def check_arrays(
  arrays: Mapping[str, np.ndarray], shapes: Mapping[str, Shape], *, where: str, optional: frozenset[str] = frozenset()
) -> None:
  """Checks that a file holds exactly the arrays that it must.

  Args:
    arrays: by name.
    shapes: of every array that may be there; -1 stands for any length.
    where: what the file is called in errors.
    optional: names that may be missing.

  Raises:
    ValueError: naming the first array that is missing, superfluous, or of another shape.
  """
  for key, shape in shapes.items():
    if key not in arrays:
      if key in optional:
        continue
      raise ValueError(f"{where}: {key} is missing, expected {list(shape)}")
    found = arrays[key].shape
    if len(found) != len(shape) or any(want not in (-1, have) for want, have in zip(shape, found, strict=True)):
      raise ValueError(f"{where}: {key} has shape {list(found)}, expected {list(shape)}")
  superfluous = sorted(set(arrays) - set(shapes))
  if superfluous:
    raise ValueError(f"{where}: {superfluous[0]} is unknown, one of {len(superfluous)} arrays that are not expected")


def _flat(tree: Mapping[str, Any]) -> dict[str, Any]:
  leaves: dict[str, Any] = {}
  for name, node in tree.items():
    if isinstance(node, Mapping):
      leaves |= {f"{name}/{below}": leaf for below, leaf in _flat(node).items()}
    else:
      leaves[name] = node
  return leaves
