"""Data sets as configurations have them."""

from __future__ import annotations

import pathlib

from fedrecjax.config import DataConfig
from fedrecjax.datasets import Dataset, load


def load_dataset(name: str, data: DataConfig, data_dir: pathlib.Path | None) -> Dataset:
  """A data set as a configuration has it.

  Raises:
    DataError: if it cannot be loaded.
  """
  return load(
    name, data_dir=data_dir, split=data.split, repeats=data.repeats, too_few=data.too_few, seed=data.seed,
    test_ratio=data.test_ratio, columns=data.columns, format=None if data.format == "auto" else data.format,
    separator=data.separator, encoding=data.encoding, quotes=data.quotes, ids=data.ids, min_rating=data.min_rating,
    keep_if=data.keep_if, user_core=data.user_core, item_core=data.item_core, unpack_ratio=data.unpack_ratio,
  )
