"""Data on the host: interactions and images, readers, named sets, splits and an embedded synthetic set.

Nothing here knows of clients or of JAX programs.
"""

from fedrecjax.datasets.columns import read_csv, read_parquet
from fedrecjax.datasets.covers import covers
from fedrecjax.datasets.delimited import read_inter, read_ratings_dat, read_u_data
from fedrecjax.datasets.digests import data_digest, digest_of
from fedrecjax.datasets.errors import DataError
from fedrecjax.datasets.formats import FORMATS, format_of, read
from fedrecjax.datasets.image_set import ItemImages
from fedrecjax.datasets.images import IMAGE_SETS, item_images
from fedrecjax.datasets.interactions import Dataset, Interactions, ItemLists
from fedrecjax.datasets.load import load
from fedrecjax.datasets.named import (
  DATA_DIR_VARIABLE,
  DATASETS,
  NAMED_SETS,
  NamedSet,
  default_data_dir,
  read_named,
)
from fedrecjax.datasets.public import read_public
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
from fedrecjax.datasets.user_lists import read_user_lists

__all__ = [
  "DATASETS",
  "DATA_DIR_VARIABLE",
  "FORMATS",
  "IMAGE_SETS",
  "NAMED_SETS",
  "REPEATS",
  "SPLIT_METHODS",
  "TOO_FEW",
  "DataError",
  "Dataset",
  "Interactions",
  "ItemImages",
  "ItemLists",
  "NamedSet",
  "Repeats",
  "SplitMethod",
  "TooFew",
  "covers",
  "data_digest",
  "default_data_dir",
  "digest_of",
  "format_of",
  "item_images",
  "load",
  "read",
  "read_csv",
  "read_inter",
  "read_named",
  "read_parquet",
  "read_public",
  "read_ratings_dat",
  "read_u_data",
  "read_user_lists",
  "split",
  "synthetic",
  "synthetic_tastes",
]
