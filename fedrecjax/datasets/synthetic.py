"""An embedded data set drawn to resemble MovieLens-100K: it needs no file and no network."""

import math
import statistics

import numpy as np
import numpy.typing as npt

from fedrecjax.datasets.errors import DataError
from fedrecjax.datasets.interactions import Interactions

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.integer]

_FIRST_SECOND = 874_700_000
_SECONDS_OF_A_DAY = 86_400


def synthetic(
  *,
  seed: int = 0,
  num_users: int = 943,
  num_items: int = 1682,
  num_interactions: int = 100_000,
  min_per_user: int = 20,
  taste_dims: int = 8,
  taste_strength: float = 1.9,
  popular_first: float = 0.12,
) -> Interactions:
  """Draws a set with the activity, popularity and predictability of MovieLens-100K.

  Activity and popularity follow smooth laws fitted to the counts of MovieLens-100K. Users and items
  have latent tastes; a user's items are drawn without replacement with `P(item) ~
  softmax(bias[item] + taste_strength * <user, item> / sqrt(taste_dims))`, where the biases are
  fitted so that the expected popularity meets its law. Users take popular items somewhat earlier in
  time, rows stand in random order, and items that a user took within one second tie in time, as in
  the original.

  Args:
    seed: seed of every draw; the same arguments give the same set.
    num_users: number of users N.
    num_items: number of items M.
    num_interactions: number of rows; no pair repeats.
    min_per_user: least number of rows of a user.
    taste_dims: dimensions of the latent tastes.
    taste_strength: standard deviation of the taste's share of a score, in logits. 0 leaves
      popularity only.
    popular_first: how strongly users take popular items first: the weight of log-popularity in the
      order of a user's items, against Gumbel noise of scale 1. It makes held-out last items less
      popular than the average row.

  Returns:
    The interactions, with time in Unix seconds.

  Raises:
    DataError: if the sizes admit no such set, or a number is out of range.
  """
  _check_at_least(
    1,
    num_users=num_users,
    num_items=num_items,
    min_per_user=min_per_user,
    taste_dims=taste_dims,
  )
  _check_at_least(0, seed=seed, taste_strength=taste_strength)
  least, most = num_users * min_per_user, num_users * num_items
  if not least <= num_interactions <= most:
    raise DataError(
      f"synthetic: num_interactions is {num_interactions}, expected {least} to {most} for "
      f"{num_users} users with {min_per_user} to {num_items} items each"
    )
  random = np.random.default_rng(seed)
  activity = _activity(num_users, num_items, num_interactions, min_per_user)
  activity = random.permutation(activity)
  popularity = random.permutation(_popularity(num_items, num_users, num_interactions))
  user_tastes, item_tastes = _tastes(random, num_users, num_items, taste_dims)
  affinity = taste_strength / math.sqrt(taste_dims) * (user_tastes @ item_tastes.T)

  scores = affinity + _fit_bias(affinity, activity, popularity)
  scores += random.gumbel(size=scores.shape)
  # One user of every item is settled beforehand: no item of the original is without a row.
  first_user = np.argmax(
    affinity + np.log(activity)[:, None] + random.gumbel(size=affinity.shape), axis=0
  )
  scores[first_user, np.arange(num_items)] += 1e6
  ranked = np.argsort(-scores, axis=1, kind="stable")
  taken = np.arange(num_items) < activity[:, None]
  users = np.repeat(np.arange(num_users, dtype=np.int32), activity)
  items = ranked[taken].astype(np.int32)

  eagerness = popular_first * np.log(popularity)[items] + random.gumbel(size=items.shape)
  in_time = np.lexsort((-eagerness, users))
  time = _times(random, users)
  shuffled = random.permutation(num_interactions)
  return Interactions(
    name="synthetic",
    users=users[shuffled],
    items=items[in_time][shuffled],
    time=time[shuffled],
    num_users=num_users,
    num_items=num_items,
    test=None,
  )


def synthetic_tastes(
  *, seed: int = 0, num_users: int = 943, num_items: int = 1682, taste_dims: int = 8
) -> FloatArray:
  """Latent tastes of the items of :func:`synthetic`, those that its users' choices follow.

  They are drawn as there, after one place in the order of activity for every user and one in that
  of popularity for every item; the other arguments of :func:`synthetic` do not touch them.

  Args:
    seed: seed of the set.
    num_users: number of its users N.
    num_items: number of its items M.
    taste_dims: dimensions of its tastes.

  Returns:
    Standard normal numbers, float64 `[M, taste_dims]`.

  Raises:
    DataError: if a number is out of range.

  >>> synthetic_tastes().shape
  (1682, 8)
  """
  _check_at_least(1, num_users=num_users, num_items=num_items, taste_dims=taste_dims)
  _check_at_least(0, seed=seed)
  random = np.random.default_rng(seed)
  random.permutation(num_users)
  random.permutation(num_items)
  return _tastes(random, num_users, num_items, taste_dims)[1]


