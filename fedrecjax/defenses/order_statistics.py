"""Coordinate-wise order statistics over the clients that touched an item: median and trimmed means."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp

from fedrecjax.defenses.item_groups import map_items, sort_rows
from fedrecjax.defenses.none import Scale
from fedrecjax.defenses.registry import DEFENSES
from fedrecjax.hyperparameters import check, traced
from fedrecjax.types import ClientUpdates, Defense, DefenseView, State, Update

FRule = Literal["ratio_of_count", "per_round", "global", "number"]


def _take(values: jax.Array, position: jax.Array) -> jax.Array:
  """Row `position[g]` of each item g, `[K, G, d], [G] -> [G, d]`."""
  return jnp.take_along_axis(values, jnp.clip(position, 0, values.shape[0] - 1)[None, :, None], axis=0)[0]


def median_of_sorted(values: jax.Array, count: jax.Array) -> jax.Array:
  """Median of each item's sorted rows, the mean of the middle two for an even count.

  Args:
    values: sorted along the first axis `[K, G, d]`, +inf beyond an item's count.
    count: rows of each item `[G]`.

  Returns:
    `[G, d]`.
  """
  return (_take(values, (count - 1) // 2) + _take(values, count // 2)) / 2


def _mean_of_window(values: jax.Array, start: jax.Array, length: jax.Array) -> jax.Array:
  """Mean of places start..start+length-1; `start` is `[G, d]`, `length` `[G]`."""
  place = jnp.arange(values.shape[0])[:, None, None]
  inside = (place >= start) & (place < start + length[:, None])
  return jnp.sum(jnp.where(inside, values, 0.0), axis=0) / jnp.maximum(length, 1)[:, None]


def trimmed_extremes(values: jax.Array, count: jax.Array, trimmed: jax.Array) -> jax.Array:
  """Mean without the `trimmed` smallest and largest values of each coordinate (Yin et al., 2018).

  Args:
    values: sorted along the first axis `[K, G, d]`.
    count: rows of each item `[G]`.
    trimmed: f of each item `[G]`, 2 f < count.

  Returns:
    `[G, d]`.
  """
  return _mean_of_window(values, trimmed[:, None], count - 2 * trimmed)


def mean_around_median(values: jax.Array, count: jax.Array, trimmed: jax.Array) -> jax.Array:
  """Mean of the count - f values nearest the median; of two equally near ones the smaller is kept.

  Args:
    values: sorted along the first axis `[K, G, d]`.
    count: rows of each item `[G]`.
    trimmed: f of each item `[G]`, f < count.

  Returns:
    `[G, d]`.
  """
  middle_sum = _take(values, (count - 1) // 2) + _take(values, count // 2)
  kept = count - trimmed
  # The kept values are neighbours. A value at the lower end gives way to the next one above the window while it
  # lies further from the median: median - low > high - median, written without the division by two.
  place = jnp.arange(values.shape[0])[:, None]
  above = jnp.take_along_axis(values, jnp.clip(place + kept, 0, values.shape[0] - 1)[..., None], axis=0)
  gives_way = (place < trimmed)[..., None] & (values + above < middle_sum)
  return _mean_of_window(values, jnp.sum(gives_way, axis=0), kept)


def trim_count(count: jax.Array, view: DefenseView, rule: FRule, value: jax.Array | float) -> jax.Array:
  """How many values f a rule drops, by the number of rows of each item.

  Args:
    count: rows of each item, int32 `[G]`.
    view: says how many clients the round and the federation have.
    rule: "ratio_of_count": floor(value * count); "per_round": floor(value * clients of the round); "global":
      floor(value * clients of the federation); "number": floor(value).
    value: see `rule`.

  Returns:
    int32 `[G]`. A product just under an integer counts as that integer (0.29 * 100 is 29).
  """
  bases = {"ratio_of_count": count, "per_round": view.clients, "global": view.federation, "number": jnp.int32(1)}
  base = bases[rule]
  return jnp.broadcast_to(jnp.floor(value * base + 1e-4).astype(jnp.int32), count.shape)


def _per_item(
  statistic: Callable[[jax.Array, jax.Array, DefenseView], jax.Array], scale: Scale
) -> Defense:
  """A defence whose aggregation rule is a statistic of each item's sorted rows."""

  def aggregate(state: State, uploads: ClientUpdates, view: DefenseView) -> tuple[State, Update]:
    def rule(values: jax.Array, count: jax.Array) -> jax.Array:
      result = statistic(sort_rows(values), count, view)
      return result * count[:, None] if scale == "sum" else result

    return Update(map_items(rule, uploads, num_items=view.num_items, max_count=view.num_clients)), state

  return Defense(aggregate=aggregate, unique_rows=True)


@DEFENSES.register
@traced
def median(*, scale: Scale = "sum") -> Defense:
  """Coordinate-wise median over the clients that uploaded an item.

  Args:
    scale: "sum" multiplies the median by the number of those clients, which keeps the scale of a sum (PIECK's
      published code); "mean" does not (Spattack).

  Returns:
    A defence with an aggregation rule only.

  References:
    Yin et al., "Byzantine-Robust Distributed Learning: Towards Optimal Statistical Rates", 2018.
  """

  def statistic(values: jax.Array, count: jax.Array, view: DefenseView) -> jax.Array:
    del view
    return median_of_sorted(values, count)

  return _per_item(statistic, scale)


@DEFENSES.register
@traced
def trimmed_mean(
  *,
  reading: Literal["extremes", "around_median"] = "extremes",
  f_rule: FRule = "ratio_of_count",
  f: float = 0.05,
  too_few: Literal["median", "zero"] = "median",
  scale: Scale = "sum",
) -> Defense:
  """Coordinate-wise trimmed mean over the clients that uploaded an item.

  Args:
    reading: "extremes" drops the f largest and f smallest values (Yin et al.); "around_median" drops the f values
      furthest from the median (published code of PIECK and Spattack).
    f_rule: what `f` is a share of: "ratio_of_count" of the item's clients (PIECK), "per_round" of the round's,
      "global" of all clients of the federation (Spattack); or "number", `f` itself.
    f: share or number of values to drop; 0.05 is PIECK's.
    too_few: what to do where too few rows remain (2 f >= count, or f >= count around the median): "median", or
      "zero" for no update of that item.
    scale: "sum" multiplies by the number of clients, which keeps the scale of a sum (PIECK's published code);
      "mean" does not (Spattack).

  Returns:
    A defence with an aggregation rule only.

  Raises:
    ValueError: if `f` is negative, or a share of one half or more.

  References:
    Yin et al., "Byzantine-Robust Distributed Learning: Towards Optimal Statistical Rates", 2018.
  """
  check(f >= 0, f"trimmed_mean.f must not be negative, got {f}")
  if f_rule != "number":
    check(f < 0.5, f"trimmed_mean.f is a share and must be below 0.5, got {f}")

  def statistic(values: jax.Array, count: jax.Array, view: DefenseView) -> jax.Array:
    trimmed = trim_count(count, view, f_rule, f)
    enough = 2 * trimmed < count if reading == "extremes" else trimmed < count
    trimmed = jnp.where(enough, trimmed, 0)
    trim = trimmed_extremes if reading == "extremes" else mean_around_median
    fallback = median_of_sorted(values, count) if too_few == "median" else jnp.zeros(values.shape[1:])
    return jnp.where(enough[:, None], trim(values, count, trimmed), fallback)

  return _per_item(statistic, scale)
