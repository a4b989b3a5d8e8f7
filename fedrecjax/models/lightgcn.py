"""LightGCN on the graph that a client has: itself and its own items."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from fedrecjax.methods.hyperparameters import check, traced
from fedrecjax.models.ncf import PairTower
from fedrecjax.models.registry import MODELS
from fedrecjax.types import Model, Public


class Propagated(NamedTuple):
  """What propagation over a star makes of the user in its centre and adds to its items.

  Attributes:
    user: final user vector `[d]`.
    shift: what the user's own items gain `[d]`.
  """

  user: jax.Array
  shift: jax.Array


def propagate(private: jax.Array, average: jax.Array, count: jax.Array, layers: int) -> Propagated:
  """Adds up all layers of LightGCN on a star of one user and `count` items, where propagation repeats itself.

  The normalised sum of the items is n^(1/2) times their average. From the second layer on the user's vector is its
  own of two layers before; the items' vectors change between n^(-1/2) times the user's and that normalised sum.

  Args:
    private: the user's own vector `[d]`.
    average: of its items' rows `[d]`.
    count: number of items n.
    layers: L.

  Returns:
    Sums over layers 0 to L; an item's own row is not part of its shift.
  """
  root = jnp.sqrt(count.astype(private.dtype))
  items = root * average
  back = jnp.where(count > 0, 1 / jnp.where(count > 0, root, 1.0), 0.0)
  even, odd = layers // 2 + 1, (layers + 1) // 2
  # Without items nothing comes back: all layers of the user but the first are zero.
  own = jnp.where(count > 0, even, 1) * private
  return Propagated(own + odd * items, back * (odd * private + (even - 1) * items))


@MODELS.register
@traced
def lightgcn(
  *,
  dim: int = 32,
  layers: int = 1,
  combine: Literal["sum", "mean"] = "sum",
  head: Literal["mlp", "dot"] = "mlp",
  hidden: tuple[int, ...] = (32, 16),
  init_std: float = 0.01,
) -> Model:
  """LightGCN on each client's local graph, with a shared network or a dot product on top.

  A client knows no edges but its own, so that every item has one neighbour. Items outside its list have no edge and
  keep their rows; training positives have one, which candidates in an evaluation never have.

  Args:
    dim: embedding size d; 32 is PSMU's.
    layers: L; 1 is PSMU's.
    combine: "sum" over the layers (PSMU Eq. 6) or their "mean" (its authors' other code).
    head: "mlp" scores final vectors by a shared network as NCF does (PSMU), "dot" by their inner product (He et al.).
    hidden: for "mlp": widths of the hidden layers; 32+16 is PSMU's.
    init_std: standard deviation of the normal initialisation of users and items.

  Returns:
    A model whose user vector is made from the client's own and its items' rows.

  Raises:
    ValueError: if a number is out of its range.

  References:
    He et al., "LightGCN", 2020; Yuan et al., "Robust Federated Contrastive Recommender System / PSMU", Eq. 5 and 6.
  """
  check(dim > 0, f"lightgcn.dim must be positive, got {dim}")
  check(layers >= 0, f"lightgcn.layers must not be negative, got {layers}")
  check(len(hidden) > 0 and min(hidden) > 0, f"lightgcn.hidden must be positive widths, at least one, got {hidden}")
  check(init_std > 0, f"lightgcn.init_std must be positive, got {init_std}")
  tower = PairTower(hidden)
  scale = 1.0 if combine == "sum" else 1 / (layers + 1)

  def init_public(key: jax.Array, num_items: int) -> Public:
    for_items, for_tower = jax.random.split(key)
    shared: Any = ()
    if head == "mlp":
      shared = tower.init(for_tower, jnp.zeros(dim, jnp.float32), jnp.zeros(dim, jnp.float32))["params"]
    return Public(init_std * jax.random.normal(for_items, (num_items, dim), jnp.float32), shared)

  def init_private(key: jax.Array) -> jax.Array:
    return init_std * jax.random.normal(key, (dim,), jnp.float32)

  def attend(private: jax.Array, row: jax.Array, shared: Any) -> tuple[jax.Array, jax.Array]:
    del private, shared
    return jnp.zeros((), jnp.float32), row

  def represent(private: jax.Array, average: jax.Array, count: jax.Array, shared: Any) -> jax.Array:
    del shared
    return jnp.concatenate(propagate(private, average, count, layers))

  def logits(user: jax.Array, rows: jax.Array, shared: Any) -> jax.Array:
    vector, rows = scale * user[:dim], scale * rows
    return jnp.asarray(tower.apply({"params": shared}, vector, rows)) if head == "mlp" else rows @ vector

  def score_own(user: jax.Array, row: jax.Array, shared: Any) -> jax.Array:
    return logits(user, row + user[dim:], shared)

  def score(public: Public, user: jax.Array, items: jax.Array | None) -> jax.Array:
    return logits(user, public.items if items is None else public.items[items], public.shared)

  def score_vector(user: jax.Array, shared: Any) -> jax.Array:
    del shared
    return scale * scale * user[:dim]

  return Model(
    init_public, init_private, score, logits, score_own, attend, represent, width=max(hidden) if head == "mlp" else 1,
    score_vector=score_vector if head == "dot" else None,
  )
