"""The images of a data set's items, from a name or a path, in one call."""

from __future__ import annotations

import os
import pathlib

import numpy as np
import numpy.typing as npt

from fedrecjax.datasets.covers import covers
from fedrecjax.datasets.errors import DataError
from fedrecjax.datasets.image_files import read_image_archive, read_image_folder
from fedrecjax.datasets.image_set import ItemImages
from fedrecjax.datasets.named import default_data_dir
from fedrecjax.datasets.names import Names, examples
from fedrecjax.datasets.posters import read_posters
from fedrecjax.datasets.synthetic import synthetic_tastes

IMAGE_SETS = ("covers", "posters", "emoji")

EMOJI_FILE = pathlib.PurePath("twemoji-images", "twemoji_64.npz")


def item_images(
  source: str | os.PathLike[str],
  *,
  dataset_name: str,
  num_items: int,
  size: int = 64,
  seed: int = 0,
  tastes: npt.NDArray[np.floating] | None = None,
  data_dir: str | os.PathLike[str] | None = None,
  item_names: Names | None = None,
) -> ItemImages:
  """Reads or draws the images of a data set's items.

  Args:
    source: one of `IMAGE_SETS`; or a folder of files named by item, or a NumPy archive (`.npz`), see
      :func:`fedrecjax.datasets.image_files.read_image_archive`.
      "covers": drawn from tastes, see :func:`fedrecjax.datasets.covers.covers`; of the set "synthetic" they follow the
      tastes from which its interactions were drawn.
      "posters": of the movies of ml-1m and ml-100k, see :func:`fedrecjax.datasets.posters.read_posters`.
      "emoji": Twemoji in `twemoji-images/twemoji_64.npz`, given to items by a seeded draw.
    dataset_name: name of the data set.
    num_items: number of its items M.
    size: side in pixels of all images.
    seed: of drawn covers and of pictures given to items by chance.
    tastes: latent vectors `[M, k]` that covers follow; needed for covers of any set but "synthetic", as nothing but
      training data may enter them.
    data_dir: folder that holds posters and emoji; by default as for data sets.
    item_names: what the data set calls its items, `[M]`; None if 0 to M - 1. Files and arrays are keyed by these names;
      images of items that the data set does not have are left out, and `origin` says how many.

  Returns:
    The images.

  Raises:
    DataError: if the source is unknown, or its images or the options cannot be used.

  >>> item_images("covers", dataset_name="synthetic", num_items=1682, size=8).pixels.shape
  (1682, 8, 8, 3)
  """
  if num_items < 1 or size < 1:
    raise DataError(f"images: num_items is {num_items} and size {size}, expected at least 1")
  name = os.fspath(source)
  if tastes is not None and name != "covers":
    raise DataError(f"images {name}: tastes are given, but only covers follow tastes")
  folder = default_data_dir() if data_dir is None else pathlib.Path(data_dir)
  if name == "covers":
    return _covers(dataset_name, num_items, size, seed, tastes, item_names)
  if name == "posters":
    if item_names is not None:
      raise DataError(f"posters are of all items of the named sets ml-1m and ml-100k, in their numbers; items of"
                      f" {dataset_name} are called {', '.join(examples(item_names, num_items))} and so on")
    return read_posters(folder, dataset_name=dataset_name, num_items=num_items, size=size)
  path = folder / EMOJI_FILE if name == "emoji" else pathlib.Path(name)
  if path.is_dir():
    return read_image_folder(path, num_items=num_items, size=size, item_names=item_names)
  if path.suffix == ".npz":
    return read_image_archive(path, num_items=num_items, size=size, seed=seed, item_names=item_names)
  raise DataError(f"images {name!r} are unknown, expected one of {' '.join(IMAGE_SETS)}, a folder or an .npz file")


def _covers(
  dataset_name: str,
  num_items: int,
  size: int,
  seed: int,
  tastes: npt.NDArray[np.floating] | None,
  item_names: Names | None,
) -> ItemImages:
  if tastes is None:
    if dataset_name != "synthetic":
      raise DataError(f"covers of {dataset_name} need tastes, which are known of the set synthetic only")
    tastes = synthetic_tastes()
    if item_names is not None:
      tastes = tastes[item_names]
  if len(tastes) != num_items:
    raise DataError(f"covers: tastes of {len(tastes)} items, expected {num_items}")
  return covers(tastes, size=size, seed=seed)
