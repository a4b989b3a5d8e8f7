"""Data on the host: interactions and images, readers, named sets, splits and an embedded synthetic set.

Nothing here knows of clients or of JAX programs.
"""

from fedrecjax.datasets.covers import covers
from fedrecjax.datasets.digests import data_digest, digest_of
from fedrecjax.datasets.errors import DataError
from fedrecjax.datasets.filters import core
from fedrecjax.datasets.formats import read
from fedrecjax.datasets.image_set import ItemImages
from fedrecjax.datasets.images import IMAGE_SETS, item_images
from fedrecjax.datasets.interactions import Dataset, Interactions, ItemLists
from fedrecjax.datasets.layouts import FORMATS, SEPARATORS, ReadOptions
from fedrecjax.datasets.load import load
from fedrecjax.datasets.named import (
  DATA_DIR_VARIABLE,
  DATASETS,
  NAMED_SETS,
  OWN_SETS,
  NamedSet,
  dataset_names,
  default_data_dir,
  read_named,
)
from fedrecjax.datasets.public import read_public
from fedrecjax.datasets.reading import FileReading, LeftOut, Reading
from fedrecjax.datasets.roles import parse_columns
from fedrecjax.datasets.splits import (
  REPEATS,
  SPLIT_METHODS,
  TOO_FEW,
  Repeats,
  SplitMethod,
  TooFew,
  split,
)
from fedrecjax.datasets.synthetic import synthetic, synthetic_tastes

__all__ = [
  "DATASETS",
  "DATA_DIR_VARIABLE",
  "FORMATS",
  "IMAGE_SETS",
  "NAMED_SETS",
  "OWN_SETS",
  "REPEATS",
  "SEPARATORS",
  "SPLIT_METHODS",
  "TOO_FEW",
  "DataError",
  "Dataset",
  "FileReading",
  "Interactions",
  "ItemImages",
  "ItemLists",
  "LeftOut",
  "NamedSet",
  "ReadOptions",
  "Reading",
  "Repeats",
  "SplitMethod",
  "TooFew",
  "core",
  "covers",
  "data_digest",
  "dataset_names",
  "default_data_dir",
  "digest_of",
  "item_images",
  "load",
  "parse_columns",
  "read",
  "read_named",
  "read_public",
  "split",
  "synthetic",
  "synthetic_tastes",
]
