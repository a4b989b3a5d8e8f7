"""ClusterAttack+CL: ClusterAttack by clients that also take part in UNION's contrastive task."""

from __future__ import annotations

import dataclasses
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from fedrecjax.attacks.registry import ATTACKS
from fedrecjax.attacks.untargeted.cluster import ClusterOptions, Reduction, check_clusters, cluster_attack
from fedrecjax.clients.info_nce import draw_partner_and_negatives, info_nce
from fedrecjax.clients.sampling import Complement, complement_of, item_of_rank
from fedrecjax.methods.hyperparameters import check, traced
from fedrecjax.methods.options import keywords_of
from fedrecjax.types import Array, Attack, AttackContext, AttackView


class OwnItems(NamedTuple):
  """The malicious clients' training items.

  Attributes:
    items: int32 `[malicious, L]`, M after the last one of a client.
    length: number of each client's items, int32 `[malicious]`.
    outside: for drawing items outside each client's list.
  """

  items: Array
  length: Array
  outside: Complement


def own_items(context: AttackContext) -> OwnItems:
  """Lays the clients' lists out in one array, of as many columns as the longest has items."""
  lists = context.own
  padded = np.full((len(lists), max(int(lists.lengths.max(initial=1)), 1)), context.num_items, np.int32)
  for client in range(len(lists)):
    padded[client, : lists.lengths[client]] = lists.of(client)
  return OwnItems(jnp.asarray(padded), jnp.asarray(lists.lengths, jnp.int32), complement_of(lists))


def draw_contrasts(own: OwnItems, client: Array, key: Array, num_items: int, count: int) -> tuple[Array, Array]:
  """What each item of one client is compared with.

  Args:
    own: of all malicious clients.
    client: which of them, int32 scalar.
    key: of the client in this round.
    num_items: M.
    count: items outside its list, static.

  Returns:
    The place of another item of the list for each of its items, int32 `[L]`, and different items outside it, int32
    `[L, count]`, M where there are fewer. Meaningless after the list's end, and for a list of one.
  """
  places = own.items.shape[1]
  length, free = own.length[client], num_items - own.outside.length[client]
  draw = functools.partial(draw_partner_and_negatives, count=count)
  partner, rank = jax.vmap(draw, in_axes=(None, 0, None, None))(key, jnp.arange(places, dtype=jnp.int32), length, free)
  item = item_of_rank(own.outside, jnp.broadcast_to(client, rank.shape), rank, num_items)
  return partner, jnp.where(rank < free, item, num_items)


def contrastive_gradient(
  table: Array, items: Array, length: Array, partner: Array, negatives: Array, *,
  temperature: Array | float, mean: bool,
) -> Array:
  """Gradient of a client's contrastive loss (Eq. 4) with respect to the item table.

  Args:
    table: `[M, d]`.
    items: the client's, int32 `[L]`.
    length: how many there are, int32 scalar; a client with fewer than two has no loss.
    partner: for each item the place of another, int32 `[L]`.
    negatives: for each item others that the client does not have, int32 `[L, P]`, M where there are fewer.
    temperature: divides the similarities.
    mean: whether the loss is the mean over the client's items, or their sum.

  Returns:
    `[M, d]`.
  """
  num_items = table.shape[0]
  anchor, partners = table.at[items].get(mode="clip"), items.at[partner].get(mode="clip")
  result = info_nce(
    anchor, table.at[partners].get(mode="clip"), table.at[negatives].get(mode="clip"), negatives < num_items,
    temperature,
  )
  used = (jnp.arange(items.shape[0], dtype=jnp.int32) < length) & (length > 1)
  factor = jnp.where(used, 1 / jnp.maximum(length, 1).astype(jnp.float32) if mean else jnp.float32(1.0), 0.0)[:, None]
  pull = result.pull * factor
  return (
    jnp.zeros_like(table)
    .at[items].add(result.anchor * factor, mode="drop")
    .at[partners].add(pull[:, :1] * anchor, mode="drop")
    .at[negatives].add(pull[:, 1:, None] * anchor[:, None], mode="drop")
  )


@dataclasses.dataclass(frozen=True, kw_only=True)
class ContrastiveOptions:
  """Hyperparameters of the contrastive task of malicious clients.

  Attributes:
    contrastive_weight: of the contrastive loss, alpha.
    num_contrastive: negatives of an item, P; a client with fewer items outside its own takes all.
    temperature: divides similarities; the paper has none.
    contrastive_reduction: a client's contrastive loss is the "sum" over its items (Eq. 4), or their "mean" as in
      UNION's published code, which leaves it too small to matter beside the loss of the clusters.
  """

  contrastive_weight: float = 1.0
  num_contrastive: int = 15
  temperature: float = 1.0
  contrastive_reduction: Reduction = "sum"


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClusterContrastiveOptions(ClusterOptions, ContrastiveOptions):
  """Hyperparameters of :func:`cluster_cl`.

  Attributes:
    reduction: the loss of the clusters is a "sum" (Eq. 2), or divided by their number, "mean".
  """

  reduction: Reduction = "sum"


@ATTACKS.register
@traced
@keywords_of(ClusterContrastiveOptions)
def cluster_cl(options: ClusterContrastiveOptions) -> Attack:
  """ClusterAttack against UNION: the loss of the clusters plus the contrastive task that UNION asks of clients.

  As `cluster`, but each malicious client adds the gradient of the contrastive task on its own items before rows are
  brought to their bounds. There is no published code for it: both losses are the paper's, all else as in `cluster`.

  Returns:
    A model-poisoning attack of clients with data of their own.

  Raises:
    ValueError: if a number is out of range; by `init`, if there are fewer items than `max_clusters`, or not more than
      `num_contrastive`.

  References:
    Yu et al., "Untargeted Attack against Federated Recommendation Systems via Poisonous Item Embeddings and the
    Defense", 2023, section 5.4 (ClusterAttack+CL), Eqs. 2 to 4.
  """
  weight, num_contrastive = options.contrastive_weight, options.num_contrastive
  check(weight >= 0, f"cluster_cl.contrastive_weight must be 0 or more, got {weight}")
  check(num_contrastive > 0, f"cluster_cl.num_contrastive must be positive, got {num_contrastive}")
  check(options.temperature > 0, f"cluster_cl.temperature must be positive, got {options.temperature}")
  check_clusters("cluster_cl", options)

  def own_init(context: AttackContext) -> OwnItems:
    if context.num_items <= num_contrastive:
      raise ValueError(f"cluster_cl.num_contrastive = {num_contrastive} different negatives need a catalogue of more"
                       f" items, and there are {context.num_items}")
    return own_items(context)

  def own_gradients(own: OwnItems, view: AttackView, key: Array) -> Array:
    table = view.public.items

    def of_client(client: Array) -> Array:
      partner, negatives = draw_contrasts(
        own, client, jax.random.fold_in(key, client), table.shape[0], num_contrastive
      )
      gradient = contrastive_gradient(
        table, own.items[client], own.length[client], partner, negatives,
        temperature=options.temperature, mean=options.contrastive_reduction == "mean",
      )
      return weight * gradient

    def of_place(place: tuple[Array, Array]) -> Array:
      client, active = place
      return lax.cond(active, of_client, lambda _: jnp.zeros_like(table), client)

    # One place after another: most are empty, and a client's negatives alone fill megabytes.
    return lax.map(of_place, (view.client, view.active))

  return cluster_attack(options, own_init, own_gradients)
