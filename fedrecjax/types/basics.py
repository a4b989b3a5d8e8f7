"""What all parts share: arrays, a method's state, and the public parameters."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

State = Any  # a pytree of arrays, private to the method that made it
Array = jax.Array


class Public(NamedTuple):
  """What the server holds and sends to every client of a round.

  Attributes:
    items: item embeddings, float32 `[M, d]`.
    shared: every other parameter, a pytree; `()` for models that have none.
  """

  items: Array
  shared: Any


def beside_features(public: Public, features: Array | None) -> Public:
  """The public part as a model's functions take it: every item's embedding followed by its visual feature.

  Args:
    public: what is trained, with items `[M, d]`.
    features: frozen visual features `[M, F]`; None for models that see no images.

  Returns:
    Items `[M, d + F]`, or the public part itself.
  """
  return public if features is None else public._replace(items=jnp.concatenate([public.items, features], axis=1))


def no_state(key: Array, context: Any) -> tuple[()]:
  """The `init` of a method without state."""
  del key, context
  return ()
