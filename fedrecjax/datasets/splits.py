"""Dividing interactions in training and held-out items."""

import dataclasses
from typing import Literal, cast, get_args

import numpy as np
import numpy.typing as npt

from fedrecjax.datasets.errors import DataError
from fedrecjax.datasets.filters import first_of_pairs, num_pairs
from fedrecjax.datasets.interactions import Dataset, Interactions, ItemLists
from fedrecjax.datasets.names import examples, name_at, names_at
from fedrecjax.datasets.reading import Reading

SplitMethod = Literal[
  "default", "given", "last", "last_by_time", "last_by_order", "last_two", "random", "ratio"
]
Repeats = Literal["keep", "drop"]
TooFew = Literal["error", "train_only", "drop"]

SPLIT_METHODS: tuple[SplitMethod, ...] = get_args(SplitMethod)
REPEATS: tuple[Repeats, ...] = get_args(Repeats)
TOO_FEW: tuple[TooFew, ...] = get_args(TooFew)

BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.integer]


def split(
  interactions: Interactions,
  *,
  method: str = "default",
  repeats: str = "keep",
  too_few: str = "error",
  seed: int = 0,
  test_ratio: float = 0.2,
) -> Dataset:
  """Divides every user's items in training and held-out items; public ones are public in any part.

  Lists are in order of time where time is known (rows of the same time in file order), else in file
  order; `last_by_order` uses file order always.

  Args:
    interactions: what to divide.
    method: which rows are held out.
      "given": those that the source marks.
      "last_by_time": each user's latest row; of several latest ones the last in the file.
      "last_by_order": each user's last row in the file.
      "last": "last_by_time" where time is known, else "last_by_order".
      "last_two": as "last", and each user's row before that one is set aside for validation: it is
      neither trained on nor ranked. Users need three rows.
      "random": one row of each user, uniformly.
      "ratio": a share `test_ratio` of each user's rows, uniformly, rounded to the nearest (half
        up), but at least one row stays in training.
      "default": "given" where the source has a split, else "last".
    repeats: "keep" leaves repeated (user, item) pairs in place, and a held-out item may then be a
      training item too. "drop" keeps each pair's first row before splitting: first in the file, and
      for "given" training rows count as first, so a held-out pair that is also a training pair is
      not held out.
    too_few: what to do with users who have fewer than 2 rows ("last_two": 3; "ratio": none;
      "given": no training row): "error"; "train_only" keeps them, with no held-out item ("given": with those the
      source marks); "drop" removes them and renumbers the other users in order. Item ids never
      change.
    seed: seed of the random methods.
    test_ratio: share of rows to hold out, in (0, 1); used by "ratio" only.

  Returns:
    The divided set.

  Raises:
    DataError: if an option is unknown or out of range, if the method needs time or marks that the
      source lacks, or for users with too few rows under `too_few="error"`.
  """
  name = interactions.name
  _check_choice("split", method, SPLIT_METHODS)
  _check_choice("repeats", repeats, REPEATS)
  _check_choice("too_few", too_few, TOO_FEW)
  if not 0.0 < test_ratio < 1.0:
    raise DataError(f"test_ratio is {test_ratio}, expected a number between 0 and 1")
  chosen = _resolve(cast(SplitMethod, method), interactions)
  if chosen == "last_by_time" and interactions.time is None:
    given = "given (the source's own), " if interactions.test is not None else ""
    raise DataError(
      f"{name}: split 'last_by_time' needs a time on every row, but none is known; what else there is: {given}"
      "last_by_order (the last in the file), last_two, random, ratio"
    )
  if chosen == "given" and interactions.test is None:
    raise DataError(f"{name}: split 'given' needs rows marked as test by the source, found none")

  order = _order_within_users(interactions, use_time=chosen != "last_by_order")
  public = _public_rows(interactions, order, repeats)
  num_repeats = len(interactions) - num_pairs(interactions)
  if repeats == "drop" and num_repeats:
    order = order[first_of_pairs(interactions, training_first=chosen == "given")[order]]
  users = interactions.users[order]
  lengths = np.bincount(users, minlength=interactions.num_users)
  held_out = _held_out(chosen, interactions, order, lengths, seed=seed, test_ratio=test_ratio)
  aside = _aside(method, chosen, interactions, order, users, held_out)
  least = 3 if method == "last_two" else 1 if method == "ratio" else 2
  training = np.bincount(users[~held_out & ~aside], minlength=len(lengths))
  short = training < 1 if chosen == "given" else lengths < least
  if short.any() and too_few == "error":
    user = int(np.argmax(short))
    raise DataError(
      f"{name}: {short.sum()} of {len(short)} users have too few rows for split '{chosen}', first "
      f"user {name_at(interactions.user_names, user)} with {lengths[user]}; expected "
      f"{'a training row' if chosen == 'given' else f'at least {least} row' + 's' * (least > 1)} "
      "(too_few=train_only or drop lets them pass)"
    )
  num_users, user_names = interactions.num_users, interactions.user_names
  number = np.arange(num_users)
  num_rows = len(order)
  if too_few == "train_only" and chosen != "given":
    held_out &= ~short[users]
    aside = _last_but_one(users, held_out) if method == "last_two" else aside
  elif too_few == "drop" and short.any():
    stay = ~short
    if not stay.any():
      raise DataError(f"{name}: all {num_users} users have too few rows for split '{chosen}'")
    order, held_out, aside = order[stay[users]], held_out[stay[users]], aside[stay[users]]
    number = np.cumsum(stay) - 1
    users = number[users[stay[users]]]
    public = public[stay[interactions.users[public]]]
    num_users = int(stay.sum())
    user_names = names_at(user_names, np.flatnonzero(stay))
  items = interactions.items[order]
  parts, held_out_repeats = _parts(users, items, held_out, aside, num_users)
  dataset = Dataset(
    name=name,
    num_users=num_users,
    num_items=interactions.num_items,
    train=parts[0],
    test=parts[1],
    validation=parts[2] if method == "last_two" or aside.any() else None,
    public=None if interactions.public is None else ItemLists.from_pairs(
      number[interactions.users[public]], interactions.items[public], num_users=num_users
    ),
    user_names=user_names,
    item_names=interactions.item_names,
  )
  reading = interactions.reading or Reading(rows=len(interactions))
  if reading.time_span is None and interactions.time is not None:
    # Numbers that are not known to be times, such as ranks.
    reading = dataclasses.replace(reading, time_span=(str(interactions.time.min()), str(interactions.time.max())))
  reading = reading.without("repeats", len(interactions) - num_rows)
  reading = reading.without("too_few", num_rows - len(order), interactions.num_users - num_users)
  reading = dataclasses.replace(
    reading,
    repeats=num_repeats,
    num_users=num_users,
    num_items=interactions.num_items,
    users=examples(dataset.user_names, num_users),
    items=examples(dataset.item_names, interactions.num_items),
    split="last_two" if method == "last_two" else chosen,
    split_reason=_reason(cast(SplitMethod, method), chosen, interactions),
    held_out=len(dataset.test.items),
    held_out_repeats=held_out_repeats,
    unrankable=num_unrankable(dataset),
  )
  return dataclasses.replace(dataset, reading=_with_warnings(reading, cast(SplitMethod, method), interactions, dataset))


