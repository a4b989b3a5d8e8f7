"""Uploads crafted from statistics of honest gradients: what is known, which items are sent, one row at a time.

Attacks of this kind were written for clients that send one dense vector. In a recommender a client sends the rows of
its items, so that "mean and deviation of each coordinate" is read item by item, and which items a malicious client
sends is a choice of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from fedrecjax.attacks.untargeted.row_statistics import (
  Absent,
  RowStatistics,
  Spread,
  item_statistics,
  senders,
  shared_statistics,
)
from fedrecjax.methods.hyperparameters import check
from fedrecjax.numerics.random import GENERATOR, folded_words
from fedrecjax.types import Array, AttackView, ClientUpdates
from fedrecjax.uploads.rows import merge_rows, with_shared
from fedrecjax.uploads.used_places import map_used

Knowledge = Literal["own", "benign"]
Items = Literal["known", "own"]
Draw = Callable[[RowStatistics, Array], Array]


class Known(NamedTuple):
  """What the attackers of a round know about honest gradients.

  Attributes:
    uploads: one row per client and item, in order of items.
    places: number of clients' places that they are from, static.
    members: clients among them that sent any row, int32 scalar.
    items: statistics of item rows.
    shared: of shared parameters, a pytree with :class:`RowStatistics` for leaves; `()` without any.
  """

  uploads: ClientUpdates
  places: int
  members: Array
  items: RowStatistics
  shared: Any


class Sent(NamedTuple):
  """The item rows that the attackers of a round are about to send, at E places.

  Attributes:
    attacker: place among the A malicious ones, int32 `[E]`.
    item: int32 `[E]`, M where unused.
    own: the row that the attacker would send if it behaved, float32 `[E, d]`; zeros where it holds no such item.
    common: items that every attacker sends, one attacker's places after another's, int32 `[K]`, E = A K, all of them
      known; None where each has its own.
  """

  attacker: Array
  item: Array
  own: Array
  common: Array | None = None


def granted(knowledge: Knowledge) -> frozenset[str]:
  """What an attack has to require for its knowledge."""
  return frozenset({"own_data"} if knowledge == "own" else {"own_data", "benign_uploads"})


def pool_of(name: str, knowledge: Knowledge, pool: int) -> int:
  """`Attack.pool` of an attack, which needs none if it knows all benign uploads.

  Raises:
    ValueError: if `pool` is not positive.
  """
  check(pool > 0, f"{name}.pool must be positive, got {pool}")
  return pool if knowledge == "own" else 0


def known_gradients(
  view: AttackView, knowledge: Knowledge, *, pool: int, absent: Absent = "skipped", spread: Spread = "population"
) -> Known:
  """The honest gradients that the attackers of a round know, and their statistics.

  Args:
    view: with `pool` or `benign`.
    knowledge: "own": of malicious clients drawn for the round; "benign": of all benign clients of the round.
    pool: most malicious clients that are drawn.
    absent: whether clients that sent no row for an item count as zeros.
    spread: see :func:`fedrecjax.attacks.untargeted.row_statistics.item_statistics`.
  """
  num_items = view.public.items.shape[0]
  if knowledge == "own":
    assert view.pool is not None
    uploads, places = view.pool, pool
  else:
    assert view.benign is not None
    uploads, places = merge_rows(view.benign, num_items), view.num_clients
  members = senders(uploads, places, num_items)
  zeros_of = members if absent == "zeros" else None
  items = item_statistics(uploads, num_items, members=zeros_of, spread=spread)
  return Known(uploads, places, members, items, shared_statistics(uploads, spread=spread))


def sent_places(view: AttackView, uploads: ClientUpdates, known: Known, items: Items) -> Sent:
  """The places of what the attackers of a round send.

  Args:
    view: who attacks.
    uploads: what they would send if they behaved.
    known: see :func:`known_gradients`.
    items: "known": every attacker sends all items of which a gradient is known; "own": the items that it would send
      if it behaved.
  """
  num_items, dim = view.public.items.shape
  attackers = view.client.shape[0]
  if items == "own":
    merged = merge_rows(uploads, num_items)
    # Merged rows stand first: one for every attacker and item at most.
    client, item, row = (part[: attackers * num_items] for part in merged[:3])
    slot = jnp.where(view.active, view.slot, view.num_clients)
    own = jnp.arange(attackers, dtype=jnp.int32)
    number = jnp.full(view.num_clients, attackers, jnp.int32).at[slot].set(own, mode="drop")
    attacker = number[client]
    return Sent(jnp.minimum(attacker, attackers - 1), jnp.where(attacker < attackers, item, num_items), row)
  # No more items can be known than rows.
  width = min(num_items, known.uploads.item.shape[0])
  (item,) = jnp.nonzero(known.items.clients > 0, size=width, fill_value=num_items)
  item = item.astype(jnp.int32)
  each = jnp.where(view.active[:, None], item, num_items)
  attacker = jnp.repeat(jnp.arange(attackers, dtype=jnp.int32), width)
  return Sent(attacker, each.reshape(-1), jnp.zeros((attackers * width, dim), jnp.float32), item)


def common_uploads(view: AttackView, known: Known, sent: Sent, table: Array, shared: Any) -> ClientUpdates:
  """Uploads that are the same for all attackers.

  Args:
    view: who attacks.
    known: see :func:`known_gradients`.
    sent: which rows.
    table: crafted rows of all items `[M, d]`.
    shared: crafted gradients of shared parameters.

  Returns:
    Uploads. A row that nobody whose gradients are known has sent is the attacker's own.
  """
  is_known = known.items.clients.at[sent.item].get(mode="clip") > 0
  rows = jnp.where(is_known[:, None], table.at[sent.item].get(mode="clip"), sent.own)
  each = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (view.client.shape[0], *leaf.shape)), shared)
  return attach(view, sent, rows, each)


def drawn_uploads(
  view: AttackView, known: Known, sent: Sent, key: Array, draw: Draw, *, together: bool = False
) -> ClientUpdates:
  """Uploads that attackers draw from what is known.

  Args:
    view: who attacks.
    known: see :func:`known_gradients`.
    sent: which rows.
    key: of the round.
    draw: `(statistics of one row, key) -> row`, for rows `[d]` and arrays of shared parameters alike.
    together: whether all attackers draw the same numbers.

  Returns:
    Uploads. A row that nobody whose gradients are known has sent is the attacker's own.
  """
  num_items = view.public.items.shape[0]
  numbers = jnp.zeros_like(view.client) if together else view.client
  keys = jax.vmap(jax.random.fold_in, in_axes=(None, 0))(key, numbers)

  def row_of(attacker: Array, item: Array, own: Array) -> Array:
    statistics = jax.tree.map(lambda leaf: leaf.at[item].get(mode="clip"), known.items)
    return jnp.where(statistics.clients > 0, draw(statistics, jax.random.fold_in(keys[attacker], item)), own)

  # The numbers below M are those of items.
  of_array = iter(range(num_items, 2**31))

  def each(statistics: RowStatistics) -> Array:
    number = next(of_array)
    return jax.vmap(lambda key: draw(statistics, jax.random.fold_in(key, number)))(keys)

  if sent.common is None:
    rows = map_used(row_of, sent.item < num_items, *sent[:3])
  else:
    # The statistics of items that all send are looked up once.
    items, seen = sent.common, jax.tree.map(lambda leaf: leaf.at[sent.common].get(mode="clip"), known.items)

    def rows_of(words: Array) -> Array:
      return jax.vmap(lambda one, word: draw(one, jax.random.wrap_key_data(word, impl=GENERATOR)))(seen, words)

    words = jax.vmap(folded_words, in_axes=(0, None))(keys, items)
    rows = map_used(rows_of, view.active, words, chunk=1).reshape(sent.own.shape)
  return attach(view, sent, rows, map_shared(each, known.shared))


def map_shared(function: Callable[[RowStatistics], Any], shared: Any) -> Any:
  """Applies a function to the statistics of every array of shared parameters."""
  return jax.tree.map(function, shared, is_leaf=lambda one: isinstance(one, RowStatistics))


def attach(view: AttackView, sent: Sent, rows: Array, shared: Any) -> ClientUpdates:
  """Uploads of the given rows `[E, d]` and gradients of shared parameters, a pytree of `[A, ...]`."""
  uploads = ClientUpdates(view.slot[sent.attacker].astype(jnp.int32), sent.item, rows)
  return with_shared(uploads, view.slot, view.active, shared, view.num_clients)
