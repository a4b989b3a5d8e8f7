"""Where an item stands in a user's ranking, and what HR and NDCG make of it; unbatched.

Ties: items with equal scores are taken to stand in random order, and metrics are expectations over that order. A
constant model over M items therefore scores HR@K = K / M, not 1.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

BEHIND = 2**30


class Standing(NamedTuple):
  """Where items stand among others.

  Attributes:
    better: items with a higher score, int32 of any shape.
    equal: other items with the same score, int32 of the same shape.
  """

  better: jax.Array
  equal: jax.Array


def standing(scores: jax.Array, score: jax.Array) -> Standing:
  """Where an item with `score` stands in a list that holds it.

  Args:
    scores: scores of all ranked items `[M]`, the item's own among them; -inf where an item is not ranked.
    score: the item's own, a scalar. If it is -inf, the item is not ranked and stands behind the end of any list.

  Returns:
    Scalars.

  >>> standing(jnp.array([0.5, 0.1, 0.5, 0.9]), jnp.array(0.5))
  Standing(better=Array(1, dtype=int32), equal=Array(1, dtype=int32))
  """
  better = jnp.sum(scores > score, dtype=jnp.int32)
  equal = jnp.sum(scores == score, dtype=jnp.int32) - 1
  ranked = score > -jnp.inf
  return Standing(jnp.where(ranked, better, BEHIND), jnp.where(ranked, equal, 0))


def hit(place: Standing, k: int) -> jax.Array:
  """Expected hit among the first K: 1 if surely there, 0 if surely not, a share where ties decide.

  >>> float(hit(Standing(jnp.array(0), jnp.array(3)), 1))  # one of four equals
  0.25
  """
  return jnp.clip((k - place.better) / (place.equal + 1), 0.0, 1.0)


def discounts(k: int) -> np.ndarray:
  """Sums of 1 / log2(1 + rank) over the first 0..K ranks, float32 `[K + 1]`."""
  ranks = np.arange(1, k + 1)
  return np.concatenate([[0.0], np.cumsum(1 / np.log2(1 + ranks))]).astype(np.float32)


def gain(place: Standing, k: int) -> jax.Array:
  """Expected discounted gain within the first K: 1 / log2(1 + rank), averaged over the order of ties.

  >>> float(gain(Standing(jnp.array(0), jnp.array(0)), 10))
  1.0
  """
  table = jnp.asarray(discounts(k))
  first, last = jnp.minimum(place.better, k), jnp.minimum(place.better + place.equal + 1, k)
  return (table[last] - table[first]) / (place.equal + 1)
