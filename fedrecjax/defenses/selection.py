"""Selection of rows by their distances to other rows: Krum, Multi-Krum, Bulyan.

The kernels work on G groups of at most K rows at once. Group g has rows 0..count[g] - 1, and distances are a symmetric
array `[K, K, G]`; what stands beyond a group's count is ignored. Distances that are infinite or not a number, which
a malicious client can bring about, count as equally large and larger than all others. A group may also be a whole
round (G = 1, one row for all that a client uploads).

Some of the kernels break exact ties by place, the lowest first. The order of the rows must then not depend on who is
malicious.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from fedrecjax.defenses.order_statistics import mean_around_median
from fedrecjax.uploads.item_groups import sort_rows

Ties = Literal["average", "first", "last"]
NeighborRule = Literal["n-f-2", "n-f-1", "n-f"]

_LARGEST = 1e30  # float32 can hold the sum of a hundred million of these


def number_left_out(f: jax.Array, rule: NeighborRule) -> jax.Array:
  """How many of the largest distances to the n - 1 other rows are no part of a Krum score, `[G] -> [G]`.

  Args:
    f: rows distrusted, int32 `[G]`.
    rule: how many neighbours count: "n-f-2" (Blanchard et al.), or as many as published code of other papers has.
  """
  return jnp.maximum(f + {"n-f-2": 1, "n-f-1": 0, "n-f": -1}[rule], 0)


def _to_others(distances: jax.Array) -> jax.Array:
  """Distances with +inf from each row to itself, all others finite."""
  own = jnp.eye(distances.shape[0], dtype=bool)[..., None]
  return jnp.where(own, jnp.inf, jnp.where(distances < _LARGEST, distances, _LARGEST))


def _places(size: int) -> jax.Array:
  return jnp.arange(size, dtype=jnp.int32)[:, None]


def krum_scores(distances: jax.Array, count: jax.Array, neighbors: jax.Array) -> jax.Array:
  """Sum of each row's distances to the nearest other rows.

  Args:
    distances: `[K, K, G]`.
    count: rows of each group, int32 `[G]`.
    neighbors: how many of the nearest count, int32 `[G]`; clipped to 1..count - 1.

  Returns:
    `[K, G]`; 0 for an only row, +inf beyond a group's count.

  References:
    Blanchard et al., "Machine Learning with Adversaries: Byzantine Tolerant Gradient Descent", 2017, section 4.
  """
  distances = _to_others(distances)
  member = _places(distances.shape[0]) < count
  farthest, equals = _farthest(distances, member, count - jnp.clip(neighbors, 1, count - 1))
  nearer = member[:, None] & (distances < farthest)
  scores = jnp.sum(jnp.where(nearer, distances, 0.0), axis=0) + equals * farthest
  return jnp.where(member, jnp.where(count > 1, scores, 0.0), jnp.inf)


def krum_weights(distances: jax.Array, count: jax.Array, neighbors: jax.Array, *, ties: Ties = "average") -> jax.Array:
  """Each row's share in the result of Krum.

  Args:
    distances: `[K, K, G]`.
    count: rows of each group, int32 `[G]`.
    neighbors: see :func:`krum_scores`.
    ties: what to do with rows of exactly the same smallest score (two rows always tie): they share equally, or the
      "first" or the "last" of them by place has it all.

  Returns:
    `[K, G]`, of sum 1 for each group, 0 for one without rows.
  """
  scores = krum_scores(distances, count, neighbors)
  best = (scores == jnp.min(scores, axis=0)) & (scores < jnp.inf)
  if ties == "average":
    return equal_weights(best)
  place = jnp.where(best, _places(best.shape[0]), -1)
  only = jnp.max(place, axis=0) if ties == "last" else jnp.argmax(best, axis=0).astype(jnp.int32)
  return (best & (place == only)).astype(jnp.float32)


def best_scored(distances: jax.Array, count: jax.Array, neighbors: jax.Array, picks: jax.Array) -> jax.Array:
  """Multi-Krum in one step: the rows with the smallest scores. Ties go to the lower place.

  Args:
    distances: `[K, K, G]`.
    count: rows of each group, int32 `[G]`.
    neighbors: see :func:`krum_scores`.
    picks: how many rows to select, int32 `[G]`, usually count - f.

  Returns:
    Selected rows, bool `[K, G]`.

  References:
    Blanchard et al., 2017, section 5.
  """
  size = distances.shape[0]
  member = jnp.broadcast_to(_places(size) < count, distances.shape[1:])

  def select() -> jax.Array:
    scores = krum_scores(distances, count, neighbors)
    other, place = scores[:, None], _places(size)
    ahead = (other < scores) | ((other == scores) & (place[:, None] < place))
    return (jnp.sum(ahead.astype(jnp.float32), axis=0) < picks) & member

  return lax.cond(jnp.all(picks >= count), lambda: member, select)


def iterative_selection(distances: jax.Array, count: jax.Array, left_out: jax.Array, picks: jax.Array) -> jax.Array:
  """Picks the row with the smallest Krum score among those that remain, again and again. Ties go to the lower place.

  The score of a row among m that remain is the sum over the m - 1 - left_out nearest of the others, at least one.

  Args:
    distances: `[K, K, G]`.
    count: rows of each group, int32 `[G]`.
    left_out: how many of the largest distances do not count, int32 `[G]`, not negative; see :func:`number_left_out`.
    picks: how many rows to select, int32 `[G]`, usually count - 2 f. It costs next to nothing to select all rows
      of all groups.

  Returns:
    Selected rows, bool `[K, G]`.

  References:
    El Mhamdi et al., "The Hidden Vulnerability of Distributed Learning in Byzantium", 2018, section 4.
  """
  member = jnp.broadcast_to(_places(distances.shape[0]) < count, distances.shape[1:])
  all_rows = picks >= count

  def select() -> jax.Array:
    remains = _pick(_to_others(distances), member, count, left_out, jnp.where(all_rows, 0, picks))
    return member & (all_rows | ~remains)

  return lax.cond(jnp.all(all_rows), lambda: member, select)


class _Counted(NamedTuple):
  """The distances that count in each row's score, `[K, G]` all.

  Attributes:
    total: their sum in float32.
    rest: what rounding has taken from it.
    farthest: the largest of them.
    equals: how many of them are as large.
  """

  total: jax.Array
  rest: jax.Array
  farthest: jax.Array
  equals: jax.Array


def _two_sum(first: jax.Array, second: jax.Array) -> tuple[jax.Array, jax.Array]:
  """A float32 sum and its rounding error, exactly (Knuth)."""
  total = first + second
  shadow = total - first
  return total, (first - (total - shadow)) + (second - shadow)


def _next_largest(
  values: jax.Array, eligible: jax.Array, bound: jax.Array, sign: jax.Array | float = 1.0
) -> tuple[jax.Array, jax.Array]:
  """The largest of `sign * values[j]` below a bound among the rows j that are eligible, and how often it occurs.

  Args:
    values: `[K, K, G]`.
    eligible: bool `[K, G]`.
    bound: `[K, G]`.
    sign: -1 for groups in which the smallest value is looked for, `[G]`.

  Returns:
    Largest value and int32 count, `[K, G]` both; -inf if there is none.
  """

  def compare(place: jax.Array, best: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
    largest, number = best
    value = sign * values[place]
    value = jnp.where(eligible[place] & (value < bound), value, -jnp.inf)
    return jnp.maximum(largest, value), jnp.where(value > largest, 1, number + (value == largest))

  start = jnp.full(bound.shape, -jnp.inf, jnp.float32), jnp.zeros(bound.shape, jnp.int32)
  return lax.fori_loop(0, values.shape[0], compare, start)


def _farthest(distances: jax.Array, member: jax.Array, rank: jax.Array) -> tuple[jax.Array, jax.Array]:
  """The `rank[g]`-th largest distance of each row to others, and how many as large there are from that rank on.

  It is found from above, one value after another: K steps for each row and each larger value. That beats sorting
  while f is a small share.
  """

  def one_value(number: jax.Array, now: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
    del number
    farthest, reached = now
    value, alike = _next_largest(distances, member, farthest)
    short = reached < rank
    return jnp.where(short, value, farthest), jnp.where(short, reached + alike, reached)

  start = jnp.full(distances.shape[1:], jnp.inf, jnp.float32), jnp.zeros(distances.shape[1:], jnp.int32)
  farthest, reached = lax.fori_loop(0, jnp.max(rank), one_value, start)
  return farthest, reached - rank + 1


def _count(distances: jax.Array, member: jax.Array, rank: jax.Array) -> _Counted:
  """What counts if the `rank[g]`-th largest distance is the farthest that does."""
  farthest, equals = _farthest(distances, member, rank)

  def add(place: jax.Array, now: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
    total, rest = now
    distance = distances[place]
    total, error = _two_sum(total, jnp.where(member[place] & (distance < farthest), distance, 0.0))
    return total, rest + error

  zero = jnp.zeros(distances.shape[1:], jnp.float32)
  total, rest = lax.fori_loop(0, distances.shape[0], add, (zero, zero))
  # In two parts, of which a multiple is exact.
  coarse = lax.reduce_precision(farthest, exponent_bits=8, mantissa_bits=11)
  total, error = _two_sum(total, equals * coarse)
  rest += error
  total, error = _two_sum(total, equals * (farthest - coarse))
  return _Counted(total, rest + error, farthest, equals)


def _first_smallest(values: jax.Array) -> jax.Array:
  """Lowest place of the smallest value, `[K, G] -> [G]`."""
  return jnp.min(jnp.where(values == jnp.min(values, axis=0), _places(values.shape[0]), values.shape[0]), axis=0)


def _pick(
  distances: jax.Array, member: jax.Array, count: jax.Array, left_out: jax.Array, picks: jax.Array
) -> jax.Array:
  """The rows `[K, G]` that iterative selection leaves, from distances to others.

  With every row that is picked, each of the others loses one counted distance: the one to that row or, if that is
  among those left out, the largest counted one, which is then left out in its place. To find the next largest takes
  time K instead of 1, but the rows picked first are seldom far from any other.

  Once a single distance counts, it stays one: that to the nearest row that remains.
  """
  size, _, groups = distances.shape

  def step(number: jax.Array, now: tuple[jax.Array, _Counted]) -> tuple[jax.Array, _Counted]:
    remains, counted = now
    chosen = _first_smallest(jnp.where(remains, counted.total + counted.rest, jnp.inf))
    active = number < picks
    remains &= ~((_places(size) == chosen) & active)
    distance = jnp.take_along_axis(distances, jnp.broadcast_to(chosen, (1, size, groups)), axis=0, mode="clip")[0]
    others = count - number - 2
    only_nearest = others <= left_out
    equals = counted.equals - (distance >= counted.farthest)
    to_find = jnp.where(only_nearest, distance <= counted.farthest, equals <= 0) & remains & active

    def find() -> tuple[jax.Array, jax.Array]:
      # The largest of those below the farthest, or the smallest of all.
      sign = jnp.where(only_nearest, jnp.float32(-1.0), 1.0)
      bound = jnp.where(only_nearest, jnp.inf, counted.farthest)
      found, alike = _next_largest(distances, remains, bound, sign)
      return jnp.where(to_find, sign * found, counted.farthest), jnp.where(to_find, alike, equals)

    farthest, equals = lax.cond(jnp.any(to_find), find, lambda: (counted.farthest, equals))
    total, error = _two_sum(counted.total, -jnp.minimum(distance, counted.farthest))
    total = jnp.where(only_nearest, farthest, total)
    rest = jnp.where(only_nearest, 0.0, counted.rest + error)
    return remains, _Counted(total, rest, farthest, equals)

  start = member, _count(distances, member, jnp.minimum(left_out + 1, count - 1))
  return lax.fori_loop(0, jnp.max(picks), step, start)[0]


def equal_weights(kept: jax.Array) -> jax.Array:
  """Weights of sum 1 for the kept rows of each group, all 0 where none is kept; `[K, G] -> [K, G]`."""
  return kept / jnp.maximum(jnp.sum(kept, axis=0, dtype=jnp.int32), 1)


def weighted_sum(rows: jax.Array, weights: jax.Array) -> jax.Array:
  """Sum of each group's rows times their weights, `[K, G, d], [K, G] -> [G, d]`; rows of weight 0 may hold anything."""

  def add(place: jax.Array, total: jax.Array) -> jax.Array:
    weight = weights[place][:, None]
    return total + jnp.where(weight > 0, weight * rows[place], 0.0)

  return lax.fori_loop(0, rows.shape[0], add, jnp.zeros(rows.shape[1:], jnp.float32))


def mean_near_median(rows: jax.Array, kept: jax.Array, dropped: jax.Array) -> jax.Array:
  """Bulyan's second step: the mean of the kept values nearest to the kept rows' median, in each coordinate.

  Args:
    rows: `[K, G, d]`.
    kept: rows to use, bool `[K, G]`, usually count - 2 f of them.
    dropped: how many values to leave out, fewer than are kept, int32 `[G]`; usually 2 f. Of two equally near
      values the smaller is used.

  Returns:
    `[G, d]`.

  References:
    El Mhamdi et al., 2018, section 4.
  """

  def select() -> jax.Array:
    ordered = sort_rows(jnp.where(kept[..., None], rows, jnp.inf))
    return mean_around_median(ordered, jnp.sum(kept, axis=0, dtype=jnp.int32), dropped)

  return lax.cond(jnp.any(dropped > 0), select, lambda: weighted_sum(rows, equal_weights(kept)))
