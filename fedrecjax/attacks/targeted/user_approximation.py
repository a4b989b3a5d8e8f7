"""An attacker's approximation of users' vectors from what is public of their interactions."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from fedrecjax.clients.sampling import Complement, complement_of, distinct_numbers, draw_negatives
from fedrecjax.clients.user_vectors import vector_without_items
from fedrecjax.datasets import ItemLists
from fedrecjax.types import Array, Model, Public
from fedrecjax.uploads.rows import ragged

_FIRST_DECAY, _SECOND_DECAY, _EPSILON = 0.9, 0.999, 1e-8


class PublicLists(NamedTuple):
  """The public items of the U users that have any, end to end.

  Attributes:
    start: first item of each user, int32 `[U]`.
    length: number of its public items, int32 `[U]`.
    user: of each item, int32 `[n]`.
    item: int32 `[n]`.
    outside: for drawing items that are not among a user's public ones.
    room: float32 `[P, 0]`: P is the most items that a batch of users can have, a shape since it is a capacity.
    batch: float32 `[B, 0]`: B is the most users in a batch.
  """

  start: Array
  length: Array
  user: Array
  item: Array
  outside: Complement
  room: Array
  batch: Array


class Approximation(NamedTuple):
  """What the attacker takes users for, and its optimiser.

  Attributes:
    users: their own vectors, float32 `[U, d]`.
    steps: taken so far, int32 scalar.
    first: first moments `[U, d]`.
    second: second moments `[U, d]`.
  """

  users: Array
  steps: Array
  first: Array
  second: Array


class Members(NamedTuple):
  """The public items of some users, at a fixed number of places P.

  Attributes:
    member: place of the item's user among those users, int32 `[P]`.
    entry: of the item in :class:`PublicLists`, int32 `[P]`.
    valid: whether the place is used, bool `[P]`.
  """

  member: Array
  entry: Array
  valid: Array


def public_lists(lists: ItemLists, batch: int) -> PublicLists:
  """Lays out public items (host side); users without any are left out, since nothing is known of them.

  Args:
    lists: public items by user.
    batch: most users that :func:`members` is asked for at a time.
  """
  length = lists.lengths[lists.lengths > 0]
  indptr = np.concatenate([[0], np.cumsum(length)])
  room = max(int(np.sort(length)[-batch:].sum()), 1)
  held = ItemLists(indptr, lists.items)
  start, lengths, user, item = (
    jnp.asarray(array, jnp.int32) for array in (indptr[:-1], length, held.users, held.items)
  )
  capacities = (jnp.zeros((count, 0), jnp.float32) for count in (room, batch))
  return PublicLists(start, lengths, user, item, complement_of(held), *capacities)


def members(lists: PublicLists, users: Array) -> Members:
  """The public items of users `[B]`, U or more where there is none."""
  places = ragged(lists.length.at[users].get(mode="fill", fill_value=0), lists.room.shape[0])
  start = lists.start.at[users].get(mode="clip")
  return Members(places.segment, start[places.segment] + places.offset, places.valid)


class Ordered(NamedTuple):
  """Users in some order, and their public items, those of one user after those of another.

  Attributes:
    user: int32 `[P]`; U or more where there is none.
    start: of each user's items, and the end of the last one's, int32 `[P + 1]`.
    place: of each item's user in the order, int32 `[n]`.
    entry: of the item in :class:`PublicLists`, int32 `[n]`.
  """

  user: Array
  start: Array
  place: Array
  entry: Array


def ordered(lists: PublicLists, users: Array) -> Ordered:
  """Lays out the public items of users in their order, int32 `[P]`, each of whom stands there once at most."""
  length = lists.length.at[users].get(mode="fill", fill_value=0)
  places = ragged(length, lists.item.shape[0])
  start = jnp.concatenate([jnp.zeros(1, jnp.int32), jnp.cumsum(length, dtype=jnp.int32)])
  entry = lists.start.at[users].get(mode="clip")[places.segment] + places.offset
  return Ordered(users, start, places.segment, entry)


def members_among(order: Ordered, lists: PublicLists, first: Array, size: int) -> Members:
  """The public items of `size` users of an order from a place on.

  Args:
    order: of users, laid out.
    lists: public items.
    first: place of the first of them, int32 scalar.
    size: static.
  """
  begin, end = order.start.at[jnp.array([first, first + size], jnp.int32)].get(mode="clip")
  # Twice as many users have twice as many items at most.
  room = min(-(-size // lists.batch.shape[0]) * lists.room.shape[0], lists.item.shape[0])
  item = begin + jnp.arange(room, dtype=jnp.int32)
  place, entry = (leaf.at[item].get(mode="clip") for leaf in (order.place, order.entry))
  return Members(jnp.clip(place - first, 0, size - 1), entry, item < end)


def init_approximation(key: Array, num_users: int, dim: int, init_std: Array | float) -> Approximation:
  """Random users `[U, d]` and an optimiser that has taken no step."""
  shape = (num_users, dim)
  # The moments must not share memory: training writes into that of its state.
  vectors = init_std * jax.random.normal(key, shape, jnp.float32)
  return Approximation(vectors, jnp.int32(0), jnp.zeros(shape, jnp.float32), jnp.zeros(shape, jnp.float32))


def shuffled_batches(key: Array, num_users: int, batch: int) -> Array:
  """All users in random order, int32 `[batches, B]`, the last batch filled up with `num_users`."""
  count = -(-num_users // batch)
  order = distinct_numbers(key, num_users, num_users)
  return jnp.full(count * batch, num_users, jnp.int32).at[:num_users].set(order).reshape(count, batch)


def ranking_loss(
  model: Model, own: Array, rows: Array, negative_rows: Array, shared: Any, member: Array, valid: Array
) -> Array:
  """What users `[B, d]` lose on their public items: -log sigmoid(score - score of a negative), summed (Eq. 19).

  Args:
    model: base recommender.
    own: the users' own vectors `[B, d]`.
    rows: of their items `[P, d]`.
    negative_rows: `[P, q, d]`.
    shared: the other public parameters.
    member: place of each item's user, int32 `[P]`.
    valid: which places are used, bool `[P]`.
  """
  vectors = jax.vmap(vector_without_items, in_axes=(None, 0, None, None))(model, own, rows[0], shared)
  score = jax.vmap(model.score_row, in_axes=(None, 0, None))

  def of_pair(vector: Array, row: Array, negatives: Array) -> Array:
    return jnp.sum(jax.nn.softplus(score(vector, negatives, shared) - model.score_row(vector, row, shared)))

  return jnp.sum(jnp.where(valid, jax.vmap(of_pair)(vectors[member], rows, negative_rows), 0.0))


def adam_pass(
  state: Approximation,
  lists: PublicLists,
  model: Model,
  public: Public,
  batches: Array,
  negatives: Array,
  learning_rate: Array | float,
) -> Approximation:
  """One pass over all users: a step of Adam for each batch, which moves the users of other batches too.

  Args:
    state: before.
    lists: public items.
    model: base recommender.
    public: its parameters, which stay as they are.
    batches: users of each batch, int32 `[batches, B]`; U or more where there is none.
    negatives: of each public item, int32 `[n, q]`.
    learning_rate: of Adam.

  Returns:
    The approximation after the pass; its first moments of a user go on pushing it while its batch is not up.
  """
  table, shared = public
  count, size = batches.shape
  order = ordered(lists, batches.reshape(-1))

  def step(state: Approximation, number: Array) -> tuple[Approximation, None]:
    users, held = batches[number], members_among(order, lists, number * size, size)
    rows = table[lists.item.at[held.entry].get(mode="clip")]
    negative_rows = table[negatives.at[held.entry].get(mode="clip")]
    own = state.users.at[users].get(mode="clip")
    slope = jax.grad(ranking_loss, argnums=1)(model, own, rows, negative_rows, shared, held.member, held.valid)
    return _adam_step(state, users, slope, learning_rate), None

  return lax.scan(step, state, jnp.arange(count, dtype=jnp.int32))[0]


def _adam_step(
  state: Approximation, users: Array, gradient: Array, learning_rate: Array | float
) -> Approximation:
  """One step of Adam (Kingma and Ba, 2015, Algorithm 1) for all users, of whom a few have a gradient.

  optax takes a gradient of all users, which would cost one more pass over their table for each batch.

  Args:
    state: before the step.
    users: whose gradient it is, int32 `[B]`, each once; one beyond the last is dropped.
    gradient: `[B, d]`.
    learning_rate: step size.
  """
  first = (_FIRST_DECAY * state.first).at[users].add((1 - _FIRST_DECAY) * gradient, mode="drop")
  second = (_SECOND_DECAY * state.second).at[users].add((1 - _SECOND_DECAY) * gradient * gradient, mode="drop")
  steps = state.steps + 1
  taken = steps.astype(first.dtype)
  deviation = jnp.sqrt(second / (1 - _SECOND_DECAY**taken)) + _EPSILON
  moved = state.users - learning_rate * (first / (1 - _FIRST_DECAY**taken) / deviation)
  return Approximation(moved, steps, first, second)


def refresh(
  state: Approximation,
  lists: PublicLists,
  model: Model,
  public: Public,
  key: Array,
  *,
  learning_rate: Array | float,
  passes: int,
  batch: int,
  num_negatives: int,
) -> Approximation:
  """Moves the approximation on, from where it is, towards what the public items say under the present parameters.

  Args:
    state: before.
    lists: public items.
    model: base recommender.
    public: its parameters.
    key: for the order of users and the negatives, anew in each pass.
    learning_rate: of Adam.
    passes: over all users.
    batch: users in a step.
    num_negatives: drawn for each public item, q.
  """
  num_users = state.users.shape[0]
  if num_users == 0:
    return state

  def one_pass(number: Array, state: Approximation) -> Approximation:
    for_order, for_negatives = jax.random.split(jax.random.fold_in(key, number))
    offset = jnp.arange(lists.user.shape[0], dtype=jnp.int32) - lists.start[lists.user]
    negatives = draw_negatives(
      for_negatives, lists.outside, lists.user, offset, count=num_negatives, num_items=public.items.shape[0]
    )
    batches = shuffled_batches(for_order, num_users, batch)
    return adam_pass(state, lists, model, public, batches, negatives, learning_rate)

  return lax.fori_loop(0, passes, one_pass, state)
