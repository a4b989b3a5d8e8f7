"""UNION: clients spread the item embeddings out, and the server drops uploads that draw them together, or apart."""

from __future__ import annotations

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from fedrecjax.clients.sampling import uniform_below
from fedrecjax.defenses.contrastive import contrastive_term
from fedrecjax.defenses.gap_statistic import draw_references, minority
from fedrecjax.defenses.order_statistics import whole_clients
from fedrecjax.defenses.registry import DEFENSES
from fedrecjax.defenses.uniformity import mean_distance, mean_squared_distance
from fedrecjax.methods.hyperparameters import check, traced
from fedrecjax.numerics.optimizers import DESCENT
from fedrecjax.server.step import step_rows
from fedrecjax.types import (
  Array,
  ClientTerm,
  ClientUpdates,
  ClientView,
  Defense,
  DefenseContext,
  DefenseView,
  State,
)
from fedrecjax.uploads.rows import keep_clients

Sample = Literal["shared", "per_client"]
Trial = Literal["optimizer", "plain"]


class Draws(NamedTuple):
  """What the filter draws for a round.

  Attributes:
    items: whose embeddings are compared, uniform with replacement, int32 `[T]`, or `[C, T]` if drawn per client.
    references: B sets of uniform numbers in [0, 1), float32 `[B, C]`.
  """

  items: Array
  references: Array


def draw_round(view: DefenseView, *, sample: Sample, num_sampled: int, num_references: int) -> Draws:
  """Draws items and references from the round's key; what belongs to a place does not depend on other places."""
  for_items, for_references = jax.random.split(view.key)

  def draw(key: Array) -> Array:
    return uniform_below(jax.random.bits(key, (num_sampled,), jnp.uint32), jnp.int32(view.num_items))

  if sample == "shared":
    items = draw(for_items)
  else:
    places = jnp.arange(view.num_clients, dtype=jnp.int32)
    items = jax.vmap(lambda place: draw(jax.random.fold_in(for_items, place)))(places)
  return Draws(items, draw_references(for_references, num_references, view.num_clients))


def sampled_rows(uploads: ClientUpdates, items: Array, view: DefenseView) -> Array:
  """The rows that each client uploaded for the sampled items, zero for those that it did not upload.

  Args:
    uploads: one row per client and item.
    items: int32 `[T]`, or `[C, T]`.
    view: of the round.

  Returns:
    float32 `[C, T, d]`.
  """
  capacity = uploads.item.shape[0]
  if items.ndim == 1:
    # Only sampled items get a column, that of the place where they were drawn first.
    columns = items.shape[0]
    column_of = jnp.full(view.num_items + 1, columns, jnp.int32).at[items].min(jnp.arange(columns, dtype=jnp.int32))
    column, wanted = column_of[uploads.item], jnp.broadcast_to(column_of[items], (view.num_clients, columns))
  else:
    columns, column, wanted = view.num_items, uploads.item, items
  place_of = jnp.full((view.num_clients, columns), capacity, jnp.int32).at[uploads.client, column].set(
    jnp.arange(capacity, dtype=jnp.int32), mode="drop"
  )
  place = jnp.take_along_axis(place_of, wanted, axis=1)
  return uploads.row.at[place].get(mode="fill", fill_value=0.0)


def uniformities(
  uploads: ClientUpdates, view: DefenseView, items: Array, *, trial: Trial, squared: bool
) -> Array:
  """How far apart each client's upload alone would leave the sampled items.

  Args:
    uploads: one row per client and item.
    view: of the round.
    items: sampled ones, int32 `[T]`, or `[C, T]`.
    trial: "optimizer" tries the step of the server's optimiser, "plain" gradient descent.
    squared: whether distances are squared.

  Returns:
    Mean distance over all pairs of sampled items, float32 `[C]`.
  """
  transformation, state = (view.transformation, view.optimizer) if trial == "optimizer" else (DESCENT, ())
  candidates = step_rows(
    transformation, state, view.public, items, sampled_rows(uploads, items, view), view.learning_rate
  )
  if squared:
    return jax.vmap(mean_squared_distance)(candidates)
  items = jnp.broadcast_to(items, candidates.shape[:2])
  return lax.map(lambda one: mean_distance(*one), (candidates, items))


