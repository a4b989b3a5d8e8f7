"""Coordinate-wise order statistics over the clients that touched an item, or all of a round: median, trimmed means.

Clients that did not touch an item have zero rows for it, which are counted but never laid out in memory.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
from jax import lax

from fedrecjax.defenses.none import Scale, Scope
from fedrecjax.defenses.presence import idle_items, idle_round
from fedrecjax.defenses.registry import DEFENSES
from fedrecjax.methods.hyperparameters import check, traced
from fedrecjax.methods.options import keywords_of
from fedrecjax.server.shared_parameters import SharedRule, aggregate_shared
from fedrecjax.types import ClientUpdates, Defense, DefenseView, State, Update
from fedrecjax.uploads.item_groups import ItemResult, map_items, sort_rows

# Above the rounding error of a share times a number of clients, far below one client.
_MARGIN = 1e-4
FRule = Literal["ratio_of_count", "per_round", "global", "malicious", "number"]


def _take(values: jax.Array, position: jax.Array) -> jax.Array:
  """Row `position` of each item, `[K, G, d], [G, 1] or [G, d] -> [G, d]`."""
  return jnp.take_along_axis(values, jnp.clip(position, 0, values.shape[0] - 1)[None], axis=0)[0]


def _order_statistic(values: jax.Array, zeros: jax.Array | None) -> Callable[[jax.Array], jax.Array]:
  """The function from a position from 0, `[G, 1]` or `[G, d]`, to the value there among sorted rows and zeros."""
  if zeros is None:
    return lambda position: _take(values, position)
  more = zeros[:, None]
  negatives = jnp.sum(values < 0, axis=0, dtype=jnp.int32)

  def value(position: jax.Array) -> jax.Array:
    stored = _take(values, jnp.where(position < negatives, position, position - more))
    return jnp.where((position < negatives) | (position >= negatives + more), stored, 0.0)

  return value


def _total(count: jax.Array, zeros: jax.Array | None) -> jax.Array:
  """How many values an item has, with its zeros."""
  return count if zeros is None else count + zeros


def median_of_sorted(values: jax.Array, count: jax.Array, *, zeros: jax.Array | None = None) -> jax.Array:
  """Median of each item's sorted rows, the mean of the middle two for an even count.

  Args:
    values: sorted along the first axis `[K, G, d]`, +inf beyond an item's count.
    count: rows of each item `[G]`.
    zeros: further rows of each item that are zero and not among `values`, `[G]`; None for none.

  Returns:
    `[G, d]`.
  """
  value, total = _order_statistic(values, zeros), _total(count, zeros)[:, None]
  return (value((total - 1) // 2) + value(total // 2)) / 2


def _mean_of_window(values: jax.Array, start: jax.Array, length: jax.Array, zeros: jax.Array | None) -> jax.Array:
  """Mean of positions start..start+length-1 among rows and zeros; `start` is `[G, 1]` or `[G, d]`, `length` `[G]`."""
  place = jnp.arange(values.shape[0], dtype=jnp.int32)[:, None, None]
  position = place if zeros is None else jnp.where(values < 0, place, place + zeros[:, None])
  inside = (position >= start) & (position < start + length[:, None])
  return jnp.sum(jnp.where(inside, values, 0.0), axis=0) / jnp.maximum(length, 1)[:, None]


def trimmed_extremes(
  values: jax.Array, count: jax.Array, trimmed: jax.Array, *, zeros: jax.Array | None = None
) -> jax.Array:
  """Mean without the `trimmed` smallest and largest values of each coordinate (Yin et al., 2018).

  Args:
    values: sorted along the first axis `[K, G, d]`, +inf beyond an item's count.
    count: rows of each item `[G]`.
    trimmed: f of each item `[G]`, 2 f < count + zeros.
    zeros: further rows of each item that are zero and not among `values`, `[G]`; None for none.

  Returns:
    `[G, d]`.
  """
  return _mean_of_window(values, trimmed[:, None], _total(count, zeros) - 2 * trimmed, zeros)


def mean_around_median(
  values: jax.Array, count: jax.Array, trimmed: jax.Array, *, zeros: jax.Array | None = None
) -> jax.Array:
  """Mean of all but the f values furthest from the median; of two equally far ones the smaller is kept.

  Args:
    values: sorted along the first axis `[K, G, d]`, +inf beyond an item's count.
    count: rows of each item `[G]`.
    trimmed: f of each item `[G]`, f < count + zeros.
    zeros: further rows of each item that are zero and not among `values`, `[G]`; None for none.

  Returns:
    `[G, d]`.
  """
  value, total = _order_statistic(values, zeros), _total(count, zeros)[:, None]
  middle_sum = value((total - 1) // 2) + value(total // 2)
  kept = total - trimmed[:, None]

  # The kept values are neighbours. A value at the lower end gives way to the next one above the window while it
  # lies further from the median: median - low > high - median, written without the division by two. The sum of the
  # two grows from place to place, so that the places that give way come first and can be found by bisection.
  def halve(bounds: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
    low, high = bounds
    middle = (low + high) // 2
    gives_way = (value(middle) + value(middle + kept) < middle_sum) & (low < high)
    return jnp.where(gives_way, middle + 1, low), jnp.where(gives_way, high, middle)

  at_most = jnp.broadcast_to(trimmed[:, None], values.shape[1:])
  start, _ = lax.while_loop(
    lambda bounds: jnp.any(bounds[0] < bounds[1]), halve, (jnp.zeros_like(at_most), at_most)
  )
  return _mean_of_window(values, start, kept[:, 0], zeros)


def whole_clients(share: jax.Array | float, clients: jax.Array) -> jax.Array:
  """A share of clients, rounded up to whole ones, int32.

  >>> int(whole_clients(0.01, jnp.int32(50))), int(whole_clients(0.02, jnp.int32(50)))
  (1, 1)
  """
  return jnp.ceil(share * clients - _MARGIN).astype(jnp.int32)


def check_f(owner: str, f: jax.Array | float, rule: FRule) -> None:
  """Raises ValueError, in the name of a defence, unless its `f` can be what :func:`trim_count` takes by that rule."""
  check(f >= 0, f"{owner}.f must not be negative, got {f}")
  if rule == "malicious":
    check(f >= 1, f"{owner}.f is a multiple of the number of malicious clients and must be at least 1, got {f}")
  elif rule != "number":
    check(f < 0.5, f"{owner}.f is a share and must be below 0.5, got {f}")


def trim_count(count: jax.Array, view: DefenseView, rule: FRule, value: jax.Array | float) -> jax.Array:
  """How many values f a rule drops, by the number of rows of each item.

  A share of clients that the server has been told of counts up to whole clients, as ClusterAttack's published code has
  it: whoever expects 1 % of 50 clients to be malicious distrusts one. The share of an item's own clients counts down,
  as PIECK's has it, so that nobody is distrusted in items of few clients.

  Args:
    count: rows of each item, int32 `[G]`.
    view: says how many clients the round and the federation have, and how many of those are malicious.
    rule: "ratio_of_count": value * count, rounded down; "per_round": value * clients of the round, rounded up;
      "global": value * clients of the federation, rounded up; "malicious": value * malicious clients of the federation,
      and "number": value, both rounded down.
    value: see `rule`.

  Returns:
    int32 `[G]`. A product next to an integer counts as that integer (0.29 * 100 is 29).
  """
  if rule in ("per_round", "global"):
    return jnp.broadcast_to(whole_clients(value, view.clients if rule == "per_round" else view.federation), count.shape)
  base = {"ratio_of_count": count, "malicious": view.malicious, "number": jnp.int32(1)}[rule]
  return jnp.broadcast_to(jnp.floor(value * base + _MARGIN).astype(jnp.int32), count.shape)


@dataclasses.dataclass(frozen=True, kw_only=True)
class StatisticOptions:
  """Hyperparameters of every rule by statistics of coordinates; those of :func:`median`.

  Attributes:
    scale: "sum" multiplies the statistic by the number of clients that it is over, which keeps the scale of a sum
      (PIECK's published code); "mean" does not (Spattack).
    scope: "item" takes the clients that uploaded an item; "client" compares whole uploads, in which a client has a
      zero row for every item that it did not upload, be it for lack of data or because a filter dropped it.
    dense_zeros: whether those zero rows count in scope "item" too. A rule for one coordinate at a time has no other
      use for the whole upload, so that this is the same as scope "client". Under the median most items then stand
      still.
    shared: parameters that all items share: each array by this "rule", or added up ("sum").
  """

  scale: Scale = "sum"
  scope: Scope = "item"
  dense_zeros: bool = False
  shared: SharedRule = "rule"


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrimmingOptions:
  """What is trimmed.

  Attributes:
    reading: "extremes" drops the f largest and f smallest values (Yin et al.); "around_median" drops the f values
      furthest from the median (published code of PIECK and Spattack).
    f_rule: what `f` is a share of: "ratio_of_count" of the clients that the mean is over (PIECK), rounded down;
      "per_round" of the round's or "global" of all clients of the federation, rounded up; or a multiple of the number
      of "malicious" clients of the run (Spattack: f = 1); or "number", `f` itself.
    f: share, multiple or number of values to drop; 0.05 is PIECK's.
    too_few: what to do where too few rows remain (2 f >= count, or f >= count around the median): "median", or
      "zero" for no update of that item.
  """

  reading: Literal["extremes", "around_median"] = "extremes"
  f_rule: FRule = "ratio_of_count"
  f: float = 0.05
  too_few: Literal["median", "zero"] = "median"


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrimmedMeanOptions(StatisticOptions, TrimmingOptions):
  """Hyperparameters of :func:`trimmed_mean`."""


def _per_item(
  statistic: Callable[[jax.Array, jax.Array, jax.Array | None, DefenseView], jax.Array],
  in_force: Callable[[jax.Array, DefenseView], jax.Array],
  options: StatisticOptions,
) -> Defense:
  """A defence whose rule is a statistic of each item's sorted rows, and of zeros for clients without one if asked.

  Args:
    statistic: of the rows.
    in_force: whether the statistic of so many rows is more than their mean.
    options: of the rule.
  """
  everybody = options.scope == "client" or options.dense_zeros

  def aggregate(state: State, uploads: ClientUpdates, view: DefenseView) -> tuple[Update, State]:
    def rule(values: jax.Array, count: jax.Array) -> ItemResult:
      zeros = jnp.maximum(view.clients - count, 0) if everybody else None
      result = statistic(sort_rows(values), count, zeros, view)
      return ItemResult(result * _total(count, zeros)[:, None] if options.scale == "sum" else result)

    items, _ = map_items(rule, uploads, num_items=view.num_items, max_count=view.num_clients)
    shared = aggregate_shared(lambda rows, count: rule(rows, count).row, uploads, treatment=options.shared)
    if everybody:
      idle = idle_round(in_force(view.clients[None], view)[0], view.clients)
    else:
      idle = idle_items(uploads, view.num_items, lambda count: in_force(count, view))
    return Update(items, shared, idle=idle), state

  return Defense(aggregate=aggregate, unique_rows=True)


@DEFENSES.register
@traced
@keywords_of(StatisticOptions)
def median(options: StatisticOptions) -> Defense:
  """Coordinate-wise median over the clients that uploaded an item, or over all clients of the round.

  Returns:
    A defence with an aggregation rule only.

  References:
    Yin et al., "Byzantine-Robust Distributed Learning: Towards Optimal Statistical Rates", 2018.
  """

  def statistic(values: jax.Array, count: jax.Array, zeros: jax.Array | None, view: DefenseView) -> jax.Array:
    del view
    return median_of_sorted(values, count, zeros=zeros)

  def in_force(count: jax.Array, view: DefenseView) -> jax.Array:
    del view
    return count > 2

  return _per_item(statistic, in_force, options)


@DEFENSES.register
@traced
@keywords_of(TrimmedMeanOptions)
def trimmed_mean(options: TrimmedMeanOptions) -> Defense:
  """Coordinate-wise trimmed mean over the clients that uploaded an item, or over all clients of the round.

  Returns:
    A defence with an aggregation rule only.

  Raises:
    ValueError: if `f` is negative, or a share of one half or more.

  References:
    Yin et al., "Byzantine-Robust Distributed Learning: Towards Optimal Statistical Rates", 2018.
  """
  reading = options.reading
  check_f("trimmed_mean", options.f, options.f_rule)

  def trimming(total: jax.Array, view: DefenseView) -> tuple[jax.Array, jax.Array]:
    trimmed = trim_count(total, view, options.f_rule, options.f)
    return trimmed, 2 * trimmed < total if reading == "extremes" else trimmed < total

  def statistic(values: jax.Array, count: jax.Array, zeros: jax.Array | None, view: DefenseView) -> jax.Array:
    trimmed, enough = trimming(_total(count, zeros), view)
    trimmed = jnp.where(enough, trimmed, 0)
    trim = trimmed_extremes if reading == "extremes" else mean_around_median
    fallback = (
      median_of_sorted(values, count, zeros=zeros) if options.too_few == "median" else jnp.zeros_like(values[0])
    )
    return jnp.where(enough[:, None], trim(values, count, trimmed, zeros=zeros), fallback)

  def in_force(count: jax.Array, view: DefenseView) -> jax.Array:
    trimmed, enough = trimming(count, view)
    return (trimmed > 0) & enough

  return _per_item(statistic, in_force, options)
