"""Neural collaborative filtering: a small network on user and item vectors, shared by all clients."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from fedrecjax.methods.hyperparameters import check, traced
from fedrecjax.models.registry import MODELS
from fedrecjax.types import Model, Public


def rectifier_uniform(key: jax.Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> jax.Array:
  """Kaiming-uniform weights for rectifiers: uniform between +-sqrt(6 / inputs); `shape` is (inputs, outputs)."""
  bound = (6 / shape[0]) ** 0.5
  return jax.random.uniform(key, shape, dtype, -bound, bound)


class PairTower(nn.Module):
  """The network on a pair of vectors: hidden layers with rectifiers, then one output.

  Attributes:
    hidden: widths of the hidden layers.
    elementwise: how many of the last numbers of both vectors are multiplied elementwise and enter the output layer
      directly (the branch of generalised matrix factorisation); the others enter the first hidden layer.
  """

  hidden: tuple[int, ...]
  elementwise: int = 0

  @nn.compact
  def __call__(self, user: jax.Array, row: jax.Array) -> jax.Array:
    """Logits of pairs.

    Args:
      user: `[r]`.
      row: `[..., d]`; of several items the user's part is computed once.

    Returns:
      `[...]`.
    """
    deep_user, deep_row = (vector[..., : vector.shape[-1] - self.elementwise] for vector in (user, row))
    width = deep_user.shape[-1]
    kernel = self.param("kernel", rectifier_uniform, (width + deep_row.shape[-1], self.hidden[0]))
    bias = self.param("bias", nn.initializers.zeros_init(), (self.hidden[0],), jnp.float32)
    signal = nn.relu(deep_user @ kernel[:width] + deep_row @ kernel[width:] + bias)
    for size in self.hidden[1:]:
      signal = nn.relu(nn.Dense(size, kernel_init=rectifier_uniform)(signal))
    if self.elementwise:
      product = user[..., -self.elementwise :] * row[..., -self.elementwise :]
      signal = jnp.concatenate([signal, product], axis=-1)
    return nn.Dense(1, kernel_init=rectifier_uniform, name="output")(signal)[..., 0]


@MODELS.register
@traced
def ncf(
  *, dim: int = 8, hidden: tuple[int, ...] = (8, 8), gmf: bool = False, init_std: float = 0.01
) -> Model:
  """Neural collaborative filtering: the logit is a network's output on the user's and the item's vector.

  Args:
    dim: embedding size d; 8 is A-hum's and PIECK's, 32 PSMU's.
    hidden: widths of the hidden layers; 8+8 is A-hum's and PIECK's, 32+16 PSMU's.
    gmf: whether to add the branch of generalised matrix factorisation, with d further numbers in each vector.
    init_std: standard deviation of the normal initialisation of users and items.

  Returns:
    A model whose network is shared: weights Kaiming-uniform, biases zero.

  Raises:
    ValueError: if `dim`, `init_std` or a width is not positive, or there is no hidden layer.

  References:
    He et al., "Neural Collaborative Filtering", 2017; sizes and initialisation as in the published code of Rong et
    al., "Poisoning Deep Learning Based Recommender Model in Federated Learning Scenarios", 2022, and of PIECK.
  """
  check(dim > 0, f"ncf.dim must be positive, got {dim}")
  check(len(hidden) > 0 and min(hidden) > 0, f"ncf.hidden must be positive widths, at least one, got {hidden}")
  check(init_std > 0, f"ncf.init_std must be positive, got {init_std}")
  size = 2 * dim if gmf else dim
  tower = PairTower(hidden, dim if gmf else 0)

  def init_public(key: jax.Array, num_items: int) -> Public:
    for_items, for_tower = jax.random.split(key)
    shared = tower.init(for_tower, jnp.zeros(size, jnp.float32), jnp.zeros(size, jnp.float32))["params"]
    return Public(init_std * jax.random.normal(for_items, (num_items, size), jnp.float32), shared)

  def init_private(key: jax.Array) -> jax.Array:
    return init_std * jax.random.normal(key, (size,), jnp.float32)

  def score_row(user: jax.Array, row: jax.Array, shared: Any) -> jax.Array:
    return jnp.asarray(tower.apply({"params": shared}, user, row))

  def score(public: Public, user: jax.Array, items: jax.Array | None) -> jax.Array:
    return score_row(user, public.items if items is None else public.items[items], public.shared)

  return Model(init_public, init_private, score, score_row, width=max(hidden))
