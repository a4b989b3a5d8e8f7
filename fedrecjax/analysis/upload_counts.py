"""How many clients upload each item: in expectation, and in rounds that are drawn.

A client counts once per item however often the item occurs in its list, as it does for every rule of
:mod:`fedrecjax.defenses`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fedrecjax.datasets import Dataset
from fedrecjax.federation.participation import draw_rounds

IntArray = npt.NDArray[np.integer]
FloatArray = npt.NDArray[np.float64]

_HALVINGS = 100


class UploadCounts(NamedTuple):
  """Uploaders of every item in several rounds.

  Attributes:
    benign: benign clients that upload the item, int64 `[rounds, M]`.
    malicious: malicious clients that do, int64 `[rounds, M]`.
  """

  benign: IntArray
  malicious: IntArray


class _Pairs(NamedTuple):
  """The different (user, item) pairs of a training set, by user.

  Attributes:
    user: int64 `[pairs]`, ascending.
    item: int64 `[pairs]`, ascending within a user.
    start: first pair of each user `[N]`.
    length: pairs of each user `[N]`.
  """

  user: IntArray
  item: IntArray
  start: IntArray
  length: IntArray


def _pairs_of(dataset: Dataset) -> _Pairs:
  keys = np.unique(dataset.train.users.astype(np.int64) * dataset.num_items + dataset.train.items)
  user, item = np.divmod(keys, dataset.num_items)
  length = np.bincount(user, minlength=dataset.num_users)
  return _Pairs(user, item, np.cumsum(length) - length, length)


def interactions_per_item(dataset: Dataset) -> IntArray:
  """The degree of every item: users that have it among their training items, int64 `[M]`."""
  return np.bincount(_pairs_of(dataset).item, minlength=dataset.num_items)


def largest_list(dataset: Dataset) -> int:
  """The most different training items that a user has: Spattack's m_max, in the paper's words."""
  return int(_pairs_of(dataset).length.max())


def expected_uploaders(dataset: Dataset, *, num_negatives: int = 1) -> FloatArray:
  """Benign clients that upload each item if all take part: its users, and those that draw it as a negative.

  Args:
    dataset: its training items are the positives.
    num_negatives: negatives q that a client draws for each of its positives (repeats counted), uniformly and with
      replacement among the items outside its list.

  Returns:
    Expected number, float64 `[M]`.

  Raises:
    ValueError: as :func:`draw_counts`.
  """
  pairs = _pairs_of(dataset)
  _check_room(dataset, pairs, num_negatives)
  outside = np.maximum(dataset.num_items - pairs.length, 1)
  drawn = 1 - (1 - 1 / outside) ** (num_negatives * dataset.train.lengths.astype(np.float64))
  own = np.bincount(pairs.item, weights=1 - drawn[pairs.user], minlength=dataset.num_items)
  return own + drawn.sum()


def item_reach(popularity: npt.ArrayLike, max_items: int | None) -> FloatArray:
  """The probability that a malicious client uploads an item.

  Args:
    popularity: weights by which it draws its items `[M]`; one of weight 0 is never drawn.
    max_items: how many different items it draws; None: it uploads all, whatever their weight.

  Returns:
    float64 `[M]`. For drawn items it is an approximation, in which an item of weight w is missed with probability
    exp(-t w) and t is such that the probabilities add up to `max_items`.
  """
  weights = np.asarray(popularity, np.float64)
  if max_items is None:
    return np.ones(len(weights))
  if max_items >= np.count_nonzero(weights):
    return (weights > 0).astype(np.float64)
  low, high = 0.0, 1.0
  while (1 - np.exp(-high * weights)).sum() < max_items:
    low, high = high, 2 * high
  for _ in range(_HALVINGS):
    middle = (low + high) / 2
    if (1 - np.exp(-middle * weights)).sum() < max_items:
      low = middle
    else:
      high = middle
  return 1 - np.exp(-high * weights)


def draw_counts(
  dataset: Dataset,
  *,
  num_malicious: int,
  num_rounds: int,
  clients_per_round: int | None = None,
  num_negatives: int = 1,
  max_items: int | None = None,
  seed: int = 0,
) -> UploadCounts:
  """Draws rounds and counts who uploads what.

  Every round draws its clients, their negatives and the malicious clients' items anew, so that rounds differ as runs
  do which draw negatives and items once, as published code does.

  Args:
    dataset: every user is a benign client with its training items.
    num_malicious: malicious clients beside them.
    num_rounds: rounds to draw.
    clients_per_round: clients of a round, benign and malicious, drawn uniformly; None: all, as in Spattack.
    num_negatives: as in :func:`expected_uploaders`.
    max_items: None: a malicious client uploads all items (Spattack-D); else as many different ones, drawn one after
      another with probabilities in proportion to the training interactions (Spattack-S).
    seed: of all draws.

  Returns:
    The counts.

  Raises:
    ValueError: if negatives are to be drawn for a user that has interacted with all items.
  """
  pairs = _pairs_of(dataset)
  _check_room(dataset, pairs, num_negatives)
  num_clients = dataset.num_users + num_malicious
  size = num_clients if clients_per_round is None else min(clients_per_round, num_clients)
  rounds = draw_rounds(
    seed, num_clients=num_clients, num_benign=dataset.num_users, clients_per_round=size,
    epochs=-(-num_rounds * size // num_clients), participation="uniform",
  )
  benign = np.zeros((num_rounds, dataset.num_items), np.int64)
  malicious = np.zeros((num_rounds, dataset.num_items), np.int64)
  for number, clients in enumerate(rounds.clients[:num_rounds]):
    rng = np.random.default_rng([seed, 1, number])
    takes_part = np.zeros(num_clients, np.bool_)
    takes_part[clients] = True
    users = takes_part[: dataset.num_users]
    benign[number] = np.bincount(pairs.item[users[pairs.user]], minlength=dataset.num_items)
    benign[number] += _negative_uploaders(dataset, pairs, users, num_negatives, rng)
    attackers = int(np.count_nonzero(takes_part[dataset.num_users :]))
    malicious[number] = _malicious_uploaders(dataset.popularity, attackers, max_items, rng)
  return UploadCounts(benign, malicious)


def _check_room(dataset: Dataset, pairs: _Pairs, num_negatives: int) -> None:
  full = pairs.length >= dataset.num_items
  if num_negatives > 0 and full.any():
    user = dataset.user_name(int(np.argmax(full)))
    raise ValueError(f"{dataset.name}: user {user} has interacted with all {dataset.num_items} items, so no"
                     " negative can be drawn for it")


def _negative_uploaders(
  dataset: Dataset, pairs: _Pairs, takes_part: npt.NDArray[np.bool_], num_negatives: int, rng: np.random.Generator
) -> IntArray:
  """Clients of the round that draw each item as a negative, `[M]`."""
  positives = dataset.train.users[takes_part[dataset.train.users]].astype(np.int64)
  user = np.repeat(positives, num_negatives)
  # The item of rank r outside a list is r plus the number of the list's items that, less their place in it, are at most
  # r. All lists are searched at once, by keys that keep them apart.
  span = dataset.num_items + 1
  shifted = pairs.item - (np.arange(len(pairs.item)) - pairs.start[pairs.user])
  rank = rng.integers(0, dataset.num_items - pairs.length[user])
  place = np.searchsorted(pairs.user * span + shifted, user * span + rank, side="right")
  item = rank + place - pairs.start[user]
  return np.bincount(np.unique(user * dataset.num_items + item) % dataset.num_items, minlength=dataset.num_items)


def _malicious_uploaders(
  popularity: IntArray, num_attackers: int, max_items: int | None, rng: np.random.Generator
) -> IntArray:
  """Malicious clients of the round that upload each item, `[M]`."""
  counts = np.zeros(len(popularity), np.int64)
  if max_items is None:
    return counts + num_attackers
  items = np.flatnonzero(popularity)
  if max_items >= len(items):
    counts[items] = num_attackers
    return counts
  weights = popularity[items].astype(np.float64)
  for _ in range(num_attackers):
    # Whose exponential clocks, of rates in proportion to the weights, ring first: drawing one after another.
    rings = rng.standard_exponential(len(items)) / weights
    counts[items[np.argpartition(rings, max_items - 1)[:max_items]]] += 1
  return counts
