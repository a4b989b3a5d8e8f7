"""Matrix factorisation: a private user vector, public item vectors, the dot product between them."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from fedrecjax.methods.hyperparameters import check, traced
from fedrecjax.models.registry import MODELS
from fedrecjax.types import Model, Public


@MODELS.register
@traced
def mf(*, dim: int = 32, init_std: float = 0.01) -> Model:
  """Matrix factorisation with the dot product as interaction function.

  Args:
    dim: embedding size d.
    init_std: standard deviation of the normal initialisation of users and items.

  Returns:
    A model whose logit is `user . item`.

  Raises:
    ValueError: if `dim` or `init_std` is not positive.

  References:
    Zhang et al., "Preventing the Popular Item Embedding Based Attack in Federated Recommendations", 2024, III-A;
    d = 32 and the initialisation are those of the published code (docs/fidelity.md).
  """
  check(dim > 0, f"mf.dim must be positive, got {dim}")
  check(init_std > 0, f"mf.init_std must be positive, got {init_std}")

  def init_public(key: jax.Array, num_items: int) -> Public:
    return Public(items=init_std * jax.random.normal(key, (num_items, dim), jnp.float32), shared=())

  def init_private(key: jax.Array) -> jax.Array:
    return init_std * jax.random.normal(key, (dim,), jnp.float32)

  def score_row(user: jax.Array, row: jax.Array, shared: Any) -> jax.Array:
    del shared
    return jnp.dot(user, row)

  def score(public: Public, user: jax.Array, items: jax.Array | None) -> jax.Array:
    return (public.items if items is None else public.items[items]) @ user

  def score_vector(user: jax.Array, shared: Any) -> jax.Array:
    del shared
    return user

  return Model(init_public, init_private, score, score_row, score_vector=score_vector)
