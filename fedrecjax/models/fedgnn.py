"""FedGNN: attention over a client's own items and over vectors of anonymous neighbours."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from fedrecjax.methods.hyperparameters import check, traced
from fedrecjax.models.registry import MODELS
from fedrecjax.types import Model, Public

_SLOPE = 0.2


class GraphAttention(NamedTuple):
  """The shared parameters.

  Attributes:
    kernel: projection of users, items and neighbours, float32 `[d, d]`.
    for_user: part of the attention's weights that meets the projected user `[d]`.
    for_item: part that meets the projected item or neighbour `[d]`.
  """

  kernel: jax.Array
  for_user: jax.Array
  for_item: jax.Array


@MODELS.register
@traced
def fedgnn(
  *, dim: int = 32, num_neighbors: int = 0, neighbors_from: int = 2, init_std: float = 0.01
) -> Model:
  """A graph attention layer on each client's local graph, and a dot product.

  The client attends to its own items and to its neighbours: other users with whom it shares an item, whose vectors
  it has been given and does not train. Its final vector is the ELU of its own projected vector plus what it attends
  to; an item's is its projected row. Pseudo-interacted items and noise are options of training
  (`train.pseudo_items`, `train.privacy_clip`, `train.privacy_noise`), since they go with any model.

  Args:
    dim: embedding size d.
    num_neighbors: most neighbours of a client, K; 0: the graph is not expanded.
    neighbors_from: first epoch, from 0, in which neighbours are used; 2 as in the paper.
    init_std: standard deviation of the normal initialisation of users and items.

  Returns:
    A model whose user vector is made from the client's own, its items' rows and its neighbours' vectors.

  Raises:
    ValueError: if a number is out of its range.

  References:
    Wu et al., "FedGNN: Federated Graph Neural Network for Privacy-Preserving Recommendation", 2021, with implicit
    feedback as Spattack needs it; Velickovic et al., "Graph Attention Networks", 2018.
  """
  check(dim > 0, f"fedgnn.dim must be positive, got {dim}")
  check(num_neighbors >= 0, f"fedgnn.num_neighbors must not be negative, got {num_neighbors}")
  check(neighbors_from >= 0, f"fedgnn.neighbors_from must not be negative, got {neighbors_from}")
  check(init_std > 0, f"fedgnn.init_std must be positive, got {init_std}")

  def init_public(key: jax.Array, num_items: int) -> Public:
    for_items, for_kernel, for_attention = jax.random.split(key, 3)
    initial = jax.nn.initializers.glorot_uniform(dtype=jnp.float32)
    kernel = initial(for_kernel, (dim, dim))
    attention = initial(for_attention, (2 * dim, 1))[:, 0]
    shared = GraphAttention(kernel, attention[:dim], attention[dim:])
    return Public(init_std * jax.random.normal(for_items, (num_items, dim), jnp.float32), shared)

  def init_private(key: jax.Array) -> jax.Array:
    return init_std * jax.random.normal(key, (dim,), jnp.float32)

  def attend(private: jax.Array, row: jax.Array, shared: GraphAttention) -> tuple[jax.Array, jax.Array]:
    value = row @ shared.kernel
    logit = (private @ shared.kernel) @ shared.for_user + value @ shared.for_item
    return jax.nn.leaky_relu(logit, _SLOPE), value

  def represent(private: jax.Array, average: jax.Array, count: jax.Array, shared: GraphAttention) -> jax.Array:
    del count
    return jax.nn.elu(private @ shared.kernel + average)

  def score_vector(user: jax.Array, shared: GraphAttention) -> jax.Array:
    # The user's side is projected instead of the item's: one product for all items that it is scored with.
    return shared.kernel @ user

  def score_row(user: jax.Array, row: jax.Array, shared: GraphAttention) -> jax.Array:
    return row @ score_vector(user, shared)

  def score(public: Public, user: jax.Array, items: jax.Array | None) -> jax.Array:
    shared: Any = public.shared
    return score_row(user, public.items if items is None else public.items[items], shared)

  return Model(
    init_public, init_private, score, score_row, None, attend, represent,
    neighbors=num_neighbors, neighbors_from=neighbors_from, score_vector=score_vector,
  )
