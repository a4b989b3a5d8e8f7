"""The farthest malicious row that Krum still selects, for rows of many items at once.

Groups are laid out as in :mod:`fedrecjax.defenses.selection`: item g has rows 0..count[g] - 1 of `[K, G, d]`.
"""

from __future__ import annotations

from typing import Literal

import jax.numpy as jnp
from jax import lax

from fedrecjax.numerics.distances import pairwise_distances
from fedrecjax.types import Array
from fedrecjax.uploads.item_groups import sort_rows

Center = Literal["received", "mean"]


def _first(totals: Array, number: Array) -> Array:
  """Sums of the first `number` of sorted values, from their cumulative sums `[K, ...]`; `number` is `[...]`."""
  found = jnp.take_along_axis(totals, jnp.maximum(number - 1, 0)[None], axis=0)[0]
  return jnp.where(number > 0, found, 0.0)


def _cumulated(values: Array) -> Array:
  """Cumulative sums along the first axis; infinite values, which come last, add nothing."""
  return jnp.cumsum(jnp.where(values < jnp.inf, values, 0.0), axis=0)


def farthest_selected(
  rows: Array, count: Array, copies: Array, *, threshold: Array | float, center: Center
) -> tuple[Array, Array]:
  """Malicious rows center - length * sign(mean of the honest rows), as long as Krum lets them be.

  Args:
    rows: honest rows of G items, `[K, G, d]`; those beyond an item's count are ignored.
    count: honest rows of each item, int32 `[G]`.
    copies: malicious rows of each item, c, all equal, int32 scalar. Krum distrusts as many and takes the sum of squared
      distances to the nearest n - c - 2 of its n - 1 others for the score of a row, at least to one.
    threshold: lengths below it are not tried any more.
    center: "received": gradient zero; "mean": the mean of the honest rows.

  Returns:
    The rows `[G, d]` and their lengths `[G]`. The sequence of lengths begins at the bound of Fang et al. and halves; a
    length is the first at which the malicious rows score below all others, or the first below the threshold.

  References:
    Fang et al., 2020, section 4.2 and Theorem 1.
  """
  size, _, dim = rows.shape
  member = jnp.arange(size, dtype=jnp.int32)[:, None] < count
  rows = jnp.where(member[..., None], rows, 0.0)
  mean = jnp.sum(rows, axis=0) / jnp.maximum(count, 1)[:, None]
  sign = jnp.sign(mean)
  start = mean if center == "mean" else jnp.zeros_like(mean)
  others = member & member[:, None] & ~jnp.eye(size, dtype=bool)[..., None]
  nearest = sort_rows(jnp.where(others, pairwise_distances(rows, squared=True), jnp.inf))
  totals = _cumulated(nearest)
  neighbors = jnp.clip(count - 2, 1, count + copies - 1)

  def selected(length: Array) -> Array:
    away = rows - (start - length[:, None] * sign)
    distance = jnp.where(member, jnp.sum(away * away, axis=-1), jnp.inf)
    closer = jnp.sum(nearest < distance, axis=0, dtype=jnp.int32)
    honest = jnp.clip(closer, jnp.maximum(neighbors - copies, 0), neighbors)
    scores = _first(totals, honest) + (neighbors - honest) * jnp.where(member, distance, 0.0)
    of_copies = _cumulated(sort_rows(distance[..., None])[..., 0])
    own = _first(of_copies, jnp.maximum(neighbors - (copies - 1), 0))
    return own < jnp.min(jnp.where(member, scores, jnp.inf), axis=0)

  among_honest = jnp.broadcast_to(jnp.clip(count - 2, 1, count - 1), member.shape)
  smallest = jnp.min(jnp.where(member, _first(totals, among_honest), jnp.inf), axis=0)
  farthest = jnp.max(jnp.where(member, jnp.sum((rows - start) ** 2, axis=-1), 0.0), axis=0)
  bound = jnp.sqrt(smallest / (jnp.maximum(count - copies - 1, 1) * dim)) + jnp.sqrt(farthest / dim)

  def given_up(length: Array) -> Array:
    # Rows that are no numbers have no bound either.
    return ~((length >= threshold) & (length < jnp.inf))

  def halve(carry: tuple[Array, Array]) -> tuple[Array, Array]:
    length, done = carry
    done = done | selected(length)
    length = jnp.where(done, length, length / 2)
    return length, done | given_up(length)

  length, _ = lax.while_loop(lambda carry: ~jnp.all(carry[1]), halve, (bound, given_up(bound) | (count == 0)))
  return start - length[:, None] * sign, length
