"""Pseudo-interacted items: rows that hide which items a client has really interacted with."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from fedrecjax.clients.sampling import distinct_ranks, item_of_rank
from fedrecjax.clients.tiles import tiles_of
from fedrecjax.types import Array, ClientUpdates, ClientView
from fedrecjax.uploads.rows import item_rows

# Above every client's and every stage's number, whose keys come from the same one.
_PSEUDO_ITEMS = 2**31 + 1

def row_moments(view: ClientView, rows: Array, num_tiles: int) -> tuple[Array, Array]:
  """Mean and covariance of each client's rows.

  Args:
    view: whose samples they belong to.
    rows: of each sample's items `[P, 1 + q, d]`.
    num_tiles: planned for the samples.

  Returns:
    `[C, d]` and `[C, d, d]`; zeros for clients without samples.
  """
  samples = view.samples
  tiles = tiles_of(samples.length, samples.client, samples.first, num_tiles)
  num_clients = samples.length.shape[0]
  # A sample stands in one place of one tile; all other places point to samples that do not point back.
  places = tiles.place.at[tiles.sample].get(mode="clip")
  numbers = jnp.arange(tiles.sample.size, dtype=jnp.int32).reshape(tiles.sample.shape)
  own = (places == numbers) & samples.valid[tiles.sample]
  taken = jnp.where(own[..., None, None], rows[tiles.sample], 0.0)
  count = jnp.maximum(samples.length * rows.shape[1], 1)[:, None]
  mean = jax.ops.segment_sum(jnp.sum(taken, axis=(1, 2)), tiles.client, num_clients) / count
  # Not the mean square less the squared mean, which cancel where rows lie far from zero.
  centered = jnp.where(own[..., None, None], taken - mean[tiles.client][:, None, None], 0.0)
  squares = jax.ops.segment_sum(jnp.einsum("tskd,tske->tde", centered, centered), tiles.client, num_clients)
  return mean, squares / count[..., None]


def pseudo_uploads(view: ClientView, rows: Array, sending: Array, *, count: int, num_tiles: int) -> ClientUpdates:
  """Rows for items that clients have not interacted with, drawn from the normal distribution of their real rows.

  Args:
    view: what the clients know.
    rows: gradients of each sample's items `[P, 1 + q, d]`.
    sending: which clients follow this, bool `[C]`.
    count: different items per client; fewer where a client has no more outside its list.
    num_tiles: planned for the samples.

  Returns:
    Uploads with C * count places.

  References:
    Wu et al., "FedGNN: Federated Graph Neural Network for Privacy-Preserving Recommendation", 2021.
  """
  mean, covariance = row_moments(view, rows, num_tiles)
  dim = mean.shape[1]
  # Clients with fewer rows than dimensions have no positive definite matrix, which a Cholesky factor would need. Of all
  # roots the symmetric one does not depend on the signs and turns of directions, which rounding decides.
  variances, directions = jnp.linalg.eigh(covariance)
  scaled = directions * jnp.sqrt(jnp.maximum(variances, 0.0))[:, None, :]
  root = jnp.einsum("cdk,cek->cde", scaled, directions)
  last = view.outside.length.shape[0] - 1

  def of_client(client: Array) -> tuple[Array, Array]:
    for_items, for_rows = jax.random.split(jax.random.fold_in(jax.random.fold_in(view.key, _PSEUDO_ITEMS), client))
    user = jnp.minimum(client, last)
    free = view.num_items - view.outside.length[user]
    rank = distinct_ranks(for_items, jnp.maximum(free, count), count)
    item = item_of_rank(view.outside, jnp.full_like(rank, user), rank, view.num_items)
    return jnp.where(rank < free, item, view.num_items), jax.random.normal(for_rows, (count, dim), jnp.float32)

  items, noise = jax.vmap(of_client)(view.clients)
  drawn = mean[:, None, :] + jnp.einsum("ckd,ced->cke", noise, root)
  place = jnp.arange(items.shape[0], dtype=jnp.int32)
  return item_rows(place, sending & (view.samples.trained > 0), items, drawn, view.num_items)
