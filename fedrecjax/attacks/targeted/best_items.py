"""The items that approximated users would be recommended: the best of all but what is known of them.

Where scores are inner products, an item much shorter than those already found cannot be among the best, whatever its
direction (Cauchy and Schwarz). The longest items are scored for everybody, and then for each user as many as could
still matter. Lists are the same as with all items scored, equal scores included.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from fedrecjax.attacks.targeted.user_approximation import Ordered, PublicLists, members_among, ordered
from fedrecjax.numerics.ordering import in_order
from fedrecjax.types import Array, Model, Public
from fedrecjax.uploads.item_groups import sort_rows
from fedrecjax.uploads.rows import row_norms

# Scores held at a time where all items are scored, and where fewer are.
_SCORES, _FEWER_SCORES = 2**19, 2**16
# Fewest items that are scored for a user; others get more, in numbers that double from there.
_FEWEST = 256
# Groups of items whose best are compared first, where there are several times as many items.
_GROUPS = 128
# Share by which an inner product may exceed the product of both lengths by rounding, generously.
_ROUNDING = 1e-4
# Lengths are compared by exponent and seven binary digits, so that they can be sorted together with their places.
_DROPPED_DIGITS = 16


class Best(NamedTuple):
  """The best items of some users, the best first; of equally good ones the first.

  Attributes:
    score: float32 `[U, K]`, -inf where there are no more.
    item: int32 `[U, K]`, any where there are no more.
  """

  score: Array
  item: Array


class Candidates(NamedTuple):
  """Items that are scored.

  Attributes:
    item: in ascending order, int32 `[n]`.
    place: of every item among them, int32 `[M]`; n for others.
  """

  item: Array
  place: Array


def sizes(num_items: int, fewest: int) -> list[int]:
  """Numbers of items to score: doubling from `fewest`, then all.

  >>> sizes(1000, 128), sizes(200, 128)
  ([128, 256, 1000], [200])
  """
  found = []
  size = fewest
  while 2 * size <= num_items:
    found.append(size)
    size *= 2
  return [*found, num_items]


def in_windows(function: Callable[[Array], Any], count: int, size: int) -> Any:
  """Puts together what a function says of places some at a time.

  Args:
    function: `first -> pytree of [size, ...]`, of the places from `first` on; what it says of those after the last
      one means nothing.
    count: of places, static.
    size: of a window, static.

  Returns:
    A pytree of `[count, ...]`.
  """
  first = jnp.arange(0, count, size, dtype=jnp.int32)
  return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:])[:count], lax.map(function, first))


def without_known(
  scores: Array, candidates: Candidates, order: Ordered, lists: PublicLists, first: Array, barred: Array
) -> Array:
  """Scores with -inf for items that do not count.

  Args:
    scores: of B users from a place of the order on, `[B, n]`.
    candidates: n items.
    order: of users.
    lists: items that do not count for a user.
    first: place of the first of these users, int32 scalar.
    barred: items that count for nobody, int32 `[T]`.
  """
  size = scores.shape[0]
  held = members_among(order, lists, first, size)
  known = candidates.place.at[lists.item.at[held.entry].get(mode="clip")].get(mode="clip")
  row = jnp.concatenate([held.member, jnp.repeat(jnp.arange(size, dtype=jnp.int32), barred.shape[0])])
  column = jnp.concatenate([
    jnp.where(held.valid, known, candidates.item.shape[0]), jnp.tile(candidates.place[barred], size)
  ])
  return scores.at[row, column].set(-jnp.inf, mode="drop")


def lower_bound(scores: Array, count: int) -> Array:
  """A number that at least `count` scores of each user reach, and few more, `[B, n] -> [B]`.

  The K-th best of the best of each of 2 K groups or more. Groups are no items of their own and need not be told
  apart, so that a network sorts them for all users at once.

  Args:
    scores: n is a multiple of :func:`groups` of K.
    count: K, static.
  """
  size = groups(count)
  best = jnp.max(scores.reshape(scores.shape[0], -1, size), axis=1)
  return sort_rows(best.T[:, :, None])[size - count, :, 0]


def groups(count: int) -> int:
  """The power of two of at least 2 K."""
  return 1 << (2 * count - 1).bit_length()


def by_length(table: Array) -> tuple[Array, Array]:
  """Items from the longest to the shortest, int32 `[M]`, and numbers that their lengths do not exceed `[M]`."""
  digits = lax.bitcast_convert_type(row_norms(table), jnp.int32) >> _DROPPED_DIGITS
  most = (1 << (31 - _DROPPED_DIGITS)) - 1
  order, item = in_order(most - digits, most)
  return item, lax.bitcast_convert_type((most - order + 1) << _DROPPED_DIGITS, jnp.float32)


def best_items(
  model: Model, public: Public, vectors: Array, lists: PublicLists, barred: Array, *, count: int
) -> Best:
  """The K best items of every user.

  Args:
    model: base recommender.
    public: its parameters.
    vectors: user vectors `[U, r]`, U > 0.
    lists: items that do not count for a user.
    barred: items that count for nobody, int32 `[T]`.
    count: K, static, at most M.
  """
  num_users, num_items = vectors.shape[0], public.items.shape[0]
  as_given = ordered(lists, jnp.arange(num_users, dtype=jnp.int32))
  steps = sizes(num_items, max(_FEWEST, 8 * groups(count)))
  if model.score_vector is not None and len(steps) > 1:
    score_vectors = jax.vmap(model.score_vector, in_axes=(0, None))(vectors, public.shared)
    return _longest_first(score_vectors, public.items, lists, as_given, barred, steps, count)
  every = jnp.arange(num_items, dtype=jnp.int32)
  size, candidates = min(max(_SCORES // num_items, 1), num_users), Candidates(every, every)

  def search(first: Array) -> Best:
    own = _among(vectors, as_given, first, size)
    scores = jax.vmap(model.score, in_axes=(None, 0, None))(public, own, None)
    return _best_of(without_known(scores, candidates, as_given, lists, first, barred), candidates, count)

  return in_windows(search, num_users, size)


def _among(given: Array, order: Ordered, first: Array, size: int) -> Array:
  """What is given of all users, of `size` of them from a place of the order on."""
  return given.at[order.user.at[first + jnp.arange(size, dtype=jnp.int32)].get(mode="clip")].get(mode="clip")


def top_places(scores: Array, count: int) -> tuple[Array, Array]:
  """:func:`jax.lax.top_k` of rows of many numbers, `[B, n]`, in less time.

  The K best are among those groups of neighbours whose own best are the K best of all groups', and earlier groups hold
  earlier places, so that equal numbers keep their order.

  >>> [one.tolist() for one in top_places(jnp.array([[1.0, 3.0, 3.0, 2.0]]), 2)]
  [[[3.0, 3.0]], [[1, 2]]]
  """
  rows, size = scores.shape
  width = -(-size // _GROUPS)
  if count > _GROUPS or width < 4:
    return lax.top_k(scores, count)
  filled = jnp.pad(scores, ((0, 0), (0, _GROUPS * width - size)), constant_values=-jnp.inf)
  grouped = filled.reshape(rows, _GROUPS, width)
  group = jnp.sort(lax.top_k(jnp.max(grouped, axis=2), count)[1], axis=1)
  score, place = lax.top_k(jnp.take_along_axis(grouped, group[:, :, None], axis=1).reshape(rows, -1), count)
  # A place after the last number stands for one that is not there, and any will do.
  return score, jnp.minimum(jnp.take_along_axis(group, place // width, axis=1) * width + place % width, size - 1)


def _best_of(scores: Array, candidates: Candidates, count: int) -> Best:
  score, place = top_places(scores, count)
  return Best(score, candidates.item[place])


def _longest_first(
  vectors: Array, table: Array, lists: PublicLists, as_given: Ordered, barred: Array, steps: list[int], count: int
) -> Best:
  """The best items by inner product, from as many of the longest as each user needs: one of the numbers `steps`."""
  num_users, num_items = vectors.shape[0], table.shape[0]
  every = jnp.arange(num_items, dtype=jnp.int32)
  longest, length = by_length(table)

  def candidates_of(size: int) -> Candidates:
    item = every if size == num_items else jnp.sort(longest[:size])
    return Candidates(item, jnp.full(num_items, size, jnp.int32).at[item].set(every[:size]))

  def scored(candidates: Candidates, order: Ordered, first: Array, size: int) -> Array:
    own = _among(vectors, order, first, size)
    scores = jnp.matmul(own, table[candidates.item].T, precision=lax.Precision.HIGHEST)
    return without_known(scores, candidates, order, lists, first, barred)

  some, size = candidates_of(steps[0]), min(max(_SCORES // steps[0], 1), num_users)
  bound = in_windows(lambda first: lower_bound(scored(some, as_given, first, size), count), num_users, size)
  needed = reaching(bound, row_norms(vectors), length)
  step, users = in_order(jnp.searchsorted(jnp.array(steps, jnp.int32), needed).astype(jnp.int32), len(steps))
  order = ordered(lists, users)
  ends = jnp.searchsorted(step, jnp.arange(len(steps), dtype=jnp.int32), side="right").astype(jnp.int32)
  held = [*[_FEWER_SCORES] * (len(steps) - 1), _SCORES]
  windows = [min(max(most // candidates, 1), num_users) for most, candidates in zip(held, steps, strict=True)]
  places = num_users + max(windows)
  found = Best(jnp.zeros((places, count), jnp.float32), jnp.zeros((places, count), jnp.int32))
  begin = jnp.int32(0)
  for end, size, candidates in zip(ends, windows, map(candidates_of, steps), strict=True):

    def search(
      number: Array, found: Best, begin: Array = begin, size: int = size, candidates: Candidates = candidates
    ) -> Best:
      first = begin + number * size
      best = _best_of(scored(candidates, order, first, size), candidates, count)
      # Users after those of this step get too few items here, and their own when their turn comes.
      return jax.tree.map(lambda all, some: lax.dynamic_update_slice(all, some, (first, 0)), found, best)

    found = lax.fori_loop(0, -(-(end - begin) // size), search, found)
    begin = end
  return jax.tree.map(lambda leaf: jnp.zeros_like(leaf[:num_users]).at[users].set(leaf[:num_users]), found)


def reaching(bound: Array, user_length: Array, length: Array) -> Array:
  """How many of the longest items could have a score of at least `bound`.

  Args:
    bound: of each user `[U]`.
    user_length: L2 norm of the vectors that users' scores are inner products with `[U]`.
    length: of all items, in descending order `[M]`.

  Returns:
    int32 `[U]`.

  >>> reaching(jnp.array([4.0, 2.0, -1.0]), jnp.array([2.0, 2.0, 2.0]), jnp.array([3.0, 2.5, 1.5, 0.5])).tolist()
  [2, 3, 4]
  """
  least = bound / (user_length * (1 + _ROUNDING))
  count = jnp.searchsorted(-length, -least, side="right")
  # A score of 0 or less is in reach of items of any length, and one that is no number says nothing; nor do lengths
  # whose squares are too small for a float.
  return jnp.where((bound > 0) & (count > 0), count, length.shape[0]).astype(jnp.int32)
