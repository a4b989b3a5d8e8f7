"""Krum, MultiKrum and Bulyan: rules that trust the rows, or the clients, that lie closest together."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from fedrecjax.defenses.none import Scope, Weights
from fedrecjax.defenses.order_statistics import FRule, check_f, mean_around_median, median_of_sorted, trim_count
from fedrecjax.defenses.presence import idle_items, idle_round
from fedrecjax.defenses.registry import DEFENSES
from fedrecjax.defenses.selection import (
  NeighborRule,
  best_scored,
  iterative_selection,
  krum_weights,
  mean_near_median,
  number_left_out,
  weighted_sum,
)
from fedrecjax.defenses.whole_uploads import client_distances
from fedrecjax.methods.hyperparameters import check, traced
from fedrecjax.methods.options import keywords_of
from fedrecjax.numerics.distances import pairwise_distances
from fedrecjax.server.shared_parameters import SharedRule, aggregate_shared, present_first
from fedrecjax.types import ClientUpdates, Defense, DefenseView, ItemRows, State, Update
from fedrecjax.uploads.item_groups import ItemResult, map_items, sort_rows
from fedrecjax.uploads.rows import compact, keep_clients

Distance = Literal["squared", "plain"]
TooFew = Literal["sum", "median", "zero"]
SelectionScale = Literal["sum", "mean", "selected"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class SelectionOptions:
  """Hyperparameters of every member of the family.

  Attributes:
    scope: "item" compares the rows of one item (PIECK, Spattack); "client" whole uploads (ClusterAttack).
    neighbors: distances that make a score: to the "n-f-2" nearest of n - 1 others (Blanchard et al.), "n-f-1", or
      "n-f" (PIECK's published code); at least one.
    distance: "squared" (Blanchard et al.), or "plain" (published code of PIECK and Spattack).
    f_rule: what `f` is a share of: "ratio_of_count" of the item's clients (PIECK), rounded down; "per_round" of the
      round's or "global" of all clients of the federation, rounded up; or a multiple of the number of "malicious"
      clients of the run (Spattack: f = 1); or "number", `f` itself.
    f: share, multiple or number of clients distrusted; 0.05 is PIECK's.
    too_few: what to do where there are fewer than 4 f + 3 rows: "sum", "median" (item scope) or "zero" for no update.
    scale: "sum" multiplies the average by the number of clients, which keeps the scale of a sum; "mean" does not;
      "selected" multiplies by the number of rows selected, which adds these up (PIECK's published code).
    dense_zeros: whether clients of the round that did not upload an item count as zero rows; slow, to show what the
      naive reading does.
    shared: parameters that all items share: each array by this "rule", or added up ("sum").
  """

  scope: Scope = "item"
  neighbors: NeighborRule = "n-f-2"
  distance: Distance = "squared"
  f_rule: FRule = "ratio_of_count"
  f: float = 0.05
  too_few: TooFew = "sum"
  scale: SelectionScale = "sum"
  dense_zeros: bool = False
  shared: SharedRule = "rule"


@dataclasses.dataclass(frozen=True, kw_only=True)
class KrumOptions(SelectionOptions):
  """Hyperparameters of :func:`krum`.

  Attributes:
    too_few: what to do where there are no more than 2 f rows: "sum", "median" (item scope), "zero" for no update, or
      "select" all the same (Spattack's published code): where the n rows are too few for the `neighbors` asked for, a
      score is over the n - f nearest others, and where they are no more than f, over all.
    scale: "sum" multiplies by the number of clients, which keeps the scale of a sum (PIECK's published code);
      "mean" does not.
  """

  too_few: Literal["sum", "median", "zero", "select"] = "sum"  # type: ignore[assignment]
  scale: Literal["sum", "mean"] = "sum"


@dataclasses.dataclass(frozen=True, kw_only=True)
class MultiKrumOptions(SelectionOptions):
  """Hyperparameters of :func:`multi_krum`.

  Attributes:
    reading: "iterative" takes Krum's choice out again and again until n - 2 f rows are selected (PIECK); "drop"
      leaves out the f rows with the worst scores (ClusterAttack's published code).
    too_few: what to do where there are no more than 2 f rows ("drop") or fewer than 4 f + 3 ("iterative"): "sum",
      "median" (item scope) or "zero" for no update.
    weights: for scope=client: clients count "equal" or by the number of training "samples" that they claim.
  """

  reading: Literal["iterative", "drop"] = "iterative"
  weights: Weights = "equal"


class _Family(NamedTuple):
  """What tells the members of the family apart.

  Attributes:
    select: `(distances [K, K, G], count [G], f [G]) -> [K, G]`: each row's share, as weights or bool.
    enough: `(count, f) -> bool`: whether there are rows enough for the rule.
    one: whether one row is selected, so that three are enough to leave some out; else f of them are left out at least.
    trimmed: whether a coordinate-wise mean around the median follows, without 2 f of the selected values (Bulyan).
    weights: what the selected clients count by.
  """

  select: Callable[[jax.Array, jax.Array, jax.Array], jax.Array]
  enough: Callable[[jax.Array, jax.Array], jax.Array]
  one: bool = False
  trimmed: bool = False
  weights: Weights = "equal"


def _in_force(
  family: _Family, options: SelectionOptions, count: jax.Array, view: DefenseView
) -> jax.Array:
  """Whether the rule leaves out any of so many rows."""
  f = trim_count(count, view, options.f_rule, options.f)
  return family.enough(count, f) & (count > 2 if family.one else f > 0)


def _majority(count: jax.Array, f: jax.Array) -> jax.Array:
  return count > 2 * f


def _everywhere(count: jax.Array, f: jax.Array) -> jax.Array:
  return jnp.ones(jnp.broadcast_shapes(count.shape, f.shape), bool)


def _enough_to_iterate(count: jax.Array, f: jax.Array) -> jax.Array:
  return (f == 0) | (count >= 4 * f + 3)


def _average(rows: jax.Array, weights: jax.Array) -> jax.Array:
  """Mean of each group's rows by their shares, `[K, G, d], [K, G] -> [G, d]`; 0 where all shares are."""
  total = jnp.sum(weights, axis=0, dtype=jnp.float32)
  return weighted_sum(rows, weights) / jnp.where(total > 0, total, 1.0)[:, None]


def _scaled(result: jax.Array, weights: jax.Array, count: jax.Array, scale: SelectionScale) -> jax.Array:
  """Results `[G, d]` of an average of rows with the given shares `[K, G]`, on the scale asked for."""
  if scale == "mean":
    return result
  factor = count if scale == "sum" else jnp.sum(weights > 0, axis=0, dtype=jnp.int32)
  return result * factor[:, None]


def _item_rule(
  family: _Family, options: SelectionOptions, view: DefenseView
) -> Callable[[jax.Array, jax.Array], ItemResult]:
  """The rule for the rows of G items."""

  def rule(rows: jax.Array, count: jax.Array) -> ItemResult:
    f = trim_count(count, view, options.f_rule, options.f)
    enough = family.enough(count, f)
    f = jnp.where(enough, f, 0)
    weights = family.select(pairwise_distances(rows, squared=options.distance == "squared"), count, f)
    average = mean_near_median(rows, weights > 0, 2 * f) if family.trimmed else _average(rows, weights)
    result = _scaled(average, weights, count, options.scale)
    member = jnp.arange(rows.shape[0], dtype=jnp.int32)[:, None] < count
    kept = (weights > 0) & member

    def fall_back() -> tuple[jax.Array, jax.Array]:
      if options.too_few == "zero":
        instead, all_or_none = jnp.zeros_like(result), jnp.zeros_like(member)
      else:
        ordinary = _average(rows, member) if options.too_few == "sum" else median_of_sorted(sort_rows(rows), count)
        instead, all_or_none = ordinary if options.scale == "mean" else ordinary * count[:, None], member
      return jnp.where(enough[:, None], result, instead), jnp.where(enough, kept, all_or_none)

    return ItemResult(*jax.lax.cond(jnp.all(enough | (count == 0)), lambda: (result, kept), fall_back))

  return rule


def _aggregate_items(
  family: _Family, options: SelectionOptions, uploads: ClientUpdates, view: DefenseView
) -> Update:
  rule = _item_rule(family, options, view)
  absent_rows = None
  if options.dense_zeros:
    # Empty places of the round must not count: clients are numbered among those that are present.
    number = jnp.cumsum(view.present, dtype=jnp.int32) - 1
    uploads = uploads._replace(client=number[uploads.client])
    absent_rows = view.clients
  items, kept = map_items(
    rule, uploads, num_items=view.num_items, max_count=view.num_clients, work="pairs", absent_rows=absent_rows
  )
  shared = aggregate_shared(lambda rows, count: rule(rows, count).row, uploads, treatment=options.shared)
  if options.dense_zeros:
    idle = idle_round(_in_force(family, options, view.clients[None], view)[0], view.clients)
  else:
    idle = idle_items(uploads, view.num_items, lambda count: _in_force(family, options, count, view))
  return Update(items, shared, kept, idle)


def _client_weights(
  family: _Family, options: SelectionOptions, uploads: ClientUpdates, view: DefenseView
) -> tuple[jax.Array, jax.Array]:
  """Each client's share `[C]` by whole uploads, and f, 0 where there are too few clients for the rule."""
  compared = uploads if options.shared == "rule" else uploads._replace(shared=(), sent=None)
  distances = client_distances(compared, view.num_clients, num_items=view.num_items, squared=True)
  order = present_first(view.present)
  distances = distances[order][:, order]
  count = view.clients[None]
  f = trim_count(count, view, options.f_rule, options.f)
  enough = family.enough(count, f)
  f = jnp.where(enough, f, 0)
  scored = distances if options.distance == "squared" else jnp.sqrt(distances)
  shares = family.select(scored[..., None], count, f)[:, 0]
  shares = shares.astype(jnp.float32)
  everybody = jnp.where(enough[0], shares, 1.0 if options.too_few == "sum" else 0.0)
  return jnp.where(view.present, jnp.zeros_like(shares).at[order].set(everybody), 0.0), f[0]


def _aggregate_clients(
  family: _Family, options: SelectionOptions, uploads: ClientUpdates, view: DefenseView
) -> Update:
  weights, f = _client_weights(family, options, uploads, view)
  kept = (weights > 0)[uploads.client] & (uploads.item < view.num_items)
  idle = idle_round(_in_force(family, options, view.clients[None], view)[0], view.clients)
  selected = jnp.sum(weights > 0, dtype=jnp.int32)
  factor = {"sum": view.clients, "mean": jnp.int32(1), "selected": selected}[options.scale]
  if family.weights == "samples":
    weights = weights * view.samples
  weights = weights / jnp.maximum(jnp.sum(weights), 1e-30) * factor
  if not family.trimmed:
    shared = jax.tree.map(lambda leaf: jnp.tensordot(weights, leaf, axes=1), uploads.shared)
    return Update(ItemRows(uploads.item, uploads.row * weights[uploads.client][:, None]), shared, kept, idle)
  picked, _ = compact(keep_clients(uploads, weights > 0, view.num_items), view.num_items)

  def rule(rows: jax.Array, count: jax.Array) -> ItemResult:
    trimmed = jnp.broadcast_to(2 * f, count.shape)
    zeros = jnp.maximum(selected - count, 0)
    return ItemResult(factor * mean_around_median(sort_rows(rows), count, trimmed, zeros=zeros))

  items, _ = map_items(rule, picked, num_items=view.num_items, max_count=view.num_clients)
  everybody = picked if picked.sent is None else picked._replace(sent=weights > 0)
  shared = aggregate_shared(lambda rows, count: rule(rows, count).row, everybody, treatment=options.shared)
  return Update(items, shared, kept, idle)


def _defense(name: str, family: _Family, options: SelectionOptions) -> Defense:
  """The defence of a member of the family; checks what all of them have in common."""
  check_f(name, options.f, options.f_rule)
  whole = options.scope == "client"
  check(not (whole and options.dense_zeros), f"{name}.dense_zeros must be false with scope=client, where clients that"
        " did not upload an item always count as zero")
  check(not (whole and options.too_few == "median"), f"{name}.too_few must be sum or zero with scope=client, where"
        " there is no median of rows to fall back to")
  check(whole or family.weights == "equal", f"{name}.weights must be equal with scope=item")

  def aggregate(state: State, uploads: ClientUpdates, view: DefenseView) -> tuple[Update, State]:
    return (_aggregate_clients if whole else _aggregate_items)(family, options, uploads, view), state

  return Defense(aggregate=aggregate, unique_rows=True)


@DEFENSES.register
@traced
@keywords_of(KrumOptions)
def krum(options: KrumOptions) -> Defense:
  """Krum: the one row that lies closest to its nearest neighbours stands for all.

  Rows of exactly the same score, as any two rows have, share the result equally: their mean is what breaking the tie
  at random gives on average.

  Returns:
    A defence with an aggregation rule only.

  Raises:
    ValueError: if `f` is out of its range or options contradict each other.

  References:
    Blanchard et al., "Machine Learning with Adversaries: Byzantine Tolerant Gradient Descent", 2017.
  """
  always = options.too_few == "select"

  def select(distances: jax.Array, count: jax.Array, f: jax.Array) -> jax.Array:
    nearest = count - 1 - number_left_out(f, options.neighbors)
    if always:
      nearest = jnp.where(nearest > 0, nearest, jnp.where(count > f, count - f, count))
    return krum_weights(distances, count, nearest)

  return _defense("krum", _Family(select, _everywhere if always else _majority, one=True), options)


@DEFENSES.register
@traced
@keywords_of(MultiKrumOptions)
def multi_krum(options: MultiKrumOptions) -> Defense:
  """MultiKrum: the average of the rows that Krum scores best.

  Returns:
    A defence with an aggregation rule only.

  Raises:
    ValueError: if `f` is out of its range or options contradict each other.

  References:
    Blanchard et al., 2017, section 5.
  """

  def select(distances: jax.Array, count: jax.Array, f: jax.Array) -> jax.Array:
    without = number_left_out(f, options.neighbors)
    if options.reading == "drop":
      return best_scored(distances, count, count - 1 - without, count - f)
    return iterative_selection(distances, count, without, count - 2 * f)

  enough = _majority if options.reading == "drop" else _enough_to_iterate
  return _defense("multi_krum", _Family(select, enough, weights=options.weights), options)


@DEFENSES.register
@traced
@keywords_of(SelectionOptions)
def bulyan(options: SelectionOptions) -> Defense:
  """Bulyan: n - 2 f rows selected by Krum one after another, then a mean around the median of each coordinate.

  Returns:
    A defence with an aggregation rule only.

  Raises:
    ValueError: if `f` is out of its range or options contradict each other.

  References:
    El Mhamdi et al., "The Hidden Vulnerability of Distributed Learning in Byzantium", 2018.
  """

  def select(distances: jax.Array, count: jax.Array, f: jax.Array) -> jax.Array:
    return iterative_selection(distances, count, number_left_out(f, options.neighbors), count - 2 * f)

  return _defense("bulyan", _Family(select, _enough_to_iterate, trimmed=True), options)
