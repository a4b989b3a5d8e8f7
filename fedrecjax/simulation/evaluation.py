"""Evaluation of all benign users as one jitted function, users in chunks so that memory stays bounded."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from fedrecjax.clients.sampling import Complement, complement_of, distinct_ranks, item_of_rank
from fedrecjax.clients.user_vectors import sequence_vectors, set_vectors, vectors_of
from fedrecjax.config import EvalConfig
from fedrecjax.datasets import DataError, Dataset, ItemLists
from fedrecjax.metrics.exposure import exposure_ratio, target_ndcg
from fedrecjax.metrics.ranking import discounts, gain, hit, standing
from fedrecjax.simulation.contracts import checked_method
from fedrecjax.types import Model, Public

# Scores held at a time: small enough for a CPU's cache at 40,000 items, one chunk for sets like MovieLens-100K.
SCORES_PER_CHUNK = 2**21
TARGET_NDCG_K = 10


class Masked(NamedTuple):
  """Pairs that are not ranked, training pairs and items set aside: those of one chunk of users after those of another.

  Attributes:
    start: first pair of each chunk, int32 `[chunks]`.
    length: number of its pairs, int32 `[chunks]`.
    user: place of each pair's user within its chunk, int32 `[E]`; the end may be padded.
    item: int32 `[E]`.
    trained: which of them are training pairs, bool `[E]`.
    room: float32 `[R, 0]`: R is the most pairs of a chunk, a shape since it is a capacity.
  """

  start: jax.Array
  length: jax.Array
  user: jax.Array
  item: jax.Array
  trained: jax.Array
  room: jax.Array


class EvaluationData(NamedTuple):
  """Users in chunks of B (the last may be padded), with what is ranked and what is masked.

  Users with more held-out items come first. Lists lie end to end, those of one chunk after those of another, so that a
  long one takes no room in others.

  Attributes:
    user: int32 `[chunks, B]`; N where padded.
    start: first held-out item of each user, int32 `[chunks, B]`.
    length: number of its held-out items, int32 `[chunks, B]`; 0 where padded.
    held_out: held-out items, int32 `[P]`.
    masked: pairs that are not ranked.
    targets: int32 `[T]`.
    complement: for drawing candidates; None for full ranking.
    history: latest training items of each user in order, unused places (M) first, int32 `[chunks, B, L]`; None for
      models that do not read them in order.
  """

  user: jax.Array
  start: jax.Array
  length: jax.Array
  held_out: jax.Array
  masked: Masked
  targets: jax.Array
  complement: Complement | None
  history: jax.Array | None = None


def metric_names(config: EvalConfig) -> list[str]:
  """Columns of the metrics that :func:`evaluate` returns, in order."""
  names = [f"{metric}@{k}" for metric in ("hr", "ndcg", "er") for k in config.ks]
  return [*names, f"target_ndcg@{TARGET_NDCG_K}"]


def evaluation_data(
  dataset: Dataset, config: EvalConfig, targets: np.ndarray, users: np.ndarray, *, history: int = 0,
  width: int = 1, evaluated: np.ndarray | None = None,
) -> EvaluationData:
  """Prepares evaluation (host side).

  Args:
    dataset: training and held-out items.
    config: what to rank among.
    targets: item ids `[T]`.
    users: the users to evaluate, as ids of the data set, in the order of the clients.
    history: length L of the histories that the model reads; 0 if it reads none.
    width: numbers that the model holds at a time for each score.
    evaluated: which of `users` are evaluated, bool `[N]`; None: all.

  Raises:
    DataError: if nobody has a held-out item, or sampled candidates cannot be drawn.
  """
  # A pair that is held out twice is one hit at most.
  held_out_of = [np.array(list(dict.fromkeys(dataset.test.of(user).tolist())), np.int64) for user in users]
  lengths = np.array([len(items) for items in held_out_of], np.int64)
  chosen = np.ones(len(users), bool) if evaluated is None else evaluated
  lengths = np.where(chosen, lengths, 0)
  if lengths.max(initial=0) == 0:
    raise DataError(f"{dataset.name}: no user has a held-out item to evaluate")
  complement = None
  if config.candidates == "sampled":
    if lengths.max() > 1:
      raise DataError(f"{dataset.name}: eval.candidates=sampled needs at most one held-out item per user, and user"
                      f" {dataset.user_name(users[np.argmax(lengths)])} has {lengths.max()}; use a leave-one-out split")
    complement = complement_of(ItemLists.from_lists([_masked(dataset, user)[0] for user in users]))
    fullest = int(np.argmax(np.asarray(complement.length)))
    free = dataset.num_items - int(complement.length[fullest]) - (not config.held_out_negative)
    if free < config.num_negatives:
      raise DataError(f"{dataset.name}: eval.num_negatives={config.num_negatives} candidates asked for, but user"
                      f" {dataset.user_name(users[fullest])} has only {free} items that it has not interacted with")
  # Users with many held-out items together: the work on a chunk follows its largest user.
  order = np.argsort(-lengths, kind="stable")
  order = order[chosen[order]]
  size = int(np.clip(SCORES_PER_CHUNK // (dataset.num_items * width), 1, len(order)))
  chunks = -(-len(order) // size)
  user, length = np.full(chunks * size, len(users)), np.zeros(chunks * size, np.int64)
  user[: len(order)], length[: len(order)] = order, lengths[order]
  held_out = np.concatenate([held_out_of[one] for one in order])
  start = np.cumsum(length) - length
  histories = None
  if history > 0:
    read = np.full((chunks * size, history), dataset.num_items, np.int32)
    for place, one in enumerate(order):
      items = dataset.train.of(users[one])[-history:]
      read[place, history - len(items) :] = items
    histories = jnp.asarray(read.reshape(chunks, size, history))
  of_users = (array.reshape(chunks, size) for array in (user, start, length))
  arrays = (jnp.asarray(array, jnp.int32) for array in (*of_users, held_out))
  masked = _end_to_end([
    [_masked(dataset, users[one]) for one in order[first : first + size]] for first in range(0, len(order), size)
  ])
  return EvaluationData._make([*arrays, masked, jnp.asarray(targets, jnp.int32), complement, histories])


def _end_to_end(chunks: list[list[tuple[np.ndarray, np.ndarray]]]) -> Masked:
  """Lays out the pairs of every user in every chunk, which are as :func:`_masked` has them."""
  of_users = [[len(items) for items, _ in chunk] for chunk in chunks]
  length = np.array([sum(lengths) for lengths in of_users], np.int64)
  start, room = np.cumsum(length) - length, int(length.max())
  # A piece of as many pairs as the largest chunk has can be cut out for every chunk.
  padding = np.zeros(int((start + room).max() - length.sum()), np.int64)
  user = np.concatenate([*(np.repeat(np.arange(len(lengths)), lengths) for lengths in of_users), padding])
  item, trained = (
    np.concatenate([*(pairs[part] for chunk in chunks for pairs in chunk), padding]) for part in range(2)
  )
  arrays = (jnp.asarray(array, jnp.int32) for array in (start, length, user, item))
  return Masked._make([*arrays, jnp.asarray(trained, bool), jnp.zeros((room, 0), jnp.float32)])


def _masked(dataset: Dataset, user: int) -> tuple[np.ndarray, np.ndarray]:
  """Items of a user that are not ranked, and which of them are training items."""
  items = dataset.train.of(user)
  if dataset.validation is None:
    return items, np.ones(len(items), bool)
  aside = dataset.validation.of(user)
  return np.concatenate([items, aside]), np.arange(len(items) + len(aside)) < len(items)


def masked_pairs(
  masked: Masked, start: jax.Array, length: jax.Array, size: int
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """The pairs of a chunk that are not ranked, at a fixed number of places R.

  Args:
    masked: of :func:`evaluation_data`.
    start: first pair of the chunk, a scalar.
    length: number of its pairs, a scalar.
    size: users in a chunk B.

  Returns:
    Place of each pair's user within the chunk, int32 `[R]`, B where unused; its item, int32 `[R]`; and whether it is a
    training pair, bool `[R]`.
  """
  room = masked.room.shape[0]
  used = jnp.arange(room, dtype=jnp.int32) < length
  user, item, trained = (
    lax.dynamic_slice_in_dim(one, start, room) for one in (masked.user, masked.item, masked.trained)
  )
  return jnp.where(used, user, size), jnp.where(used, item, 0), used & trained


def _candidates(
  data: EvaluationData,
  config: EvalConfig,
  user: jax.Array,
  held_out: jax.Array,
  owned: jax.Array,
  key: jax.Array,
  num_items: int,
) -> jax.Array:
  """Sampled candidates of one user `[num_negatives]`; `owned` says that the held-out item is in its training data."""
  assert data.complement is not None
  free = num_items - data.complement.length[user]
  # The held-out item is left out by drawing as if the last free item did not exist, and moving everything from the
  # held-out item on up by one place. It is not free if it repeats a training item.
  left_out = ~owned & (not config.held_out_negative)
  rank = distinct_ranks(key, free - left_out, config.num_negatives)
  items = item_of_rank(data.complement, jnp.full_like(rank, user), rank, num_items)
  moved = item_of_rank(data.complement, jnp.full_like(rank, user), rank + 1, num_items)
  return jnp.where(left_out & (items >= held_out), moved, items)


def user_vectors(
  model: Model,
  public: Public,
  private: jax.Array,
  pair_user: jax.Array,
  pair_item: jax.Array,
  trained: jax.Array,
  history: jax.Array | None,
  neighbors: tuple[jax.Array, jax.Array] | None = None,
) -> jax.Array:
  """The vectors that users' items are scored for.

  Args:
    model: makes them.
    public: the server's parameters.
    private: the users' own vectors `[B, d]`.
    pair_user: user of each pair, int32 `[E]`, B where unused.
    pair_item: its item, int32 `[E]`.
    trained: which of the pairs are training pairs, bool `[E]`.
    history: latest items of each user in order `[B, L]`; None for models that do not read them so.
    neighbors: see :func:`fedrecjax.clients.user_vectors.set_vectors`.

  Returns:
    `[B, r]`.
  """
  if model.encode is not None:
    assert history is not None
    rows = public.items.at[history].get(mode="clip")
    return sequence_vectors(model, rows, history < public.items.shape[0], public.shared)[:, -1]
  if model.attend is not None:
    rows = public.items[pair_item]
    return set_vectors(model, private, rows, pair_user, trained, public.shared, neighbors=neighbors)
  return private


def evaluate(
  model: Model,
  public: Public,
  private: jax.Array,
  data: EvaluationData,
  key: jax.Array,
  neighbors: jax.Array | None = None,
  *,
  config: EvalConfig,
  num_users: int,
) -> tuple[jax.Array, jax.Array]:
  """Metrics of all benign users.

  Args:
    model: scores items.
    public: the server's parameters.
    private: all clients' own vectors, benign users first `[clients, d]`.
    data: from :func:`evaluation_data`.
    key: for sampled candidates.
    neighbors: clients whose vectors each user has been given, int32 `[clients, K]`, past the last client where there
      are fewer; None while there are none.
    config: static.
    num_users: benign users N, static.

  Returns:
    (means over users `[metrics]`, values per user `[N, metrics]`), in the order of :func:`metric_names`. A user
    without a held-out item has NaN for hr and ndcg, one without an eligible target NaN for er and target_ndcg;
    means leave them out.
  """
  model = checked_method("model", model)
  num_items = public.items.shape[0]
  num_ks = len(config.ks)
  size = data.user.shape[1]
  # Lists get shorter within a chunk: once few users have an item left, only the first ones are looked at. Where each
  # has one there is nothing to gain, and two loops less to compile.
  several = data.held_out.shape[0] > data.user.size
  widths = sorted({size, -(-size // 8), -(-size // 64)}, reverse=True) if several else [size]

  def of_chunk(chunk: tuple[Any, ...]) -> jax.Array:
    user, start, length, masked_start, masked_length, history = chunk
    masked_user, masked_item, trained = masked_pairs(data.masked, masked_start, masked_length, size)
    known = None if neighbors is None else vectors_of(neighbors, private, user)
    own = private.at[user].get(mode="clip")
    own = user_vectors(model, public, own, masked_user, masked_item, trained, history, known)
    scores = jax.vmap(model.score, in_axes=(None, 0, None))(public, own, None)
    scores = scores.at[masked_user, masked_item].set(-jnp.inf, mode="drop")

    def utility_of(own: jax.Array, scores: jax.Array, user: jax.Array, item: jax.Array) -> jax.Array:
      if config.candidates == "sampled":
        owned = scores.at[item].get(mode="clip") == -jnp.inf
        drawn = _candidates(data, config, user, item, owned, jax.random.fold_in(key, user), num_items)
        listed = model.score(public, own, jnp.append(drawn, jnp.minimum(item, num_items - 1)))
        place = standing(listed, listed[-1])
      else:
        place = standing(scores, scores.at[item].get(mode="clip"))
      values = [hit(place, k) for k in config.ks] + [gain(place, k) for k in config.ks]
      return jnp.where(item < num_items, jnp.stack(values), 0.0)

    def held_out(number: jax.Array) -> jax.Array:
      return jnp.where(number < length, data.held_out.at[start + number].get(mode="clip"), num_items)

    def add_held_out(number: jax.Array, total: jax.Array) -> jax.Array:
      ranked = (one[: len(total)] for one in (own, scores, user, held_out(number)))
      return total + jax.vmap(utility_of)(*ranked)

    utility, done = jnp.zeros((size, 2 * num_ks), jnp.float32), jnp.int32(0)
    for first, fewer in zip(widths, (*widths[1:], 0), strict=True):
      until = length[fewer]
      utility = utility.at[:first].set(lax.fori_loop(done, until, add_held_out, utility[:first]))
      done = until
    best = [jnp.asarray(discounts(k))[jnp.clip(length[:, None], 1, k)] for k in config.ks]
    largest = jnp.concatenate([jnp.broadcast_to(jnp.maximum(length, 1)[:, None], (size, num_ks)), *best], axis=1)
    utility = jnp.where(length[:, None] > 0, utility / largest, jnp.nan)
    if config.exposure_among == "unseen":
      places = jnp.arange(size, dtype=jnp.int32)

      def hide_held_out(number: jax.Array, scores: jax.Array) -> jax.Array:
        return scores.at[places, held_out(number)].set(-jnp.inf, mode="drop")

      scores = lax.fori_loop(0, length[0], hide_held_out, scores)

    def exposure_of(scores: jax.Array) -> jax.Array:
      # A score that is no number hides no target: a metric has no value for lack of data alone.
      eligible = scores[data.targets] != -jnp.inf
      place = jax.vmap(standing, in_axes=(None, 0))(scores, scores[data.targets])
      values = [exposure_ratio(place, eligible, k) for k in config.ks]
      values.append(target_ndcg(place, eligible, TARGET_NDCG_K))
      return jnp.where(jnp.any(eligible), jnp.stack(values), jnp.nan)

    return jnp.concatenate([utility, jax.vmap(exposure_of)(scores)], axis=1)

  chunks = (data.user, data.start, data.length, data.masked.start, data.masked.length, data.history)
  per_chunk = lax.map(of_chunk, chunks)
  values = jnp.full((num_users, 3 * num_ks + 1), jnp.nan, jnp.float32)
  values = values.at[data.user.reshape(-1)].set(per_chunk.reshape(-1, values.shape[1]), mode="drop")
  return jnp.nanmean(values, axis=0), values


jitted_evaluation = jax.jit(evaluate, static_argnames=("config", "num_users"))
