"""A thousand groups of 0 to 150 rows for Krum's kernels.

Groups come in two shapes, small and large ones, for which every kernel is compiled once. Groups of
small integers have many ties, and all arithmetic on them is exact: selections must then be those of
the stated rule. On real numbers a selection may differ from the oracle's where scores agree to a
part in 100,000.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from fedrecjax.defenses import selection
from fedrecjax.numerics.distances import pairwise_distances

SMALL, LARGE = 16, 150
SIZES = (
  np.random.default_rng(0).permutation(np.arange(975) % (SMALL + 1)),
  np.append(np.arange(17, LARGE, 6), [64, 128, 129, LARGE]),
)
TOLERANCE = 1e-5
RULES = ("n-f-2", "n-f-1", "n-f")

distances_of = jax.jit(pairwise_distances, static_argnames="squared")


class Groups(NamedTuple):
  """G groups: rows [K, G, d] with +inf beyond the count, count [G], and f [G], 2 f < count."""

  rows: np.ndarray
  count: np.ndarray
  f: np.ndarray

  def of(self, group: int) -> np.ndarray:
    """The rows of one group in float64."""
    return self.rows[: self.count[group], group].astype(np.float64)


def integer_rows(random: np.random.Generator, count: int) -> np.ndarray:
  rows = random.integers(-3, 4, (count, 2)).astype(float)
  return rows * random.choice([1, 100], (count, 1), p=[0.8, 0.2])


def real_rows(random: np.random.Generator, count: int) -> np.ndarray:
  """Rows among which some are equal, some zero and some far away, alone or all in one place."""
  rows = random.normal(size=(count, 5))
  kind = random.integers(8, size=count)
  rows[kind == 0] = 0.0
  if random.random() < 0.3:
    rows[kind == 1] *= 10.0 ** random.integers(1, 4)
  if random.random() < 0.3:
    rows[kind == 2] = 10.0 ** random.integers(0, 4)
  if count and random.random() < 0.3:
    rows[kind == 3] = rows[0]
  return rows


MAKERS = {"integers": integer_rows, "reals": real_rows}


@functools.cache
def batches(kind: str) -> tuple[Groups, ...]:
  """A thousand groups in two batches."""
  random = np.random.default_rng(len(kind))
  result = []
  for sizes, capacity in zip(SIZES, (SMALL, LARGE), strict=True):
    made = [MAKERS[kind](random, size) for size in sizes]
    rows = np.full((capacity, len(sizes), made[0].shape[1]), np.inf, np.float32)
    for group, some in enumerate(made):
      rows[: len(some), group] = some
    shares = random.choice([0.0, 0.05, 0.2, 0.5], len(sizes))
    f = np.minimum(shares * sizes, np.maximum(sizes - 1, 0) // 2)
    result.append(Groups(rows, sizes.astype(np.int32), f.astype(np.int32)))
  return tuple(result)


@functools.cache
def exact_distances(kind: str, batch: int, group: int, squared: bool) -> np.ndarray:
  rows = batches(kind)[batch].of(group)
  squares = ((rows[:, None] - rows) ** 2).sum(axis=-1)
  return squares if squared else np.sqrt(squares)


def neighbors_of(groups: Groups, rule: str) -> jax.Array:
  return jnp.asarray(groups.count) - 1 - selection.number_left_out(jnp.asarray(groups.f), rule)
