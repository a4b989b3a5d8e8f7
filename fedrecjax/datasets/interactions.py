"""The data model: interactions as read, lists per user, and the set that a simulation consumes."""

import dataclasses
import functools
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from fedrecjax.datasets.errors import DataError
from fedrecjax.datasets.names import Names, checked_names, name_at, number_by_name
from fedrecjax.datasets.reading import Reading

IntArray = npt.NDArray[np.integer]
BoolArray = npt.NDArray[np.bool_]


@dataclasses.dataclass(frozen=True, eq=False)
class Interactions:
  """Who interacted with what, one row per interaction, in the order of the source.

  Attributes:
    name: name of the set, for messages and results.
    users: user ids in [0, num_users), int32 `[n]`.
    items: item ids in [0, num_items), int32 `[n]`.
    time: any integer that orders the rows of one user in time (Unix seconds, or ranks), int64
      `[n]`; None where no time is known.
    num_users: number of users N; ids that never occur count.
    num_items: number of items M; ids that never occur count.
    test: True where the source itself holds the row out, bool `[n]`; None where the source has no
      split.
    validation: True where the source sets the row aside for validation, bool `[n]`; None where it sets none aside.
    public: True where everybody can see the row, as likes and comments, bool `[n]`; None where the
      source does not say.
    user_names: what the source calls its users, different whole numbers or texts `[num_users]`; None if their ids
      themselves are their names.
    item_names: the same for items, `[num_items]`.
    reading: what was understood of files; None of data that come from none.

  Raises:
    DataError: on an empty set, columns of different lengths, ids out of range, or names that are not different.
  """

  name: str
  users: IntArray
  items: IntArray
  time: IntArray | None
  num_users: int
  num_items: int
  test: BoolArray | None
  validation: BoolArray | None = None
  public: BoolArray | None = None
  user_names: Names | None = None
  item_names: Names | None = None
  reading: Reading | None = None

  def __post_init__(self) -> None:
    object.__setattr__(self, "users", np.asarray(self.users, np.int32))
    object.__setattr__(self, "items", np.asarray(self.items, np.int32))
    if self.time is not None:
      object.__setattr__(self, "time", np.asarray(self.time, np.int64))
    for mark in ("test", "validation", "public"):
      if getattr(self, mark) is not None:
        object.__setattr__(self, mark, np.asarray(getattr(self, mark), np.bool_))
    if len(self.users) == 0:
      raise DataError(f"{self.name}: no interactions, expected at least one")
    columns = {
      "items": self.items, "time": self.time, "test": self.test, "validation": self.validation, "public": self.public,
    }
    for column, values in columns.items():
      if values is not None and values.shape != self.users.shape:
        raise DataError(
          f"{self.name}: {column} has shape {values.shape}, expected {self.users.shape} as users"
        )
    _check_range(self.name, "user", self.users, self.num_users)
    _check_range(self.name, "item", self.items, self.num_items)
    _set_names(self)

  def __len__(self) -> int:
    return len(self.users)


