"""What Spattack's clients upload: minus the benign sums in shares, or noise; for all items or for popular ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from fedrecjax.attacks.attacked_rounds import when_active
from fedrecjax.methods.hyperparameters import check
from fedrecjax.numerics.ordering import in_order
from fedrecjax.types import Array, Attack, AttackContext, AttackView, ClientUpdates, State
from fedrecjax.uploads.rows import clip_rows, item_rows, with_shared

Copies = Literal["sum", "last"]
Knowledge = Literal["benign", "own"]
Limit = Literal["uploads", "interactions"]
Redraw = Literal["never", "every_round"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class OppositeOptions:
  """Hyperparameters of the attacks that cancel the sum of the benign rows.

  Attributes:
    copies: where a benign client sends several rows for one item, their "sum" counts, or only the "last" one as in
      the published code, whose earlier copies hold nothing but the L2 term.
    knowledge: "benign" gradients of the round are known (paper), or only those that the round's malicious clients
      would send if they behaved, "own": their sum, times the number of other clients over their own. The paper has no
      such variant.
    seen_clip: benign rows are clipped to this norm before they are added up, as in the published code under its Norm
      defence; none: they are taken as sent.
    upload_shared: whether the same is done to all shared parameters (the paper's test on FedGNN), by all malicious
      clients of the round. Without effect on models that have none.
  """

  copies: Copies = "sum"
  knowledge: Knowledge = "benign"
  seen_clip: float | None = None
  upload_shared: bool = True


@dataclasses.dataclass(frozen=True, kw_only=True)
class NoiseOptions:
  """Hyperparameters of the attacks by noise.

  Attributes:
    scale: standard deviation of the noise; 1 is the published code's, the paper gives none.
    redraw: the noise stays the same for the whole run, "never" (published code), or is drawn "every_round".
    per_client: whether each malicious client has a noise of its own; in paper and published code they share one.
    upload_shared: whether noise is uploaded for all shared parameters too (the paper's test on FedGNN).
  """

  scale: float = 1.0
  redraw: Redraw = "never"
  per_client: bool = False
  upload_shared: bool = True


@dataclasses.dataclass(frozen=True, kw_only=True)
class SparseOptions:
  """Hyperparameters of the attacks whose clients keep to a list of items.

  Attributes:
    max_items: items of each malicious client, m_max. None: as many as the benign client with most, for which alone the
      attack must be granted all interactions.
    limit: what that client is counted by: the different items that it "uploads", negatives too, as in the published
      code (1261 on MovieLens-100K), here as expected with one negative for each item; or its "interactions" (paper's
      text). Without effect where `max_items` is given.
  """

  max_items: int | None = None
  limit: Limit = "uploads"


class HeldItems(NamedTuple):
  """The items that each malicious client of a sparse attack uploads, in every round.

  Attributes:
    items: different ones, int32 `[malicious, m]`, M where a client has fewer.
  """

  items: Array


class NoiseState(NamedTuple):
  """State of the attacks by noise.

  Attributes:
    key: data of the key that a constant noise comes from.
    held: the items of each malicious client; `()` for dense attacks.
  """

  key: Array
  held: HeldItems | tuple[()] = ()


def last_copies(uploads: ClientUpdates, num_items: int) -> Array:
  """Which places hold the last row of their client for their item, bool `[E]`; unused places do not.

  Args:
    uploads: with the places of one client following one another, or in order of items.
    num_items: M.
  """
  capacity = uploads.item.shape[0]
  if capacity == 0:
    return jnp.zeros(0, bool)
  item, place = in_order(uploads.item, num_items)
  client = uploads.client[place]
  last = jnp.ones(capacity, bool).at[:-1].set((item[1:] != item[:-1]) | (client[1:] != client[:-1]))
  return jnp.zeros(capacity, bool).at[place].set(last & (item < num_items))


def item_sums(uploads: ClientUpdates, num_items: int, copies: Copies) -> Array:
  """The sum of all clients' rows of each item, `[M, d]`.

  Args:
    uploads: records as sent.
    num_items: M.
    copies: of several rows of one client for one item, their "sum" counts, or only the "last" one.
  """
  item = uploads.item
  if copies == "last":
    item = jnp.where(last_copies(uploads, num_items), item, num_items)
  return jnp.zeros((num_items, uploads.row.shape[1]), jnp.float32).at[item].add(uploads.row, mode="drop")


def sampled_items(key: Array, popularity: np.ndarray, count: int, clients: int) -> Array:
  """Items of each malicious client, drawn without replacement in proportion to popularity, one after another.

  The largest of log-weights with Gumbel noise are such a draw (Efraimidis and Spirakis, 2006).

  Args:
    key: of the run.
    popularity: `[M]`, 0 or more; items of popularity 0 are never drawn.
    count: items of a client, at most M.
    clients: malicious clients.

  Returns:
    int32 `[clients, count]`, M after the last where fewer items have any popularity.
  """
  weight = jnp.asarray(popularity, jnp.float32)
  log_weight = jnp.where(weight > 0, jnp.log(jnp.maximum(weight, 1e-30)), -jnp.inf)

  def of_client(client: Array) -> Array:
    noisy = log_weight + jax.random.gumbel(jax.random.fold_in(key, client), log_weight.shape, jnp.float32)
    value, item = jax.lax.top_k(noisy, count)
    return jnp.where(jnp.isneginf(value), log_weight.shape[0], item).astype(jnp.int32)

  return jax.lax.map(of_client, jnp.arange(clients, dtype=jnp.int32))


def most_items(lengths: np.ndarray, num_items: int, limit: Limit) -> int:
  """What a client can upload without standing out: as many items as the benign client with most.

  Args:
    lengths: training items of each benign client.
    num_items: M.
    limit: "interactions" counts training items; "uploads" the different items that a client is expected to upload,
      with one uniform negative for each of its L items: L + (M - L) (1 - (1 - 1 / (M - L))^L).

  Returns:
    A number from 1 to M.

  >>> lengths = np.array([19, 736])
  >>> most_items(lengths, 1682, "interactions"), most_items(lengths, 1682, "uploads")
  (736, 1247)
  """
  own = np.minimum(np.append(lengths, 1), num_items).astype(float)
  if limit == "uploads":
    others = num_items - own
    own = own + others * (1 - (1 - 1 / np.maximum(others, 1.0)) ** own)
  return int(own.max())


def held_items(key: Array, context: AttackContext, max_items: int | None, limit: Limit) -> HeldItems:
  """Draws what each malicious client of a sparse attack uploads: `max_items`, or as many as a benign client may."""
  assert context.popularity is not None
  if max_items is None:
    max_items = most_items(context.interactions.lengths, context.num_items, limit)
  count = min(max_items, context.num_items)
  return HeldItems(sampled_items(key, context.popularity, count, context.num_malicious))


def _items_of(held: HeldItems | tuple[()], view: AttackView) -> Array:
  """The items of each place, int32 `[A, m]`, M where unused; of all places `[A, M]` in dense attacks."""
  num_items = view.public.items.shape[0]
  if isinstance(held, HeldItems):
    return held.items.at[view.client].get(mode="fill", fill_value=num_items)
  return jnp.broadcast_to(jnp.arange(num_items, dtype=jnp.int32), (view.client.shape[0], num_items))


class Known(NamedTuple):
  """What an attack takes for the benign clients' gradients, added up.

  Attributes:
    items: `[M, d]`.
    shared: of the shared parameters, as `Public.shared`; `()` where there are none.
  """

  items: Array
  shared: Any


def added_up(uploads: ClientUpdates, num_items: int, copies: Copies) -> Known:
  """The sum of all uploads."""
  shared = jax.tree.map(lambda leaf: jnp.sum(leaf, axis=0), uploads.shared)
  return Known(item_sums(uploads, num_items, copies), shared)


def opposite_rows(sums: Array, items: Array, active: Array) -> Array:
  """What each malicious client uploads so that together they cancel the sum of each item that any of them holds.

  Args:
    sums: of the benign rows, `[M, d]`.
    items: of each place, different ones, int32 `[A, m]`, M where unused.
    active: which places hold a client, bool `[A]`.

  Returns:
    Minus the sum over the number of active clients that hold the item, `[A, m, d]`.
  """
  holders = jnp.zeros(sums.shape[0], jnp.float32).at[items].add(active[:, None].astype(sums.dtype), mode="drop")
  share = -sums / jnp.maximum(holders, 1.0)[:, None]
  return share.at[items].get(mode="fill", fill_value=0.0)


def opposite_attack(
  name: str, options: OppositeOptions, init: Callable[[Array, AttackContext], HeldItems | tuple[()]],
  requires: frozenset[str],
) -> Attack:
  """An attack that cancels the sum of the benign rows.

  Args:
    name: of the attack, for messages.
    options: hyperparameters.
    init: draws the clients' lists, or none.
    requires: what that must be granted.
  """
  knowledge, seen_clip = options.knowledge, options.seen_clip
  check(seen_clip is None or seen_clip > 0, f"{name}.seen_clip must be positive or none, got {seen_clip}")

  def known(uploads: ClientUpdates, view: AttackView) -> Known:
    seen = uploads if knowledge == "own" else view.benign
    assert seen is not None
    if seen_clip is not None:
      seen = seen._replace(row=clip_rows(seen.row, seen_clip))
    total = added_up(seen, view.public.items.shape[0], options.copies)
    if knowledge == "benign":
      return total
    own = jnp.sum(view.active, dtype=jnp.int32)
    scale = (view.num_clients - own) / jnp.maximum(own, 1)
    return jax.tree.map(lambda leaf: scale * leaf, total)

  def poison(state: HeldItems | tuple[()], uploads: ClientUpdates, view: AttackView, key: Array
             ) -> tuple[ClientUpdates, State]:
    del key
    total, items = known(uploads, view), _items_of(state, view)
    rows = opposite_rows(total.items, items, view.active)
    sent = item_rows(view.slot, view.active, items, rows, view.public.items.shape[0])
    if not options.upload_shared:
      return sent, state
    count = jnp.maximum(jnp.sum(view.active, dtype=jnp.int32), 1)
    shared = jax.tree.map(
      lambda leaf: jnp.broadcast_to(-leaf / count, (view.client.shape[0], *leaf.shape)), total.shared
    )
    return with_shared(sent, view.slot, view.active, shared, view.num_clients), state

  granted = frozenset({"benign_uploads"}) if knowledge == "benign" else frozenset({"own_data"})
  return Attack(when_active(poison), init, requires=requires | granted, colludes=True)


def noise_like(key: Array, like: Any, scale: Array | float) -> Any:
  """Normal noise of the shapes of a pytree of arrays."""
  leaves, structure = jax.tree.flatten(like)
  keys = jax.random.split(key, max(len(leaves), 1))
  return jax.tree.unflatten(
    structure, [scale * jax.random.normal(key, leaf.shape, jnp.float32) for key, leaf in zip(keys, leaves)]
  )


def noise_attack(
  name: str, options: NoiseOptions, hold: Callable[[Array, AttackContext], HeldItems | tuple[()]],
  requires: frozenset[str],
) -> Attack:
  """An attack that uploads normal noise.

  Args:
    name: of the attack, for messages.
    options: hyperparameters.
    hold: draws the clients' lists, or none.
    requires: what that must be granted.
  """
  scale = options.scale
  check(scale > 0, f"{name}.scale must be positive, got {scale}")

  def init(key: Array, context: AttackContext) -> NoiseState:
    for_noise, for_items = jax.random.split(key)
    return NoiseState(jax.random.key_data(for_noise), hold(for_items, context))

  def poison(
    state: NoiseState, uploads: ClientUpdates, view: AttackView, key: Array
  ) -> tuple[ClientUpdates, NoiseState]:
    del uploads
    if options.redraw == "never":
      key = jax.random.wrap_key_data(state.key)
    items, places = _items_of(state.held, view), view.client.shape[0]
    if options.per_client:
      keys = jax.vmap(jax.random.fold_in, in_axes=(None, 0))(key, view.client)
      noise = jax.vmap(lambda key: noise_like(key, view.public, scale))(keys)
    else:
      noise = jax.tree.map(
        lambda leaf: jnp.broadcast_to(leaf, (places, *leaf.shape)), noise_like(key, view.public, scale)
      )
    rows = jax.vmap(lambda table, items: table.at[items].get(mode="fill", fill_value=0.0))(noise.items, items)
    sent = item_rows(view.slot, view.active, items, rows, view.public.items.shape[0])
    shared = noise.shared if options.upload_shared else ()
    return with_shared(sent, view.slot, view.active, shared, view.num_clients), state

  return Attack(when_active(poison), init, requires=requires, colludes=True)


def no_list(key: Array, context: AttackContext) -> tuple[()]:
  """A dense attack holds no list: it uploads all items."""
  del key, context
  return ()


def list_of_popular(
  name: str, options: SparseOptions
) -> tuple[Callable[[Array, AttackContext], HeldItems], frozenset[str]]:
  """How a sparse attack draws its lists, and what it must be granted for that."""
  max_items = options.max_items
  check(max_items is None or max_items > 0, f"{name}.max_items must be positive or none, got {max_items}")

  def hold(key: Array, context: AttackContext) -> HeldItems:
    return held_items(key, context, max_items, options.limit)

  return hold, frozenset({"popularity"} | ({"interactions"} if max_items is None else set()))
