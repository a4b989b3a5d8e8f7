"""Norms, inner products and distances of whole uploads.

A client's whole upload is the vector of all M * d item gradients and of its gradients of shared parameters, zero where
the client sent nothing. Item gradients of two clients meet only in items that both sent, so that their inner products
come from the pairs of rows of each item: items are taken in tiles of a similar number of clients, one batched matrix
product per tile, and every product is added to the place of its two clients. How many tiles there are is decided by the
round's data in a loop: no plan can be too small.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from fedrecjax.numerics.distances import pairwise_distances
from fedrecjax.server.shared_parameters import shared_vectors
from fedrecjax.types import ClientUpdates
from fedrecjax.uploads.items_by_size import ItemsBySize, items_by_size

TILE_ROWS = 1024
# Items with more clients are taken in blocks of so many rows, which bounds memory and compile time.
LARGEST_CLASS = 256
_SMALLEST_CLASS = 4


def client_norms(uploads: ClientUpdates, num_clients: int, *, num_items: int) -> jax.Array:
  """L2 norm of each client's whole upload.

  Args:
    uploads: one row per client and item, in any order; unused places anywhere.
    num_clients: C.
    num_items: M.

  Returns:
    float32 `[C]`; 0 for clients that sent nothing.

  >>> uploads = ClientUpdates(jnp.array([0, 2, 0]), jnp.array([1, 1, 4]), jnp.array([[3.0], [1.0], [4.0]]))
  >>> client_norms(uploads, 3, num_items=5).tolist()
  [5.0, 0.0, 1.0]
  """
  client = jnp.where(uploads.item < num_items, uploads.client, num_clients)
  squares = jnp.zeros(num_clients, jnp.float32).at[client].add(jnp.sum(uploads.row * uploads.row, axis=-1), mode="drop")
  if uploads.sent is not None:
    squares += jnp.sum(shared_vectors(uploads) ** 2, axis=1)
  return jnp.sqrt(squares)


def client_gram(uploads: ClientUpdates, num_clients: int, *, num_items: int) -> jax.Array:
  """Inner products of the item gradients of all pairs of clients.

  Args:
    uploads: one row per client and item in order of items, unused places last
      (:func:`fedrecjax.uploads.rows.merge_rows`).
    num_clients: C, at most 46,340.
    num_items: M.

  Returns:
    float32 `[C, C]`, exactly symmetric. An entry is off by a few 1e-6 of the product of the two norms at most, also
    for uploads of 41,000 rows. On a CPU all entries among clients with identical uploads are the same number.

  >>> uploads = ClientUpdates(jnp.array([0, 2, 0]), jnp.array([1, 1, 4]), jnp.array([[3.0], [1.0], [4.0]]))
  >>> client_gram(uploads, 3, num_items=5).tolist()
  [[25.0, 0.0, 3.0], [0.0, 0.0, 0.0], [3.0, 0.0, 1.0]]
  """
  capacity = uploads.item.shape[0]
  if capacity == 0:
    return jnp.zeros((num_clients, num_clients), jnp.float32)
  most = min(num_clients, capacity)
  sizes = [_SMALLEST_CLASS]
  while sizes[-1] < min(most, LARGEST_CLASS):
    sizes.append(2 * sizes[-1])
  items = items_by_size(uploads.item, num_items, sizes, most=most, within="item")
  gram = jnp.zeros(num_clients * num_clients, jnp.float32)
  for number, size in enumerate(sizes):
    gram = _add_class(gram, uploads, num_clients, items, items.ends[number], items.ends[number + 1], size)
  if most > sizes[-1]:
    gram = _add_large(gram, uploads, num_clients, items, items.ends[-1], sizes[-1])
  # Each pair of clients was added in one of its two places, or in both by turns.
  gram = gram.reshape(num_clients, num_clients)
  return jnp.where(jnp.eye(num_clients, dtype=bool), gram, gram + gram.T)


def _group(uploads: ClientUpdates, start: jax.Array, length: jax.Array, size: int) -> tuple[jax.Array, jax.Array]:
  """Clients `[tile, size]`, -1 beyond a group's length, and rows `[tile, size, d]` of groups of rows `[tile]`."""
  member = jnp.arange(size, dtype=jnp.int32)
  place = start[:, None] + member
  client = jnp.where(member < length[:, None], uploads.client.at[place].get(mode="clip"), -1)
  return client, uploads.row.at[place].get(mode="clip")