def _tastes(
  random: np.random.Generator, num_users: int, num_items: int, dims: int
) -> tuple[FloatArray, FloatArray]:
  """Tastes of users `[N, dims]` and of items `[M, dims]`."""
  of_users = random.standard_normal((num_users, dims))
  return of_users, random.standard_normal((num_items, dims))


def _check_at_least(least: int, **values: float) -> None:
  for name, value in values.items():
    if not value >= least:
      raise DataError(f"synthetic: {name} is {value}, expected at least {least}")


def _activity(num_users: int, num_items: int, total: int, least: int) -> IntArray:
  """Rows per user `[N]`, ascending, adding up to `total`.

  MovieLens-100K's counts beyond the least are log-normal with a thinner tail: their logarithm is a
  parabola in the normal quantile z. No user has more than 44 % of the items there.
  """
  normal = statistics.NormalDist()
  z = np.array([normal.inv_cdf((rank + 0.5) / num_users) for rank in range(num_users)])
  excess = np.exp(1.56 * z - 0.228 * z**2)
  room = max(round(0.44 * num_items) - least, math.ceil(total / num_users) - least, 0)
  return least + _round_to_total(_capped(excess, total - least * num_users, room), room)


def _popularity(num_items: int, num_users: int, total: int) -> FloatArray:
  """Expected rows per item `[M]`, descending, adding up to about `total`.

  The law is fitted to the sorted counts of MovieLens-100K.
  """
  place = (np.arange(num_items) + 0.5) / num_items
  law = np.exp(-4.861 * np.sqrt(place) + 2.875 * place - 4.486 * place**2)
  expected = _capped(law, total, max(0.62 * num_users, total / num_items))
  return np.maximum(expected, 0.5)


def _capped(shares: FloatArray, total: float, cap: float) -> FloatArray:
  """Scales `shares` to add up to `total` with none above `cap`, which must leave room for it."""
  low, high = 0.0, max(total, cap) / shares.min() + 1.0
  for _ in range(200):
    middle = 0.5 * (low + high)
    if np.minimum(middle * shares, cap).sum() < total:
      low = middle
    else:
      high = middle
  scaled: FloatArray = np.minimum(high * shares, cap)
  return scaled


def _round_to_total(values: FloatArray, cap: int) -> IntArray:
  """Rounds to integers with the rounded sum of `values`: the largest remainders go up."""
  floor = np.floor(values + 1e-9).astype(np.int64)
  missing = round(float(values.sum())) - int(floor.sum())
  remainder = np.where(floor < cap, values - floor, -1.0)
  floor[np.argsort(-remainder, kind="stable")[:missing]] += 1
  return floor


def _fit_bias(affinity: FloatArray, activity: IntArray, popularity: FloatArray) -> FloatArray:
  """Item biases `[M]` at which drawing without replacement meets `popularity` in expectation.

  A draw without replacement takes an item with probability close to `1 - exp(-rate[user] *
  weight[user, item])`. Biases and rates are fitted in turn to the column and row sums.
  """
  # One row per item is settled outside the draw.
  wanted = np.maximum(popularity - 1.0, 0.02)
  weight = np.exp(affinity)
  bias: FloatArray = np.log(wanted / wanted.sum())
  rate = activity.astype(np.float64)
  for _ in range(12):
    missed = np.exp(-rate[:, None] * weight * np.exp(bias))
    taken = len(bias) - missed.sum(axis=1)
    rate *= np.minimum(activity / taken, 4.0)
    bias += np.log(wanted) - np.log(len(activity) - missed.sum(axis=0))
  return bias


def _times(random: np.random.Generator, users: IntArray) -> IntArray:
  """Unix seconds `[n]`, ascending within a user: a few sittings of quick clicks, with ties."""
  num_rows = len(users)
  seconds = random.geometric(0.06, num_rows) - 1
  seconds[random.random(num_rows) < 0.4] = 0
  pause = random.random(num_rows) < 0.01
  seconds[pause] += random.geometric(0.1, int(pause.sum())) * _SECONDS_OF_A_DAY
  total = np.cumsum(seconds)
  starts = np.flatnonzero(np.r_[True, users[1:] != users[:-1]])
  arrival = random.integers(0, 200 * _SECONDS_OF_A_DAY, len(starts))
  # Time runs on from one user to the next; every user's clock is set back to its own arrival.
  offset = _FIRST_SECOND + arrival - total[starts]
  lengths = np.diff(np.r_[starts, num_rows])
  return (total + np.repeat(offset, lengths)).astype(np.int64)
