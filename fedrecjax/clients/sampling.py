"""Exact uniform draws of items that a user has not interacted with, in a fixed amount of work.

An item outside a user's sorted list is found from its rank among such items: the answer to rank r is
r + #{k : list[k] - k <= r}, one binary search. Every draw has its own key, made from the client and the number of
the draw, so that results do not depend on how clients are batched.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from fedrecjax.datasets import ItemLists
from fedrecjax.numerics.binary_search import count_up_to


class Complement(NamedTuple):
  """For each of N users, the items outside a list, in a form made for drawing.

  Attributes:
    start: first entry of the user's part of `shifted`, int32 `[N]`.
    length: number of different items in the user's list, int32 `[N]`.
    shifted: the k-th smallest item of the list minus k, users one after another, int32 `[n]`.
  """

  start: jax.Array
  length: jax.Array
  shifted: jax.Array


def complement_of(lists: ItemLists) -> Complement:
  """Prepares drawing from outside each user's list (host side)."""
  users = np.repeat(np.arange(len(lists.lengths)), lists.lengths)
  pairs = np.unique(np.stack([users, lists.items]), axis=1)
  length = np.bincount(pairs[0], minlength=len(lists.lengths))
  start = np.cumsum(length) - length
  shifted = pairs[1] - (np.arange(pairs.shape[1]) - start[pairs[0]])
  return Complement(*(jnp.asarray(array, jnp.int32) for array in (start, length, shifted)))


def item_of_rank(complement: Complement, user: jax.Array, rank: jax.Array, num_items: int) -> jax.Array:
  """The item with the given rank among the items outside the user's list.

  Args:
    complement: from :func:`complement_of`.
    user: int32, any shape.
    rank: from 0, below M minus the length of the user's list; same shape.
    num_items: M, static.

  Returns:
    Item ids of the same shape.
  """
  start, length = complement.start[user], complement.length[user]
  if complement.shifted.shape[0] == 0:
    return rank
  return rank + count_up_to(complement.shifted, start, length, rank, longest=num_items)


def uniform_below(bits: jax.Array, bound: jax.Array) -> jax.Array:
  """Maps 32 random bits to 0..bound-1; the bias is at most bound / 2^32.

  >>> int(uniform_below(jnp.uint32(2**31), jnp.int32(10)))
  5
  """
  bound = bound.astype(jnp.uint32)
  # The upper word of the 64-bit product, from 16-bit halves: 64-bit integers are off by default in JAX.
  high, low = bits >> 16, bits & 0xFFFF
  bound_high, bound_low = bound >> 16, bound & 0xFFFF
  left, right = low * bound_high, high * bound_low
  middle = ((low * bound_low) >> 16) + (left & 0xFFFF) + (right & 0xFFFF)
  return (high * bound_high + (left >> 16) + (right >> 16) + (middle >> 16)).astype(jnp.int32)


def draw_negatives(
  key: jax.Array, complement: Complement, user: jax.Array, draw: jax.Array, *, count: int, num_items: int
) -> jax.Array:
  """Draws items outside the users' lists, uniformly and with replacement.

  Args:
    key: of the purpose and, where negatives are drawn anew, of the round.
    complement: from :func:`complement_of`.
    user: int32 `[P]`.
    draw: number of the draw within its user, int32 `[P]`.
    count: items per draw q, static.
    num_items: M, static.

  Returns:
    Item ids, int32 `[P, q]`.
  """

  def bits_of(user: jax.Array, draw: jax.Array) -> jax.Array:
    return jax.random.bits(jax.random.fold_in(jax.random.fold_in(key, user), draw), (count,), jnp.uint32)

  bits = jax.vmap(bits_of)(user, draw)
  free = num_items - complement.length[user]
  rank = uniform_below(bits, jnp.broadcast_to(free[:, None], bits.shape))
  return item_of_rank(complement, jnp.broadcast_to(user[:, None], bits.shape), rank, num_items)


def distinct_numbers(key: jax.Array, bound: int, count: int) -> jax.Array:
  """Draws `count` different numbers below `bound` one after another, every order equally likely.

  The places of the largest random numbers: a shuffle of all would sort them two or three times. Two of the 2^23 values
  that a random number can have are seldom equal, and then the lower place comes first.

  Args:
    key: of the draw.
    bound: static.
    count: static, at most `bound`.

  Returns:
    int32 `[count]`.

  >>> sorted(distinct_numbers(jax.random.key(0), 3, 3).tolist())
  [0, 1, 2]
  """
  return lax.top_k(jax.random.uniform(key, (bound,), jnp.float32), count)[1].astype(jnp.int32)


def distinct_ranks(key: jax.Array, bound: jax.Array, count: int) -> jax.Array:
  """Draws `count` different numbers below `bound`, every set equally likely (Floyd's algorithm).

  Args:
    key: of one user.
    bound: int32 scalar, at least `count`.
    count: static.

  Returns:
    int32 `[count]`, in no particular order.
  """
  return distinct_from_bits(jax.random.bits(key, (count,), jnp.uint32), bound)


def distinct_from_bits(bits: jax.Array, bound: jax.Array) -> jax.Array:
  """:func:`distinct_ranks` for 32 random bits a number, uint32 `[count]`."""
  count = bits.shape[0]
  last = bound - count + jnp.arange(count, dtype=jnp.int32)
  drawn = uniform_below(bits, last + 1)

  def add(step: int, chosen: jax.Array) -> jax.Array:
    taken = jnp.any(chosen == drawn[step])
    return chosen.at[step].set(jnp.where(taken, last[step], drawn[step]))

  return lax.fori_loop(0, count, add, jnp.full(count, -1, jnp.int32))
