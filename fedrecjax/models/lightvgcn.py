"""Visually aware LightGCN on the graph that a client has: images take part in propagation and in scores."""

from __future__ import annotations

import functools
from typing import Literal

import jax
import jax.numpy as jnp

from fedrecjax.methods.hyperparameters import check, traced
from fedrecjax.models.lightgcn import propagate
from fedrecjax.models.ncf import PairTower
from fedrecjax.models.registry import MODELS
from fedrecjax.models.visual_rows import VisualParameters, init_visual, project_rows, with_visual_vector
from fedrecjax.types import Model, Public


@MODELS.register
@traced
def lightvgcn(
  *,
  dim: int = 32,
  layers: int = 1,
  combine: Literal["sum", "mean"] = "sum",
  hidden: tuple[int, ...] = (32, 16),
  num_features: int = 0,
  init_std: float = 0.01,
) -> Model:
  """LightGCN on each client's local graph, whose items bring their images along.

  What a user takes from an item is the sum of the item's vector and its visual vector; the network on top sees the
  user's and the item's final vectors and the visual vector. A client knows no edges but its own, as in
  :func:`fedrecjax.lightgcn`.

  Args:
    dim: size of user, item and visual vectors, d; 32 is the paper's.
    layers: L, 0 or 1; 1 is the paper's.
    combine: "sum" over the layers (Eq. 6) or their "mean" (the authors' other code).
    hidden: widths of the hidden layers behind the input of 3 d numbers; 32+16 is the paper's.
    num_features: numbers F of a visual feature; 0 stands for those of the run's images.
    init_std: standard deviation of the normal initialisation of users and items.

  Returns:
    A model whose user vector is made from the client's own and its items' rows and images.

  Raises:
    ValueError: if a number is out of its range.

  References:
    Yuan et al., "Manipulating Visually-aware Federated Recommender Systems and Its Countermeasures", 2023, Eq. 4 to 6.
  """
  check(dim > 0, f"lightvgcn.dim must be positive, got {dim}")
  check(layers in (0, 1), f"lightvgcn.layers must be 0 or 1, got {layers}")
  check(len(hidden) > 0 and min(hidden) > 0, f"lightvgcn.hidden must be positive widths, at least one, got {hidden}")
  check(num_features >= 0, f"lightvgcn.num_features must not be negative, got {num_features}")
  check(init_std > 0, f"lightvgcn.init_std must be positive, got {init_std}")
  tower = PairTower(hidden)
  scale = 1.0 if combine == "sum" else 1 / (layers + 1)

  def init_public(key: jax.Array, num_items: int) -> Public:
    return init_visual(tower, key, num_items, dim=dim, num_features=num_features, init_std=init_std)

  def init_private(key: jax.Array) -> jax.Array:
    return init_std * jax.random.normal(key, (dim,), jnp.float32)

  def attend(private: jax.Array, row: jax.Array, shared: VisualParameters) -> tuple[jax.Array, jax.Array]:
    del private
    both = with_visual_vector(row, shared, dim)
    return jnp.zeros((), jnp.float32), both[:dim] + both[dim:]

  def represent(private: jax.Array, average: jax.Array, count: jax.Array, shared: VisualParameters) -> jax.Array:
    del shared
    return jnp.concatenate(propagate(private, average, count, layers))

  def logits(user: jax.Array, rows: jax.Array, shared: VisualParameters, shift: jax.Array | float = 0.0) -> jax.Array:
    both = with_visual_vector(rows, shared, dim)
    item = jnp.concatenate([scale * (both[..., :dim] + shift), both[..., dim:]], axis=-1)
    return jnp.asarray(tower.apply({"params": shared.tower}, scale * user[:dim], item))

  def score_row(user: jax.Array, row: jax.Array, shared: VisualParameters) -> jax.Array:
    return logits(user, row, shared)

  def score_own(user: jax.Array, row: jax.Array, shared: VisualParameters) -> jax.Array:
    return logits(user, row, shared, user[dim:])

  def score(public: Public, user: jax.Array, items: jax.Array | None) -> jax.Array:
    return logits(user, public.items if items is None else public.items[items], public.shared)

  return Model(
    init_public, init_private, score, score_row, score_own, attend, represent, width=max(hidden),
    project=functools.partial(project_rows, dim=dim),
  )
