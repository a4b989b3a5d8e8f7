"""What a data set holds, in numbers that papers print and numbers that say what can go wrong with it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fedrecjax.datasets import Dataset
from fedrecjax.datasets.splits import num_unrankable

IntArray = npt.NDArray[np.integer]


class Summary(NamedTuple):
  """A divided set in numbers; plain values, ready for JSON. What was read and left out is in `Dataset.reading`.

  Attributes:
    name: of the data set.
    users: number of users N.
    items: number of items M.
    items_without: items that are in no part.
    interactions: rows in all parts, those too that repeat a held-out pair.
    density: interactions / (N M).
    least, median, mean, most: items of a user in all parts.
    training: training rows.
    held_out: held-out items, each of a user once.
    validation: rows that are neither trained on nor ranked.
    unrankable: held-out items that are never ranked, because their user trains on them or has them set aside.
    not_evaluated: users without a held-out item.
    public: interactions that everybody can see; None where nothing says so.
    top_share: share of the training rows that the most popular 15 % of the items have.
  """

  name: str
  users: int
  items: int
  items_without: int
  interactions: int
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
  public: int | None
  top_share: float


def summarize(dataset: Dataset) -> Summary:
  """Counts what is in a data set.

  >>> from fedrecjax.datasets import ItemLists
  >>> summarize(Dataset("two", 2, 3, ItemLists.from_lists([[0, 1], [2]]), ItemLists.from_lists([[1], []]))).unrankable
  1
  """
  parts = [one for one in (dataset.train, dataset.test, dataset.validation) if one is not None]
  lengths = np.sum([one.lengths for one in parts], axis=0)
  occurrences = np.sum([np.bincount(one.items, minlength=dataset.num_items) for one in parts], axis=0)
  held_out = np.unique(dataset.test.users.astype(np.int64) * dataset.num_items + dataset.test.items)
  rows = int(lengths.sum()) + (0 if dataset.reading is None else dataset.reading.held_out_repeats)
  return Summary(
    name=dataset.name,
    users=dataset.num_users,
    items=dataset.num_items,
    items_without=int((occurrences == 0).sum()),
    interactions=rows,
    density=rows / (dataset.num_users * dataset.num_items),
    least=int(lengths.min()),
    median=float(np.median(lengths)),
    mean=float(lengths.mean()),
    most=int(lengths.max()),
    training=len(dataset.train.items),
    held_out=len(held_out),
    validation=0 if dataset.validation is None else len(dataset.validation.items),
    unrankable=num_unrankable(dataset),
    not_evaluated=int((dataset.test.lengths == 0).sum()),
    public=None if dataset.public is None else len(dataset.public.items),
    top_share=top_share(dataset.popularity),
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