def _aside(
  method: str, chosen: SplitMethod, interactions: Interactions, order: IntArray, users: IntArray, held_out: BoolArray
) -> BoolArray:
  """True for the rows of `order` that are for validation."""
  if method == "last_two":
    return _last_but_one(users, held_out)
  if chosen == "given" and interactions.validation is not None:
    return interactions.validation[order]
  return np.zeros_like(held_out)


def _parts(
  users: IntArray, items: IntArray, held_out: BoolArray, aside: BoolArray, num_users: int
) -> tuple[tuple[ItemLists, ItemLists, ItemLists], int]:
  """Training, held-out and validation lists, and how many held-out rows repeat a held-out pair.

  A user's held-out items are a set, of which each stands where it stood first.
  """
  rows = np.flatnonzero(held_out)
  pairs = users[rows].astype(np.int64) * (int(items.max(initial=0)) + 1) + items[rows]
  first = np.zeros(len(rows), np.bool_)
  first[np.unique(pairs, return_index=True)[1]] = True
  train, test, validation = (
    ItemLists.from_pairs(users[part], items[part], num_users=num_users)
    for part in (np.flatnonzero(~held_out & ~aside), rows[first], np.flatnonzero(aside))
  )
  return (train, test, validation), int((~first).sum())


def num_unrankable(dataset: Dataset) -> int:
  """Held-out pairs that rankings leave out, since they are training pairs too or set aside for validation.

  >>> one = ItemLists.from_lists([[0, 1]])
  >>> num_unrankable(Dataset("toy", 1, 3, one, ItemLists.from_lists([[1, 2]])))
  1
  """
  held_out, *others = (
    lists.users.astype(np.int64) * dataset.num_items + lists.items
    for lists in (dataset.test, dataset.train, dataset.validation) if lists is not None
  )
  if len(held_out) == 0:
    return 0
  # Each pair is found in the shorter, sorted list, at the first place of those where it is held out several times.
  ordered = np.sort(held_out)
  found = np.zeros(len(ordered), np.bool_)
  for pairs in others:
    place = np.minimum(np.searchsorted(ordered, pairs), len(ordered) - 1)
    found[place[ordered[place] == pairs]] = True
  return int(found.sum())


