"""SASRec: a causal Transformer over a user's items in order, without a vector of the user's own."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from fedrecjax.methods.hyperparameters import check, traced
from fedrecjax.models.registry import MODELS
from fedrecjax.types import Model, Public


class Drop(nn.Module):
  """Dropout whose rate may be traced; nothing is left out where the rate is None."""

  @nn.compact
  def __call__(self, values: jax.Array, rate: jax.Array | float | None) -> jax.Array:
    """Values of the same shape, those that stay scaled by 1 / (1 - rate)."""
    if rate is None:
      return values
    kept = jax.random.bernoulli(self.make_rng("dropout"), 1 - rate, values.shape)
    return jnp.where(kept, values / (1 - rate), 0.0)


class Block(nn.Module):
  """Self-attention over what came before, then a network at each place; both with a residual.

  Attributes:
    heads: attention heads.
  """

  heads: int

  @nn.compact
  def __call__(self, sequence: jax.Array, valid: jax.Array, rate: jax.Array | float | None) -> jax.Array:
    """`[L, d] -> [L, d]`; places that are not `valid` `[L]` are seen by nobody but themselves."""
    length, dim = sequence.shape
    shape = (self.heads, dim // self.heads)
    asking = nn.LayerNorm()(sequence)
    query = nn.DenseGeneral(shape, name="query")(asking)
    key, value = (nn.DenseGeneral(shape, name=name)(sequence) for name in ("key", "value"))
    seen = jnp.tril(jnp.ones((length, length), bool)) & (valid | jnp.eye(length, dtype=bool))
    scores = jnp.einsum("lhe,mhe->hlm", query, key) / shape[1] ** 0.5
    weights = Drop()(nn.softmax(jnp.where(seen, scores, -jnp.inf)), rate)
    sequence = asking + jnp.einsum("hlm,mhe->lhe", weights, value).reshape(length, dim)
    inner = nn.LayerNorm()(sequence)
    change = Drop()(nn.relu(nn.Dense(dim)(inner)), rate)
    return inner + Drop()(nn.Dense(dim)(change), rate)


class Encoder(nn.Module):
  """The Transformer.

  Attributes:
    blocks: number of blocks.
    heads: attention heads.
  """

  blocks: int
  heads: int

  @nn.compact
  def __call__(self, rows: jax.Array, valid: jax.Array, rate: jax.Array | float | None) -> jax.Array:
    """User vectors `[L, d]` after each of the items whose rows are given; dropout unless `rate` is None."""
    length, dim = rows.shape
    place = self.param("position", nn.initializers.normal(0.01), (length, dim), jnp.float32)
    sequence = Drop()(rows * dim**0.5 + place, rate)
    for _ in range(self.blocks):
      sequence = Block(self.heads)(sequence * valid[:, None], valid, rate)
    return nn.LayerNorm()(sequence)


@MODELS.register
@traced
def sasrec(
  *,
  dim: int = 64,
  length: int = 200,
  blocks: int = 2,
  heads: int = 1,
  dropout: float = 0.2,
  init_std: float = 0.01,
) -> Model:
  """Self-attentive sequential recommendation: the next item from those before it.

  Each of a client's items but the first is a sample, scored for the items before it; the client's loss is over at
  most `length` of them, the latest.

  Args:
    dim: embedding size d; 64 is ClusterAttack's.
    length: items of a history that are read, L; ClusterAttack has 200 on ML-1M and 100 on Gowalla.
    blocks: of self-attention and feed-forward network; 2 as in the original.
    heads: attention heads; 1 as in the original.
    dropout: share of numbers left out inside the Transformer; 0.2 is ClusterAttack's.
    init_std: standard deviation of the normal initialisation of items.

  Returns:
    A model without private vectors: the Transformer is shared, a user is what it has interacted with.

  Raises:
    ValueError: if a number is out of its range.

  References:
    Kang and McAuley, "Self-Attentive Sequential Recommendation", 2018; sizes as in Yu et al., "Untargeted Attack
    against Federated Recommendation Systems via Poisonous Item Embeddings and the Defense", AAAI 2023.
  """
  check(dim > 0, f"sasrec.dim must be positive, got {dim}")
  check(length > 0, f"sasrec.length must be positive, got {length}")
  check(blocks > 0, f"sasrec.blocks must be positive, got {blocks}")
  check(heads > 0 and dim % heads == 0, f"sasrec.heads must divide sasrec.dim, got {heads}")
  check((dropout >= 0) & (dropout < 1), f"sasrec.dropout must be at least 0 and below 1, got {dropout}")
  check(init_std > 0, f"sasrec.init_std must be positive, got {init_std}")
  encoder = Encoder(blocks, heads)

  def init_public(key: jax.Array, num_items: int) -> Public:
    for_items, for_encoder = jax.random.split(key)
    shared = encoder.init(
      for_encoder, jnp.zeros((length, dim), jnp.float32), jnp.ones(length, bool), None
    )["params"]
    return Public(init_std * jax.random.normal(for_items, (num_items, dim), jnp.float32), shared)

  def init_private(key: jax.Array) -> jax.Array:
    del key
    return jnp.zeros(0, jnp.float32)

  def encode(rows: jax.Array, valid: jax.Array, shared: Any, key: jax.Array | None) -> jax.Array:
    if key is None:
      return jnp.asarray(encoder.apply({"params": shared}, rows, valid, None))
    return jnp.asarray(encoder.apply({"params": shared}, rows, valid, dropout, rngs={"dropout": key}))

  def score_row(user: jax.Array, row: jax.Array, shared: Any) -> jax.Array:
    del shared
    return row @ user

  def score(public: Public, user: jax.Array, items: jax.Array | None) -> jax.Array:
    return (public.items if items is None else public.items[items]) @ user

  def score_vector(user: jax.Array, shared: Any) -> jax.Array:
    del shared
    return user

  return Model(init_public, init_private, score, score_row, encode=encode, history=length, score_vector=score_vector)
