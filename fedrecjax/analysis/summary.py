"""What a data set holds, in numbers that papers print and numbers that say what can go wrong with it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fedrecjax.datasets import Dataset, Interactions

IntArray = npt.NDArray[np.integer]

_FIRST = 3


class Summary(NamedTuple):
  """A data set in numbers; plain values, ready for JSON.

  Attributes:
    name: of the data set.
    users: number of users N.
    items: number of items M.
    items_without: items that nobody has interacted with.
    interactions: rows of the source; without it those of the divided set.
    repeats: how many of them repeat a pair.
    density: interactions / (N M).
    least, median, mean, most: items of a user in all parts of the divided set.
    training: training rows.
    held_out: held-out items, each of a user once.
    validation: rows that are neither trained on nor ranked.
    unrankable: held-out items that are never ranked, because their user trains on them or has them set aside.
    not_evaluated: users without a held-out item.
    dropped: users of the source who are not in the divided set; None without the source.
    public: interactions that everybody can see; None where nothing says so.
    top_share: share of the training rows that the most popular 15 % of the items have.
    first_time, last_time: of the source's rows; None where no time is known.
    first_users, first_items: the first few different ones of the source.
  """

  name: str
  users: int
  items: int
  items_without: int
  interactions: int
  repeats: int
  density: float
  least: int
  median: float
  mean: float
  most: int
  training: int
  held_out: int
  validation: int
  unrankable: int
  not_evaluated: int
  dropped: int | None
  public: int | None
  top_share: float
  first_time: int | None
  last_time: int | None
  first_users: tuple[int, ...]
  first_items: tuple[int, ...]


def summarize(dataset: Dataset, source: Interactions | None = None) -> Summary:
  """Counts what is in a data set.

  Args:
    dataset: divided.
    source: what it was divided from, for what the division does not keep.

  >>> from fedrecjax.datasets import ItemLists
  >>> summarize(Dataset("two", 2, 3, ItemLists.from_lists([[0, 1], [2]]), ItemLists.from_lists([[1], []]))).unrankable
  1
  """
  parts = [one for one in (dataset.train, dataset.test, dataset.validation) if one is not None]
  pairs = np.concatenate([_pairs(one.users, one.items, dataset.num_items) for one in parts])
  lengths = np.sum([one.lengths for one in parts], axis=0)
  held_out = np.unique(_pairs(dataset.test.users, dataset.test.items, dataset.num_items))
  others = [_pairs(one.users, one.items, dataset.num_items) for one in parts if one is not dataset.test]
  rows = len(pairs)
  different = len(np.unique(pairs))
  occurring = pairs % dataset.num_items
  if source is not None:
    rows = len(source)
    different = len(np.unique(_pairs(source.users, source.items, source.num_items)))
    occurring = source.items
  time: Any = None if source is None else source.time
  return Summary(
    name=dataset.name,
    users=dataset.num_users,
    items=dataset.num_items,
    items_without=dataset.num_items - len(np.unique(occurring)),
    interactions=rows,
    repeats=rows - different,
    density=rows / (dataset.num_users * dataset.num_items),
    least=int(lengths.min()),
    median=float(np.median(lengths)),
    mean=float(lengths.mean()),
    most=int(lengths.max()),
    training=len(dataset.train.items),
    held_out=len(held_out),
    validation=0 if dataset.validation is None else len(dataset.validation.items),
    unrankable=int(np.isin(held_out, np.concatenate(others)).sum()),
    not_evaluated=int((dataset.test.lengths == 0).sum()),
    dropped=None if source is None else source.num_users - dataset.num_users,
    public=None if dataset.public is None else len(dataset.public.items),
    top_share=top_share(dataset.popularity),
    first_time=None if time is None else int(time.min()),
    last_time=None if time is None else int(time.max()),
    first_users=_first_of(dataset.train.users if source is None else source.users),
    first_items=_first_of(dataset.train.items if source is None else source.items),
  )


def top_share(popularity: IntArray, *, share: float = 0.15) -> float:
  """Share of all interactions that the most popular items have.

  Args:
    popularity: interactions of each item `[M]`.
    share: of all items that count as popular, rounded down but at least one; 0.15 is PIECK's.

  >>> top_share(np.array([1, 6, 1, 2]), share=0.25)
  0.6
  """
  count = max(int(share * len(popularity)), 1)
  return float(np.sort(popularity)[::-1][:count].sum() / popularity.sum())


def _pairs(users: IntArray, items: IntArray, num_items: int) -> npt.NDArray[np.int64]:
  return users.astype(np.int64) * num_items + items


def _first_of(ids: IntArray) -> tuple[int, ...]:
  return tuple(dict.fromkeys(ids[:1000].tolist()))[:_FIRST]
