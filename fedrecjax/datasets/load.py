"""From a name or a path to a divided data set, in one call."""

import os
from collections.abc import Mapping

from fedrecjax.datasets import roles
from fedrecjax.datasets.filters import core
from fedrecjax.datasets.interactions import Dataset
from fedrecjax.datasets.layouts import ReadOptions
from fedrecjax.datasets.named import read_named
from fedrecjax.datasets.splits import split as divide


def load(
  name_or_path: str | os.PathLike[str],
  *,
  data_dir: str | os.PathLike[str] | None = None,
  split: str = "default",
  repeats: str = "keep",
  too_few: str = "error",
  seed: int = 0,
  test_ratio: float = 0.2,
  columns: str | Mapping[str, str | int] | None = None,
  format: str | None = None,
  separator: str | None = None,
  encoding: str | None = None,
  quotes: str = "auto",
  ids: str = "auto",
  min_rating: float | None = None,
  keep_if: str | None = None,
  user_core: int = 0,
  item_core: int = 0,
  unpack_ratio: int = 200,
) -> Dataset:
  """Reads a data set and divides it in training and held-out items.

  >>> dataset = load("synthetic")
  >>> dataset.num_users, dataset.num_items, len(dataset.train.items), len(dataset.test.items)
  (943, 1682, 99057, 943)

  Args:
    name_or_path: a name of `DATASETS`, a file, a folder, or the files of a split as `TRAIN:TEST`; see
      :func:`fedrecjax.datasets.read_named`.
    data_dir: folder with one folder per named set; by default the environment variable
      FEDRECJAX_DATA.
    split: one of `SPLIT_METHODS`; see :func:`fedrecjax.datasets.split`.
    repeats: "keep" or "drop" repeated (user, item) pairs.
    too_few: "error", "train_only" or "drop" for users with too few rows to hold one out.
    seed: seed of the random splits; the data themselves, "synthetic" too, do not depend on it.
    test_ratio: share of rows held out by split "ratio", in (0, 1).
    columns: which column plays which role; this and what follows as of :func:`fedrecjax.datasets.read`.
    format: form of the file.
    separator: what stands between two fields.
    encoding: of the text.
    quotes: whether quotes around a field are part of it.
    ids: whether any token is a name.
    min_rating: lowest rating of a row that is kept.
    keep_if: value that a row must have.
    user_core: rows that each user must have; this and the next until nothing changes, see
      :func:`fedrecjax.datasets.core`.
    item_core: rows that each item must have.
    unpack_ratio: bound on what a packed file may unpack to.

  Returns:
    The divided set. Its `reading` says what was understood and what was left out.

  Raises:
    DataError: for data or options that cannot be used; the message is one line.
  """
  options = ReadOptions(
    roles.parse_columns(columns), format, separator, encoding, quotes, ids, min_rating, keep_if, unpack_ratio
  )
  interactions = read_named(name_or_path, data_dir=data_dir, options=options)
  return divide(
    core(interactions, user_core=user_core, item_core=item_core, repeats=repeats),
    method=split,
    repeats=repeats,
    too_few=too_few,
    seed=seed,
    test_ratio=test_ratio,
  )
