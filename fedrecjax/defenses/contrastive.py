"""A contrastive task beside the recommendation loss, which spreads the item embeddings out.

Every training sample of a client is an anchor. Its item should be more similar to the item of another of the client's
samples than to items that the client does not hold (InfoNCE).
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from fedrecjax.clients.info_nce import InfoNCE, draw_partner_and_negatives, info_nce
from fedrecjax.clients.local_training import per_client
from fedrecjax.clients.sampling import item_of_rank
from fedrecjax.types import Array, ClientTerm, ClientView

# Anchors worked on at a time: enough to hide the cost of a step of a loop, few enough for their negatives' rows to
# stay in a core's cache. All at once took five times as long on a CPU.
BLOCK = 1024


class Contrasts(NamedTuple):
  """What anchors are compared with.

  Attributes:
    partner: place of another sample of the anchor's client, int32 `[n]`.
    negatives: different items outside the client's training items, int32 `[n, X]`; M where there are fewer than X.
  """

  partner: Array
  negatives: Array


def draw_contrasts(view: ClientView, place: Array, count: int) -> Contrasts:
  """Draws partner and negatives of anchors, uniformly, each anchor from a key of its client and its place there.

  Args:
    view: what the clients know.
    place: places of the anchors among the samples, int32 `[n]`.
    count: negatives of an anchor X.

  Returns:
    For each anchor; meaningless in unused places, as is the partner of a client's only sample.
  """
  samples, outside = view.samples, view.outside
  client = jnp.minimum(view.clients, outside.length.shape[0] - 1)
  keys = jax.vmap(jax.random.fold_in, in_axes=(None, 0))(view.key, client)
  free = view.num_items - outside.length[client]

  of, first = samples.client[place], samples.first[place]
  partner, rank = jax.vmap(functools.partial(draw_partner_and_negatives, count=count))(
    keys[of], place - first, samples.length[of], free[of]
  )
  item = item_of_rank(outside, jnp.broadcast_to(client[of][:, None], rank.shape), rank, view.num_items)
  return Contrasts(first + partner, jnp.where(rank < free[of][:, None], item, view.num_items))


class Directions(NamedTuple):
  """Item rows scaled to length 1.

  Attributes:
    unit: `[M, d]`; zero where a row is zero.
    length: of the rows `[M]`; infinite where a row is zero, so that it has no gradient.
  """

  unit: Array
  length: Array


def directions(table: Array) -> Directions:
  """Splits the item table `[M, d]` into directions and lengths."""
  square = jnp.sum(table * table, axis=1)
  length = jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1.0)), jnp.inf)
  return Directions(table / length[:, None], length)


def through_direction(gradient: Array, items: Array, normal: Directions) -> Array:
  """Gradients with respect to items' rows from those with respect to their directions, `[..., d]`."""
  unit = normal.unit.at[items].get(mode="clip")
  along = jnp.sum(gradient * unit, axis=-1, keepdims=True)
  return (gradient - along * unit) / normal.length.at[items].get(mode="clip")[..., None]


def contrastive_term(
  view: ClientView, *, weight: Array | float, count: int, temperature: Array | float, normalized: bool, mean: bool
) -> ClientTerm:
  """The contrastive task of all clients of a round; a client with a single sample has none.

  A gradient with respect to an anchor or its partner joins the row of the sample whose positive item that is, so
  that only the negatives are further items. Where `train.duplicates=first` keeps that row at home, so does this
  gradient stay.

  Args:
    view: what the clients know.
    weight: of the task, alpha.
    count: negatives of an anchor X.
    temperature: divides the similarities.
    normalized: whether similarity is the cosine, or the inner product.
    mean: whether a client's loss is the mean over its anchors, or their sum.

  Returns:
    Loss, and gradients of the rows of samples and of negatives.
  """
  samples, num_items = view.samples, view.num_items
  capacity, dim = samples.positive.shape[0], view.public.items.shape[1]
  normal = directions(view.public.items) if normalized else None
  table = view.public.items if normal is None else normal.unit
  block = min(BLOCK, capacity)

  def one_block(number: Array, found: tuple[Contrasts, InfoNCE]) -> tuple[Contrasts, InfoNCE]:
    # The last block may begin earlier than its number says, and then finds some results once more.
    start = jnp.minimum(number * block, capacity - block)
    place = start + jnp.arange(block, dtype=jnp.int32)
    drawn = draw_contrasts(view, place, count)
    result = info_nce(
      table[samples.positive[place]],
      table[samples.positive.at[drawn.partner].get(mode="clip")],
      table.at[drawn.negatives].get(mode="clip"),
      drawn.negatives < num_items,
      temperature,
    )
    return jax.tree.map(
      lambda whole, part: lax.dynamic_update_slice_in_dim(whole, part, start, 0), found, (drawn, result)
    )

  nothing = (
    Contrasts(jnp.zeros(capacity, jnp.int32), jnp.full((capacity, count), num_items, jnp.int32)),
    InfoNCE(*(jnp.zeros(shape, jnp.float32) for shape in (capacity, (capacity, 1 + count), (capacity, dim)))),
  )
  used = jnp.sum(samples.length, dtype=jnp.int32)
  drawn, result = lax.fori_loop(0, -(-used // block), one_block, nothing)
  length = samples.length[samples.client]
  factor = jnp.where(samples.valid & (length > 1), weight / jnp.maximum(length, 1) if mean else weight, 0.0)
  pull = result.pull * factor[:, None]
  anchor = table[samples.positive]
  own = (result.anchor * factor[:, None]).at[drawn.partner].add(pull[:, :1] * anchor, mode="drop")
  negatives = pull[:, 1:, None] * anchor[:, None, :]
  if normal is not None:
    own = through_direction(own, samples.positive, normal)
    negatives = through_direction(negatives, drawn.negatives, normal)
  return ClientTerm(
    loss=per_client(samples, result.loss * factor),
    rows=jnp.pad(own[:, None], ((0, 0), (0, samples.negatives.shape[1]), (0, 0))),
    items=jnp.where((factor > 0)[:, None], drawn.negatives, num_items),
    item_rows=negatives,
  )
