"""The optimisers of the server and of the clients: optax's, by name or brought along.

Each is a transformation of a gradient into a direction; a step goes against it, times a step size.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import jax
import jax.numpy as jnp
import optax

ServerOptimizer = Literal["sgd", "momentum", "adam", "lazy_adam", "adagrad", "yogi", "rmsprop"]
ClientOptimizer = Literal["sgd", "momentum", "adam", "adagrad", "yogi", "rmsprop", "adam_table"]


@dataclasses.dataclass(frozen=True)
class _Narrow:
  """The update of a transformation in 32 bits; equal where the transformations are.

  Optax leaves the types of its own scalars to JAX: where `jax_enable_x64` is set it would correct the first steps of
  Adam by numbers of 64 bits, and small gradients would go the other way.
  """

  transformation: optax.GradientTransformation

  def __call__(self, updates: Any, state: Any, params: Any = None, **extra: Any) -> tuple[Any, Any]:
    with jax.enable_x64(False):
      return optax.with_extra_args_support(self.transformation).update(updates, state, params, **extra)


def in_32_bits(transformation: optax.GradientTransformation) -> optax.GradientTransformationExtraArgs:
  """The same transformation whatever `jax_enable_x64` says."""
  return optax.GradientTransformationExtraArgs(transformation.init, _Narrow(transformation))


def lazy(transformation: optax.GradientTransformation) -> optax.GradientTransformationExtraArgs:
  """A transformation that leaves untouched parameters, and what it remembers of them, alone.

  What it remembers beside parameters, such as a count of steps, always moves on.

  Args:
    transformation: works on every number by itself.

  Returns:
    A transformation whose `update` takes `touched`: bool arrays in a tree like the parameters', each of a shape that
    broadcasts to theirs; without it all are touched.

  >>> optimizer = lazy(optax.trace(0.5))
  >>> state = optimizer.init(jnp.zeros(2))
  >>> for touched in ([True, True], [True, False], [True, True]):
  ...   direction, state = optimizer.update(jnp.ones(2), state, touched=jnp.array(touched))
  ...   print(direction)
  [1. 1.]
  [1.5 0. ]
  [1.75 1.5 ]
  """
  inner = optax.with_extra_args_support(transformation)

  def update(
    updates: Any, state: Any, params: Any = None, *, touched: Any = None, **extra: Any
  ) -> tuple[Any, Any]:
    moved, after = inner.update(updates, state, params, **extra)
    if touched is None:
      return moved, after
    settled = optax.tree_utils.tree_map_params(
      inner, lambda _, chosen: chosen, state, touched, transform_non_params=lambda _: True
    )
    still = jax.tree.map(jnp.zeros_like, moved)
    return jax.tree.map(jnp.where, touched, moved, still), jax.tree.map(jnp.where, settled, after, state)

  return optax.GradientTransformationExtraArgs(inner.init, update)


@dataclasses.dataclass(frozen=True)
class _Opposite:
  """The update of a transformation with its sign turned; equal where the transformations are."""

  transformation: optax.GradientTransformation

  def __call__(self, updates: Any, state: Any, params: Any = None, **extra: Any) -> tuple[Any, Any]:
    moved, state = in_32_bits(self.transformation).update(updates, state, params, **extra)
    return jax.tree.map(jnp.negative, moved), state


def as_direction(transformation: optax.GradientTransformation) -> optax.GradientTransformationExtraArgs:
  """A transformation whose updates are added, such as `optax.adamw(1e-2)`, as one whose directions are gone against.

  >>> optimizer = optax.sgd(0.5)
  >>> direction, _ = as_direction(optimizer).update(jnp.float32(3.0), optimizer.init(jnp.float32(0.0)))
  >>> float(direction), as_direction(optimizer) == as_direction(optimizer)
  (1.5, True)
  """
  return optax.GradientTransformationExtraArgs(transformation.init, _Opposite(transformation))


# With optax's constants by default, which docs/training.md lists; a decay of momentum has no default there.
OPTIMIZERS: dict[str, optax.GradientTransformationExtraArgs] = {
  name: in_32_bits(transformation)
  for name, transformation in {
    "sgd": optax.identity(),
    "momentum": optax.trace(0.9),
    "adam": optax.scale_by_adam(),
    "lazy_adam": lazy(optax.scale_by_adam()),
    "adam_table": optax.scale_by_adam(),
    "adagrad": optax.scale_by_rss(),
    "yogi": optax.scale_by_yogi(),
    "rmsprop": optax.scale_by_rms(),
  }.items()
}
DESCENT = OPTIMIZERS["sgd"]


def own_arrays(state: Any) -> Any:
  """An optimiser's state in arrays of its own: one that begins as the parameters themselves shares theirs.

  A compiled round takes the memory of parameters and state over, each once.
  """
  return jax.tree.map(jnp.array, state)