@dataclasses.dataclass(frozen=True, eq=False)
class ItemLists:
  """One list of items per user, stored end to end (compressed sparse rows).

  >>> lists = ItemLists.from_pairs([1, 0, 1], [5, 7, 2], num_users=3)
  >>> lists.of(1).tolist(), lists.lengths.tolist()
  ([5, 2], [1, 2, 0])

  Attributes:
    indptr: the list of user u is `items[indptr[u]:indptr[u + 1]]`, int64 `[N + 1]`.
    items: item ids, int32 `[n]`.

  Raises:
    DataError: if `indptr` does not delimit `items`.
  """

  indptr: IntArray
  items: IntArray

  def __post_init__(self) -> None:
    object.__setattr__(self, "indptr", np.asarray(self.indptr, np.int64))
    object.__setattr__(self, "items", np.asarray(self.items, np.int32))
    bounds = self.indptr
    if bounds.ndim != 1 or len(bounds) == 0 or bounds[0] != 0 or bounds[-1] != len(self.items):
      raise DataError(
        f"item lists: indptr must run from 0 to the number of items {len(self.items)}"
      )
    if np.any(np.diff(bounds) < 0):
      raise DataError("item lists: indptr must not decrease")

  @classmethod
  def from_pairs(cls, users: npt.ArrayLike, items: npt.ArrayLike, *, num_users: int) -> "ItemLists":
    """Groups pairs by user; within a user the order of the pairs is kept.

    Args:
      users: user ids in [0, num_users), `[n]`.
      items: item ids, `[n]`.
      num_users: number of lists N; users without a pair get an empty one.

    Returns:
      The lists.

    Raises:
      DataError: if the lengths differ or a user is out of range.
    """
    user_ids, item_ids = np.asarray(users, np.int32), np.asarray(items, np.int32)
    if user_ids.shape != item_ids.shape:
      raise DataError(f"item lists: {user_ids.shape} users but {item_ids.shape} items")
    _check_range("item lists", "user", user_ids, num_users)
    counts = np.bincount(user_ids, minlength=num_users)
    indptr = np.concatenate([[0], np.cumsum(counts)])
    return cls(indptr, item_ids[np.argsort(user_ids, kind="stable")])

  @classmethod
  def from_lists(cls, lists: Iterable[npt.ArrayLike]) -> "ItemLists":
    """Stores the given lists, one per user.

    >>> ItemLists.from_lists([[3, 1], [], [2]]).indptr.tolist()
    [0, 2, 2, 3]
    """
    arrays = [np.asarray(one, np.int32) for one in lists]
    indptr = np.concatenate([[0], np.cumsum([len(one) for one in arrays])])
    return cls(indptr, np.concatenate(arrays) if arrays else np.empty(0, np.int32))

  def of(self, user: int) -> IntArray:
    """Returns the items of one user, int32 `[lengths[user]]`, a view."""
    if not 0 <= user < self.num_users:
      raise DataError(f"user {user} is outside [0, {self.num_users})")
    return self.items[self.indptr[user] : self.indptr[user + 1]]

  @property
  def num_users(self) -> int:
    """Number of lists N."""
    return len(self.indptr) - 1

  @functools.cached_property
  def lengths(self) -> IntArray:
    """Length of every list, int32 `[N]`."""
    return np.diff(self.indptr).astype(np.int32)

  @functools.cached_property
  def users(self) -> IntArray:
    """The user of every entry of `items`, int32 `[n]`."""
    return np.repeat(np.arange(self.num_users, dtype=np.int32), self.lengths)

  def __len__(self) -> int:
    return self.num_users


