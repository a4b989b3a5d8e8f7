"""From a name or a path to a divided data set, in one call."""

import os

from fedrecjax.datasets.interactions import Dataset
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
) -> Dataset:
  """Reads a data set and divides it in training and held-out items.

  >>> dataset = load("synthetic")
  >>> dataset.num_users, dataset.num_items, len(dataset.train.items), len(dataset.test.items)
  (943, 1682, 99057, 943)

  Args:
    name_or_path: a name of `DATASETS`, a file, or a folder; see
      :func:`fedrecjax.datasets.read_named`.
    data_dir: folder with one folder per named set; by default the environment variable
      FEDRECJAX_DATA.
    split: one of `SPLIT_METHODS`; see :func:`fedrecjax.datasets.split`.
    repeats: "keep" or "drop" repeated (user, item) pairs.
    too_few: "error", "train_only" or "drop" for users with too few rows to hold one out.
    seed: seed of the random splits; the data themselves, "synthetic" too, do not depend on it.
    test_ratio: share of rows held out by split "ratio", in (0, 1).

  Returns:
    The divided set.

  Raises:
    DataError: for data or options that cannot be used; the message is one line.
  """
  return divide(
    read_named(name_or_path, data_dir=data_dir),
    method=split,
    repeats=repeats,
    too_few=too_few,
    seed=seed,
    test_ratio=test_ratio,
  )