@DEFENSES.register
@traced
def union(
  *,
  contrastive: bool = True,
  weight: float = 1.0,
  num_contrastive: int = 15,
  temperature: float = 1.0,
  normalized: bool = False,
  reduction: Literal["mean", "sum"] = "mean",
  num_sampled: int = 500,
  sample: Sample = "shared",
  trial: Trial = "optimizer",
  squared: bool = False,
  num_references: int = 50,
  known_ratio: float = 0.0,
) -> Defense:
  """Uniformity-based defence: a contrastive task for clients, and a filter of uploads by gap statistic.

  The filter tries the server's step with each client's upload alone, measures how far apart sampled items lie
  afterwards, and drops the smaller of two groups of clients where the gap statistic finds two; of two groups of one
  size, the one that leaves items further apart. Defaults are the published code's, but for `known_ratio`.

  Args:
    contrastive: whether clients have the contrastive task. Without it the server filters alone, which also works for
      models of histories, whose clients have no single samples to contrast.
    weight: of the contrastive task, alpha; 1 in paper and published code.
    num_contrastive: negatives of an anchor, P; 15 in both. A client with fewer items outside its own takes all.
    temperature: divides similarities; the published code has 1, the paper none.
    normalized: similarity is the cosine, instead of the inner product of Eq. 4 and of the published code.
    reduction: a client's contrastive loss is the "mean" over its anchors (published code) or their "sum" (Eq. 4).
    num_sampled: items whose distances are measured, T; 500 in both.
    sample: items are drawn once for all clients of a round, "shared" (published code), or "per_client" (Algorithm
      2); with replacement in either case, as in the published code.
    trial: "optimizer" tries the step of the server's optimiser (published code), "plain" the step of gradient
      descent (Algorithm 2).
    squared: the distances are squared (Eq. 6), or not (published code).
    num_references: uniform sets that the gap statistic compares with, B; 50 in both.
    known_ratio: share of malicious clients that the server is told (published code); a smaller group of at most
      that share of the round, rounded up, is dropped whatever the gap statistic says. 0: it is told nothing (paper).

  Returns:
    A defence with a client term, unless `contrastive` is false, and a filter; chain it with an aggregation rule.

  Raises:
    ValueError: if a number is out of range; by `init`, if there are not more items than `num_contrastive`.

  References:
    Yu et al., "Untargeted Attack against Federated Recommendation Systems via Poisonous Item Embeddings and the
    Defense", 2023, section 4.2, Eqs. 4 and 6, Algorithms 2 and 3.
  """
  for name, value, least in (
    ("num_contrastive", num_contrastive, 1), ("num_sampled", num_sampled, 2), ("num_references", num_references, 1),
  ):
    check(value >= least, f"union.{name} must be at least {least}, got {value}")
  check(weight >= 0, f"union.weight must be 0 or more, got {weight}")
  check(temperature > 0, f"union.temperature must be positive, got {temperature}")
  check((known_ratio >= 0) & (known_ratio < 1), f"union.known_ratio must be at least 0 and below 1, got {known_ratio}")

  def init(key: Array, context: DefenseContext) -> State:
    del key
    if contrastive and context.num_items <= num_contrastive:
      raise ValueError(
        f"union.num_contrastive = {num_contrastive} different negatives need a catalogue of more items, "
        f"and there are {context.num_items}"
      )
    return ()

  def client_term(state: State, view: ClientView) -> tuple[ClientTerm, State]:
    return contrastive_term(view, weight=weight, count=num_contrastive, temperature=temperature,
                            normalized=normalized, mean=reduction == "mean"), state

  def filter_uploads(state: State, uploads: ClientUpdates, view: DefenseView) -> tuple[ClientUpdates, State]:
    draws = draw_round(view, sample=sample, num_sampled=num_sampled, num_references=num_references)
    values = uniformities(uploads, view, draws.items, trial=trial, squared=squared)
    known = whole_clients(known_ratio, view.clients)
    rejected = minority(values, view.present, draws.references, known)
    return keep_clients(uploads, ~rejected, view.num_items), state

  requires = frozenset({"row_steps"} if trial == "optimizer" else ())
  term = client_term if contrastive else None
  return Defense(client_term=term, filter=filter_uploads, init=init, requires=requires)
