"""Whether some numbers form one group or two: one-dimensional 2-means, solved exactly, and the gap statistic.

Absent numbers are +inf, so that they sort behind all others.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from fedrecjax.types import Array


class TwoMeans(NamedTuple):
  """The best split of numbers into two groups.

  Attributes:
    within: sums of squared distances to the group's mean, for one group and for the best two, `[2]`.
    upper: smallest number of the upper group; +inf where there is nothing to split.
  """

  within: Array
  upper: Array


def scaled(values: Array, present: Array) -> Array:
  """Values scaled to 0..1 over those present, all 0 where these are equal; +inf where absent.

  Args:
    values: `[n]`.
    present: which of them count, bool `[n]`.

  Returns:
    `[n]`.
  """
  low = jnp.min(jnp.where(present, values, jnp.inf))
  spread = jnp.max(jnp.where(present, values, -jnp.inf)) - low
  varied = present & (spread > 0)
  return jnp.where(present, jnp.where(varied, (values - low) / jnp.where(varied, spread, 1.0), 0.0), jnp.inf)


def _growing_within(distance: Array) -> Array:
  """Sums of squared distances to the mean of the first 1, 2, ... numbers.

  All terms are positive: a difference of sums would lose a group that is tight beside the spread of all numbers.

  Args:
    distance: of the numbers from the first of them, in ascending order `[n]`; +inf anywhere where absent.

  Returns:
    `[n]`.
  """
  member = jnp.isfinite(distance)
  distance = jnp.where(member, distance, 0.0)
  count = jnp.cumsum(member, dtype=jnp.int32)
  before = jnp.maximum(count - 1, 1)
  mean_before = (jnp.cumsum(distance) - distance) / before
  return jnp.cumsum(jnp.where(member & (count > 1), (distance - mean_before) ** 2 * before / (before + 1), 0.0))


def two_means(values: Array) -> TwoMeans:
  """One-dimensional 2-means, exactly: every split of the sorted numbers is tried. Equal numbers stay together.

  Args:
    values: `[n]`, +inf where absent.

  Returns:
    The best split; of equally good ones, that with the smallest lower group.
  """
  # An absent number behind all others: there is then always a split to try, if only one that splits nothing.
  ordered = jnp.sort(jnp.append(values, jnp.float32(jnp.inf)))
  present = jnp.isfinite(ordered)
  last = jnp.max(jnp.where(present, ordered, -jnp.inf))
  from_below = jnp.where(present, ordered - ordered[0], jnp.inf)
  from_above = jnp.where(present, last - ordered, jnp.inf)[::-1]
  below, above = jax.vmap(_growing_within)(jnp.stack([from_below, from_above]))
  splits = present[1:] & (ordered[1:] > ordered[:-1])
  both = jnp.where(splits, below[:-1] + above[::-1][1:], jnp.inf)
  best = jnp.argmin(both).astype(jnp.int32)
  return TwoMeans(
    within=jnp.stack([below[-1], jnp.where(splits[best], both[best], 0.0)]),
    upper=jnp.where(splits[best], ordered[best + 1], jnp.inf),
  )


def two_fit_better(within: Array, references: Array) -> Array:
  """The gap statistic's answer: whether two groups describe numbers better than one.

  Sums of zero count as the smallest float. So two different values, which leave nothing within two groups, are two
  groups where there are three or more numbers; two numbers, whose references leave nothing either, have to be
  judged otherwise.

  Args:
    within: sums of squares within one and within two groups, `[2]`.
    references: the same of B sets of as many uniform numbers, `[B, 2]`.

  Returns:
    Scalar bool.

  References:
    Tibshirani, Walther and Hastie, "Estimating the Number of Clusters in a Data Set via the Gap Statistic", 2001.
  """

  def log(sums: Array) -> Array:
    return jnp.log(jnp.maximum(sums, jnp.finfo(sums.dtype).tiny))

  of_references = log(references)
  gap = jnp.mean(of_references, axis=0) - log(within)
  spread = jnp.std(of_references[:, 1]) * jnp.sqrt(jnp.float32(1 + 1 / references.shape[0]))
  return gap[0] < gap[1] - spread


def draw_references(key: Array, num_references: int, size: int) -> Array:
  """Uniform numbers in [0, 1), `[B, size]`; a column's do not depend on how many there are."""
  keys = jax.vmap(jax.random.fold_in, in_axes=(None, 0))(key, jnp.arange(size, dtype=jnp.int32))
  return jax.vmap(lambda key: jax.random.uniform(key, (num_references,), jnp.float32), out_axes=1)(keys)


def minority(values: Array, present: Array, references: Array, always: Array | int) -> Array:
  """Which numbers are in the smaller of two groups, if there are two.

  Fewer than three numbers, or equal ones, are one group: the gap statistic has no value for them.

  Args:
    values: `[n]`.
    present: which of them count, bool `[n]`.
    references: uniform in [0, 1], `[B, n]`; as many columns are used as there are numbers.
    always: the smaller side of the best split counts as a group, whatever the gap statistic says, if it has no more
      members than this.

  Returns:
    bool `[n]`. Of two groups of one size, it is the one with the larger numbers.
  """
  values = scaled(values, present)
  count = jnp.sum(present, dtype=jnp.int32)
  references = jnp.where(jnp.arange(values.shape[0], dtype=jnp.int32) < count, references, jnp.inf)
  means = jax.vmap(two_means)(jnp.concatenate([values[None], references]))
  above = values >= means.upper[0]
  num_above = jnp.sum(present & above, dtype=jnp.int32)
  smaller = jnp.minimum(num_above, count - num_above)
  two = (count > 2) & two_fit_better(means.within[0], means.within[1:])
  found = (smaller > 0) & (two | (smaller <= always))
  return found & present & (above == (num_above == smaller))
