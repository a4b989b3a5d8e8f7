"""Visually aware neural collaborative filtering: the network of NCF sees the item's image as well."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp

from fedrecjax.methods.hyperparameters import check, traced
from fedrecjax.models.ncf import PairTower
from fedrecjax.models.registry import MODELS
from fedrecjax.models.visual_rows import VisualParameters, init_visual, project_rows, with_visual_vector
from fedrecjax.types import Model, Public


@MODELS.register
@traced
def vncf(
  *, dim: int = 32, hidden: tuple[int, ...] = (32, 16), num_features: int = 0, init_std: float = 0.01
) -> Model:
  """Neural collaborative filtering on the user's vector, the item's vector and the item's image.

  Args:
    dim: size of user, item and visual vectors, d; 32 is the paper's.
    hidden: widths of the hidden layers behind the input of 3 d numbers; 32+16 is the paper's.
    num_features: numbers F of a visual feature; 0 stands for those of the run's images.
    init_std: standard deviation of the normal initialisation of users and items.

  Returns:
    A model that shares the network and the projection E of the features.

  Raises:
    ValueError: if a number is out of its range.

  References:
    Yuan et al., "Manipulating Visually-aware Federated Recommender Systems and Its Countermeasures", 2023, Eq. 4.
  """
  check(dim > 0, f"vncf.dim must be positive, got {dim}")
  check(len(hidden) > 0 and min(hidden) > 0, f"vncf.hidden must be positive widths, at least one, got {hidden}")
  check(num_features >= 0, f"vncf.num_features must not be negative, got {num_features}")
  check(init_std > 0, f"vncf.init_std must be positive, got {init_std}")
  tower = PairTower(hidden)

  def init_public(key: jax.Array, num_items: int) -> Public:
    return init_visual(tower, key, num_items, dim=dim, num_features=num_features, init_std=init_std)

  def init_private(key: jax.Array) -> jax.Array:
    return init_std * jax.random.normal(key, (dim,), jnp.float32)

  def score_row(user: jax.Array, row: jax.Array, shared: VisualParameters) -> jax.Array:
    return jnp.asarray(tower.apply({"params": shared.tower}, user, with_visual_vector(row, shared, dim)))

  def score(public: Public, user: jax.Array, items: jax.Array | None) -> jax.Array:
    return score_row(user, public.items if items is None else public.items[items], public.shared)

  return Model(
    init_public, init_private, score, score_row, width=max(hidden), project=functools.partial(project_rows, dim=dim)
  )
