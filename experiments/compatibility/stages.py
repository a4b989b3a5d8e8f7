"""Rounds whose methods are compiled one by one, so that many combinations of a few methods share their programs.

:func:`fedrecjax.simulation.round.train_rounds` is one program of everything, which takes seconds to compile for each
combination. Here each function of a method is a program of its own, and what lies between them runs as it is written.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from fedrecjax.simulation.records import Constants
from fedrecjax.types import ClientUpdates


@functools.partial(jax.jit, static_argnames=("tree", "static"))
def _call(arrays: list[Any], tree: Any, static: tuple[Any, ...]) -> Any:
  given = iter(arrays)
  leaves = [next(given) if one is None else one for one in static]
  function, arguments = jax.tree.unflatten(tree, leaves)
  return function(*arguments)


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
  """The same function as a program of its own; integers and functions in it are static as they are in a whole round."""

  def call(*arguments: Any) -> Any:
    leaves, tree = jax.tree.flatten((function, arguments))
    static = tuple(leaf if type(leaf) is int or callable(leaf) else None for leaf in leaves)
    arrays = [leaf for leaf, one in zip(leaves, static, strict=True) if one is None]
    return _call(arrays, tree, static)

  return call


def padded(uploads: ClientUpdates, places: int, num_items: int) -> ClientUpdates:
  """The same uploads with unused places behind them.

  Raises:
    ValueError: if there are more than that.
  """
  missing = places - uploads.item.shape[0]
  if missing < 0:
    raise ValueError(f"{uploads.item.shape[0]} places do not fit into {places}")
  return uploads._replace(
    client=jnp.pad(uploads.client, (0, missing)),
    item=jnp.pad(uploads.item, (0, missing), constant_values=num_items),
    row=jnp.pad(uploads.row, ((0, missing), (0, 0))),
  )


def in_stages(run: Constants, *, places: int, num_items: int) -> Constants:
  """The same run with every function of attack and defence compiled by itself.

  Args:
    run: what does not change in it.
    places: of an attack's uploads, the same for all attacks so that they share the programs of defences.
    num_items: M.
  """
  names = ("poison", "samples", "client_term", "client_transform", "filter", "aggregate")
  stages: dict[str, Any] = {name: getattr(run.parts, name) for name in names}
  stages = {name: None if function is None else compiled(function) for name, function in stages.items()}
  poison = stages["poison"]

  def with_places(*arguments: Any) -> Any:
    uploads, state = poison(*arguments)
    return padded(uploads, places, num_items), state

  if poison is not None:
    stages["poison"] = with_places
  return run._replace(parts=run.parts._replace(**stages))