def _reason(method: SplitMethod, chosen: SplitMethod, interactions: Interactions) -> str:
  """Why rows are held out as they are."""
  if chosen == "given":
    return "the source has a split of its own" if method == "default" else "asked for"
  asked = "asked for" if method != "default" else "the source has no split of its own"
  if interactions.test is not None:
    asked += "; the source's own split is set aside, and its parts are read as one"
  if method in ("default", "last", "last_two"):
    asked += "; by time" if interactions.time is not None else "; in file order, since no time is known"
  return asked


def _with_warnings(reading: Reading, method: SplitMethod, interactions: Interactions, dataset: Dataset) -> Reading:
  name = interactions.name
  if reading.unrankable:
    reading = reading.warned(
      f"{name}: {reading.unrankable} of {reading.held_out} held-out items are training items of the same user too,"
      f"{' or set aside for validation,' if dataset.validation is not None else ''} which rankings leave out, so that"
      " they can never be found; data.repeats=drop keeps one row of each pair"
    )
  if method == "last_two" and interactions.time is None:
    reading = reading.warned(f"{name}: split last_two holds out the last rows in the file, since no time is known")
  if method not in ("default", "given") and interactions.test is not None:
    reading = reading.warned(
      f"{name}: split {method} sets the source's own split aside; data.split=given uses it"
    )
  return reading


def _public_rows(interactions: Interactions, order: IntArray, repeats: str) -> IntArray:
  """The rows of `order` that everybody can see; with `repeats="drop"` the first of each pair among them."""
  if interactions.public is None:
    return order[:0]
  rows = order[interactions.public[order]]
  if repeats == "keep":
    return rows
  pairs = interactions.users[rows].astype(np.int64) * interactions.num_items + interactions.items[rows]
  return rows[np.sort(np.unique(pairs, return_index=True)[1])]


def _last_but_one(users: IntArray, held_out: BoolArray) -> BoolArray:
  """True for the row before each held-out one, of the same user."""
  aside = np.zeros_like(held_out)
  aside[:-1] = held_out[1:] & (users[1:] == users[:-1])
  return aside


def _check_choice(what: str, value: str, known: tuple[str, ...]) -> None:
  if value not in known:
    raise DataError(f"{what} {value!r} is unknown, expected one of {' '.join(known)}")


def _resolve(method: SplitMethod, interactions: Interactions) -> SplitMethod:
  if method == "default":
    method = "last" if interactions.test is None else "given"
  if method in ("last", "last_two"):
    return "last_by_order" if interactions.time is None else "last_by_time"
  return method


def _order_within_users(interactions: Interactions, *, use_time: bool) -> IntArray:
  """Rows sorted by user, then time (stably), `[n]`."""
  if use_time and interactions.time is not None:
    first, last = int(interactions.time.min()), int(interactions.time.max())
    length = last - first + 1
    if interactions.num_users * length < 2**62:
      # One key sorts several times faster than two.
      return np.argsort(interactions.users * np.int64(length) + (interactions.time - first), kind="stable")
    return np.lexsort((interactions.time, interactions.users))
  return np.argsort(interactions.users, kind="stable")


def _held_out(
  method: SplitMethod,
  interactions: Interactions,
  order: IntArray,
  lengths: IntArray,
  *,
  seed: int,
  test_ratio: float,
) -> BoolArray:
  """True for the rows of `order` that are held out."""
  if method == "given" and interactions.test is not None:
    return interactions.test[order]
  ends = np.cumsum(lengths)
  starts = ends - lengths
  held_out = np.zeros(len(order), np.bool_)
  random = np.random.default_rng(seed)
  if method == "random":
    present = lengths > 0
    held_out[starts[present] + random.integers(0, lengths[present])] = True
  elif method == "ratio":
    owners = np.repeat(np.arange(len(lengths)), lengths)
    shuffled = np.lexsort((random.random(len(order)), owners))
    place = np.arange(len(order)) - starts[owners]
    wanted = np.minimum(np.floor(test_ratio * lengths + 0.5), lengths - 1)
    held_out[shuffled] = place < wanted[owners]
  else:
    held_out[ends[lengths > 0] - 1] = True
  return held_out