def _products(left: jax.Array, right: jax.Array) -> jax.Array:
  """Inner products of rows, `[tile, K, d], [tile, K, d] -> [tile, K, K]`; a GPU would round factors to ten bits."""
  return jnp.einsum("gkd,gld->gkl", left, right, precision=lax.Precision.HIGHEST)


def _add_pairs(
  gram: jax.Array, num_clients: int, left: jax.Array, right: jax.Array, products: jax.Array
) -> jax.Array:
  """Adds products at the places of their clients, of which none is -1, in the flattened matrix."""
  place = jnp.where((left >= 0) & (right >= 0), left * num_clients + right, num_clients * num_clients)
  return gram.at[place.reshape(-1)].add(products.reshape(-1), mode="drop")


def _add_class(
  gram: jax.Array,
  uploads: ClientUpdates,
  num_clients: int,
  items: ItemsBySize,
  first: jax.Array,
  end: jax.Array,
  size: int,
) -> jax.Array:
  """Adds the items first..end-1, which have at most `size` rows, tile by tile."""
  tile = max(TILE_ROWS // size, 1)
  one, other = np.triu_indices(size)

  def one_tile(number: jax.Array, gram: jax.Array) -> jax.Array:
    place = first + number * tile + jnp.arange(tile, dtype=jnp.int32)
    length = jnp.where(place < end, items.size.at[place].get(mode="clip"), 0)
    client, rows = _group(uploads, items.start.at[place].get(mode="clip"), length, size)
    products = _products(rows, rows)[:, one, other]
    return _add_pairs(gram, num_clients, client[:, one], client[:, other], products)

  return lax.fori_loop(0, -(-(end - first) // tile), one_tile, gram)


def _add_large(
  gram: jax.Array, uploads: ClientUpdates, num_clients: int, items: ItemsBySize, first: jax.Array, size: int
) -> jax.Array:
  """Adds the items from `first` on, of any number of rows, by pairs of blocks of `size` rows."""

  def block(place: jax.Array, number: jax.Array) -> tuple[jax.Array, jax.Array]:
    begin = number * size
    return _group(uploads, (items.start[place] + begin)[None], (items.size[place] - begin)[None], size)

  def one_item(place: jax.Array, gram: jax.Array) -> jax.Array:
    blocks = -(-items.size[place] // size)

    def one_pair(left_number: jax.Array, right_number: jax.Array, gram: jax.Array) -> jax.Array:
      (left, left_rows), (right, right_rows) = block(place, left_number), block(place, right_number)
      once = (left_number < right_number) | jnp.triu(jnp.ones((size, size), bool))
      products = _products(left_rows, right_rows)
      return _add_pairs(gram, num_clients, jnp.where(once, left[:, :, None], -1), right[:, None, :], products)

    def one_row(left: jax.Array, gram: jax.Array) -> jax.Array:
      return lax.fori_loop(left, blocks, lambda right, gram: one_pair(left, right, gram), gram)

    return lax.fori_loop(0, blocks, one_row, gram)

  return lax.fori_loop(first, items.item.shape[0], one_item, gram)


def client_distances(uploads: ClientUpdates, num_clients: int, *, num_items: int, squared: bool) -> jax.Array:
  """Euclidean distances between the whole uploads of all pairs of clients.

  Args:
    uploads: as for :func:`client_gram`.
    num_clients: C.
    num_items: M.
    squared: whether to leave them squared.

  Returns:
    float32 `[C, C]`, exactly symmetric, 0 on the diagonal, not negative and never NaN: where the squared norm of an
    upload overflows, all its distances are infinite. Squared distances are off by a few 1e-6 of the sum of the two
    squared norms, so that the distance of uploads closer than about 1e-3 of their norms is noise; on a CPU that of
    identical ones is exactly 0.
  """
  gram = client_gram(uploads, num_clients, num_items=num_items)
  squares = jnp.diagonal(gram)
  result = jnp.maximum(squares[:, None] + squares - 2 * gram, 0.0)
  if uploads.sent is not None:
    result += pairwise_distances(shared_vectors(uploads)[:, None], squared=True)[..., 0]
  result = jnp.where(jnp.isnan(result), jnp.inf, result)
  result = jnp.where(jnp.eye(num_clients, dtype=bool), 0.0, result)
  return result if squared else jnp.sqrt(result)
