"""Whether an optimiser moves each item's row by itself, so that its step can be tried with a few rows alone."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax

from fedrecjax.numerics.optimizers import own_arrays
from fedrecjax.server.step import direction_of_all, direction_of_rows
from fedrecjax.types import Public

# Far apart and up to sizes that no gradient has, so that a bound on all rows together is exceeded by some of them.
_MAGNITUDES = np.array([1e9, 1e-6, 1.0, 0.0, 1e3, 1e6], np.float32)
_ROUNDS = 3
_TRIED = np.array([2, 1, 3])
_TOLERANCE = 1e-4


def steps_by_rows(transformation: optax.GradientTransformationExtraArgs, public: Public) -> bool:
  """Whether what an optimiser does to some rows alone is what it does to them among others, by trying it.

  Args:
    transformation: gradient to direction; any that optax takes.
    public: parameters as they begin. Six rows of random numbers stand in for its items, so that an optimiser that only
      fits the whole table fails.

  Returns:
    Whether directions agree in all of three rounds.

  Raises:
    Exception: any that the optimiser raises when it meets six rows or three.
  """
  random = np.random.default_rng(0)

  def draw(leaf: jax.Array) -> jax.Array:
    return jnp.asarray(random.standard_normal(leaf.shape), leaf.dtype)

  some = public._replace(items=draw(jnp.zeros((_MAGNITUDES.size, public.items.shape[1]), jnp.float32)))
  state = own_arrays(transformation.init(some))
  for _ in range(_ROUNDS):
    gradient = jax.tree.map(draw, some)
    gradient = gradient._replace(items=gradient.items * _MAGNITUDES[:, None])
    alone = direction_of_rows(transformation, state, some, jnp.asarray(_TRIED), gradient.items[_TRIED])
    touched = jnp.any(gradient.items != 0, axis=1)
    together, state = direction_of_all(transformation, state, some, gradient, touched)
    if not np.allclose(alone, together.items[_TRIED], rtol=_TOLERANCE, atol=0):
      return False
  return True
