"""Names of users and items: the ids that a file itself uses, beside the numbers that arrays are indexed by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fedrecjax.datasets.errors import DataError

Names = npt.NDArray[Any]
"""Names by number: int64, or objects that are texts."""


def checked_names(names: Sequence[int | str] | Names | None, count: int, what: str) -> Names | None:
  """Names in the form that they are kept in.

  Args:
    names: different whole numbers, or different texts, one for each user or item; None if the numbers themselves are
      the names.
    count: number of users or items.
    what: "name_of_the_set: user" or "... item", for errors.

  Returns:
    int64 or texts `[count]`; None if the names are 0, 1, 2, ... in this order.

  Raises:
    DataError: if there are not `count` of them, or a name occurs twice.

  >>> checked_names([90, 180], 2, "item"), checked_names([0, 1], 2, "item"), checked_names(["a"], 1, "item")
  (array([ 90, 180]), None, array(['a'], dtype=object))
  """
  if names is None:
    return None
  array = names if isinstance(names, np.ndarray) else np.array(list(names), dtype=object)
  if array.ndim != 1 or len(array) != count:
    raise DataError(f"{what} names have shape {array.shape}, expected ({count},)")
  if array.dtype == object and all(isinstance(name, (int, np.integer)) for name in array):
    array = np.array(array.tolist(), dtype=np.int64)
  if np.issubdtype(array.dtype, np.integer):
    array = array.astype(np.int64)
    if np.array_equal(array, np.arange(count)):
      return None
  else:
    array = np.array([str(name) for name in array], dtype=object)
  if len(set(array.tolist())) < count:
    raise DataError(f"{what} names are not different, expected one for each of {count}")
  return array


def name_at(names: Names | None, number: int) -> int | str:
  """The name of a user or item.

  >>> name_at(None, 3), name_at(np.array([90, 180]), 1), name_at(np.array(["a"], object), 0)
  (3, 180, 'a')
  """
  if names is None:
    return int(number)
  name = names[number]
  return name if isinstance(name, str) else int(name)


def names_at(names: Names | None, numbers: npt.ArrayLike) -> Names:
  """The names of several users or items.

  >>> names_at(None, [1, 2]).tolist(), names_at(np.array([90, 180]), [1, 1]).tolist()
  ([1, 2], [180, 180])
  """
  chosen = np.asarray(numbers, np.int64)
  return chosen if names is None else names[chosen]


def examples(names: Names | None, count: int, most: int = 3) -> tuple[str, ...]:
  """The first names, as texts.

  >>> examples(np.array([90, 180, 270, 360]), 4), examples(None, 2)
  (('90', '180', '270'), ('0', '1'))
  """
  return tuple(str(name_at(names, number)) for number in range(min(count, most)))


def number_by_name(names: Names) -> dict[str, int]:
  """The number of every name, by its text."""
  return {str(name): number for number, name in enumerate(names.tolist())}


def numbers_of(names: Names, called: Sequence[int | str] | npt.NDArray[Any]) -> npt.NDArray[np.int64]:
  """The numbers of those who are called so; -1 for names that nobody has.

  >>> numbers_of(np.array([90, 180]), [180, 7]).tolist(), numbers_of(np.array(["a"], object), ["a", "7"]).tolist()
  ([1, -1], [0, -1])
  """
  known = number_by_name(names)
  return np.array([known.get(str(name), -1) for name in np.asarray(called).tolist()], np.int64)