@dataclasses.dataclass(frozen=True, eq=False)
class Dataset:
  """A set divided in training and held-out items: what the simulator consumes.

  Attributes:
    name: name of the set.
    num_users: number of users N.
    num_items: number of items M.
    train: training items per user, in the order the split documents.
    test: held-out items per user: none, one or several.
    validation: items per user that are neither trained on nor ranked; None if there are none.
    features: visual features of the items, float32 `[M, F]`, zeros for items without an image; None if there are none.
    public: items of each user that everybody can see, training items or not; None where that is not known, and attacks
      that use public interactions are given a share of the training items (`attacker.public_share`).
    user_names: what the source calls its users, different whole numbers or texts `[N]`; None if they are called 0 to
      N - 1.
    item_names: the same for items, `[M]`.
    reading: what was understood of files and options; None of data that come from none.

  Raises:
    DataError: if there are not N lists, an item is out of range, no user has a training item, features are not
      finite numbers of M items, or names are not different.
  """

  name: str
  num_users: int
  num_items: int
  train: ItemLists
  test: ItemLists
  validation: ItemLists | None = None
  features: npt.NDArray[np.float32] | None = None
  public: ItemLists | None = None
  user_names: Names | None = None
  item_names: Names | None = None
  reading: Reading | None = None

  def __post_init__(self) -> None:
    _set_names(self)
    if self.features is not None:
      features = np.asarray(self.features, np.float32)
      if features.ndim != 2 or len(features) != self.num_items or features.shape[1] == 0:
        raise DataError(
          f"{self.name}: features have shape {features.shape}, expected ({self.num_items}, F)"
        )
      if not np.isfinite(features).all():
        raise DataError(f"{self.name}: features must be finite numbers")
      object.__setattr__(self, "features", features)
    for part, lists in (
      ("train", self.train), ("test", self.test), ("validation", self.validation), ("public", self.public)
    ):
      if lists is not None and lists.num_users != self.num_users:
        raise DataError(
          f"{self.name}: {lists.num_users} {part} lists, expected one for each of "
          f"{self.num_users} users"
        )
    _check_range(self.name, "training item", self.train.items, self.num_items, self.train)
    _check_range(self.name, "held-out item", self.test.items, self.num_items, self.test)
    if self.validation is not None:
      _check_range(self.name, "validation item", self.validation.items, self.num_items, self.validation)
    if self.public is not None:
      _check_range(self.name, "public item", self.public.items, self.num_items, self.public)
    if len(self.train.items) == 0:
      raise DataError(f"{self.name}: no training items, expected at least one")

  @functools.cached_property
  def popularity(self) -> IntArray:
    """Training interactions of every item, repeats counted, int32 `[M]`."""
    return np.bincount(self.train.items, minlength=self.num_items).astype(np.int32)

  def user_number(self, name: int | str) -> int:
    """The number of the user of that name; 7 is the one that the source calls `7`.

    Raises:
      DataError: if there is none.
    """
    return self._number("user", name, self.num_users)

  def item_number(self, name: int | str) -> int:
    """The number of the item of that name; 7 is the one that the source calls `7`.

    >>> lists = ItemLists.from_lists([[0, 1]])
    >>> Dataset("toy", 1, 2, lists, lists, item_names=np.array([90, 180])).item_number(180)
    1

    Raises:
      DataError: if there is none.
    """
    return self._number("item", name, self.num_items)

  def user_name(self, number: int) -> int | str:
    """What the source calls a user."""
    return name_at(self.user_names, number)

  def item_name(self, number: int) -> int | str:
    """What the source calls an item."""
    return name_at(self.item_names, number)

  @functools.cached_property
  def _numbers(self) -> dict[str, dict[str, int]]:
    """Numbers by name, where names are not numbers."""
    names = {"user": self.user_names, "item": self.item_names}
    return {what: number_by_name(of) for what, of in names.items() if of is not None}

  def _number(self, what: str, name: int | str, count: int) -> int:
    if what in self._numbers:
      number = self._numbers[what].get(str(name))
      if number is None:
        names = self.item_names if what == "item" else self.user_names
        shown = ", ".join(str(name_at(names, place)) for place in range(min(count, 3)))
        raise DataError(f"{what} {name} does not exist; {self.name} has {count} {what}s, such as {shown}")
      return number
    text = str(name)
    if not (text.isascii() and text.isdigit() and str(int(text)) == text and int(text) < count):
      raise DataError(f"{what} {name} does not exist; {self.name} has {what}s 0 to {count - 1}")
    return int(text)


def _set_names(of: Interactions | Dataset) -> None:
  """Puts names into the form that they are kept in."""
  for what, count in (("user", of.num_users), ("item", of.num_items)):
    field = f"{what}_names"
    object.__setattr__(of, field, checked_names(getattr(of, field), count, f"{of.name}: {what}"))


def _check_range(
  name: str, what: str, ids: IntArray, bound: int, lists: ItemLists | None = None
) -> None:
  if len(ids) == 0:
    return
  bad = (ids < 0) | (ids >= bound)
  if bad.any():
    row = int(np.argmax(bad))
    where = f"row {row}" if lists is None else f"user {lists.users[row]}"
    raise DataError(f"{name}: {what} {ids[row]} of {where} is outside [0, {bound})")
