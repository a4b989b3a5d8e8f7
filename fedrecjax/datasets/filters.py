"""From all interactions to those that are wanted: users and items that occur, and cores of enough of them."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from fedrecjax.datasets.errors import DataError
from fedrecjax.datasets.interactions import Interactions
from fedrecjax.datasets.names import names_at
from fedrecjax.datasets.reading import Reading

BoolArray = npt.NDArray[np.bool_]


def occurring(interactions: Interactions, kept: BoolArray) -> Interactions:
  """Some rows of a set, with the users and items that occur in them.

  Others are no longer there; numbers close up, and names stay.

  Args:
    interactions: the set.
    kept: the rows, at least one, bool `[n]`.
  """
  users, items = interactions.users[kept], interactions.items[kept]
  user_ids, user_numbers = np.unique(users, return_inverse=True)
  item_ids, item_numbers = np.unique(items, return_inverse=True)
  return dataclasses.replace(
    interactions,
    users=user_numbers,
    items=item_numbers,
    time=None if interactions.time is None else interactions.time[kept],
    num_users=len(user_ids),
    num_items=len(item_ids),
    test=None if interactions.test is None else interactions.test[kept],
    validation=None if interactions.validation is None else interactions.validation[kept],
    public=None if interactions.public is None else interactions.public[kept],
    user_names=names_at(interactions.user_names, user_ids),
    item_names=names_at(interactions.item_names, item_ids),
  )


def core(interactions: Interactions, *, user_core: int = 0, item_core: int = 0, repeats: str = "keep") -> Interactions:
  """The users with enough rows and the items with enough rows, each counted among the others.

  Leaving out a user may leave an item with too few rows, so both are repeated until nothing changes.

  Args:
    interactions: the set.
    user_core: rows that each user must have; 0 asks for none.
    item_core: rows that each item must have; 0 asks for none.
    repeats: "drop" counts a pair of user and item once however often it occurs, since all but one will be dropped.

  Returns:
    The set of the rows that are left; the same set if that is all of them.

  Raises:
    DataError: if a number is negative, or nothing is left.
  """
  if user_core < 0 or item_core < 0:
    raise DataError(f"data.user_core is {user_core} and data.item_core {item_core}, expected at least 0")
  if user_core == 0 and item_core == 0:
    return interactions
  counted = np.ones(len(interactions), np.bool_)
  if repeats == "drop":
    counted = first_of_pairs(interactions)
  kept = np.ones(len(interactions), np.bool_)
  while True:
    rows = kept & counted
    by_user = np.bincount(interactions.users[rows], minlength=interactions.num_users)
    left = kept & (by_user[interactions.users] >= user_core)
    by_item = np.bincount(interactions.items[left & counted], minlength=interactions.num_items)
    left &= by_item[interactions.items] >= item_core
    if np.array_equal(left, kept):
      break
    kept = left
  if not kept.any():
    raise DataError(
      f"{interactions.name}: data.user_core={user_core} and data.item_core={item_core} leave none of"
      f" {len(interactions)} rows"
    )
  closed = occurring(interactions, kept)
  if (closed.num_users, closed.num_items) == (interactions.num_users, interactions.num_items) and kept.all():
    return interactions
  reading = interactions.reading or Reading(rows=len(interactions))
  gone = interactions.num_users - closed.num_users
  return dataclasses.replace(closed, reading=reading.without("core", int((~kept).sum()), gone))


def first_of_pairs(interactions: Interactions, *, training_first: bool = False) -> BoolArray:
  """True for the first row of every (user, item) pair, `[n]`; if so asked, training rows before held-out ones."""
  pairs = _pairs(interactions)
  candidates = np.arange(len(pairs))
  if training_first and interactions.test is not None:
    aside = interactions.test.astype(np.int8)
    if interactions.validation is not None:
      aside = aside * 2 + interactions.validation
    candidates = np.argsort(aside, kind="stable")
  _, first = np.unique(pairs[candidates], return_index=True)
  kept = np.zeros(len(pairs), np.bool_)
  kept[candidates[first]] = True
  return kept


def num_pairs(interactions: Interactions) -> int:
  """How many different (user, item) pairs there are."""
  # Sorting is several times faster than np.unique, which hashes.
  ordered = np.sort(_pairs(interactions))
  return 1 + int(np.count_nonzero(ordered[1:] != ordered[:-1]))


def _pairs(interactions: Interactions) -> npt.NDArray[np.int64]:
  """A number for each pair of user and item, int64 `[n]`."""
  return interactions.users.astype(np.int64) * interactions.num_items + interactions.items
