"""Posters of MovieLens-1M's movies, for its own items and, by title, for those of MovieLens-100K."""

from __future__ import annotations

import csv
import gzip
import pathlib
import re
import unicodedata
from collections.abc import Sequence

import numpy as np

from fedrecjax.datasets.errors import DataError
from fedrecjax.datasets.image_files import posters_of, read_archive
from fedrecjax.datasets.image_set import IntArray, ItemImages, placed

POSTER_FILE = pathlib.PurePath("ml-1m-posters", "posters_64_jpeg.npz")


def read_posters(data_dir: pathlib.Path, *, dataset_name: str, num_items: int, size: int) -> ItemImages:
  """Reads posters as the images of a MovieLens set.

  MovieLens-100K's items get the poster of the MovieLens-1M movie of the same title and year, see :func:`match_titles`;
  `origin` tells how many there are.

  Args:
    data_dir: folder with `ml-1m-posters/posters_64_jpeg.npz` and, for MovieLens-100K, `ml-100k/items.csv` and
      `ml-1m/items.csv`, which may be gzipped.
    dataset_name: "ml-1m" or "ml-100k".
    num_items: number of items M.
    size: side in pixels to which posters are scaled.

  Returns:
    The images.

  Raises:
    DataError: for another set, or if a file is missing or wrong.
  """
  if dataset_name not in ("ml-1m", "ml-100k"):
    raise DataError(f"posters are of ml-1m and ml-100k, not of {dataset_name}")
  path = data_dir / POSTER_FILE
  arrays = read_archive(path)
  if not {"jpeg", "offset", "item"} <= set(arrays):
    raise DataError(f"{path}: arrays {' '.join(sorted(arrays))}, expected jpeg, offset and item")
  if dataset_name == "ml-1m":
    posters, items = posters_of(arrays, size=size, path=path, wanted=arrays["item"] >= 0)
    return placed(posters, items, num_items=num_items, name="posters", origin=f"posters of {path.name} by item")
  matched = match_titles(_titles(data_dir / "ml-100k"), _titles(data_dir / "ml-1m"))
  if len(matched) != num_items:
    raise DataError(f"{data_dir / 'ml-100k'}: items.csv lists {len(matched)} items, expected {num_items}")
  posters, theirs = posters_of(arrays, size=size, path=path, wanted=np.isin(arrays["item"], matched[matched >= 0]))
  poster_of = {int(item): place for place, item in enumerate(theirs)}
  with_poster = [item for item, other in enumerate(matched.tolist()) if other in poster_of]
  places = [poster_of[int(matched[item])] for item in with_poster]
  found = f"{np.sum(matched >= 0)} of {num_items} titles found, {len(places)} of them with poster"
  origin = f"posters of {path.name} by title: {found}"
  return placed(posters[places], np.array(with_poster), num_items=num_items, name="posters", origin=origin)


def match_titles(titles: Sequence[str], others: Sequence[str]) -> IntArray:
  """Finds each title in another list; letter case, accents and punctuation do not count.

  A title that the other list has twice is not matched, as it cannot be told which is meant.

  Args:
    titles: titles with their year, such as "Toy Story (1995)", M of them.
    others: the list to look in.

  Returns:
    Place in `others`, or -1, int64 `[M]`.

  >>> match_titles(["Amelie (2001)", "Heat (1995)"], ["Se7en (1995)", "Amélie (2001)"]).tolist()
  [1, -1]
  """
  places: dict[str, int] = {}
  for place, other in enumerate(others):
    key = _plain(other)
    places[key] = -1 if key in places else place
  return np.array([places.get(_plain(title), -1) for title in titles], np.int64)


def _plain(title: str) -> str:
  unaccented = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode()
  return " ".join(re.findall("[a-z0-9]+", unaccented.lower()))


def _titles(folder: pathlib.Path) -> list[str]:
  """Titles with their year from `items.csv`, in the order of items; the year may stand in a column of its own."""
  for path in (folder / "items.csv", folder / "items.csv.gz"):
    if path.is_file():
      break
  else:
    raise DataError(f"{folder / 'items.csv'}: no such file, expected item,title[,release_year]")
  titles = []
  opened = gzip.open if path.suffix == ".gz" else open
  try:
    with opened(path, "rt", encoding="utf-8", newline="") as lines:
      rows = csv.DictReader(lines)
      if not {"item", "title"} <= set(rows.fieldnames or ()):
        raise DataError(f"{path}:1: expected the columns item,title[,release_year]")
      for number, row in enumerate(rows):
        if row["item"] != str(number) or row["title"] is None:
          raise DataError(f"{path}:{rows.line_num}: expected item {number} and its title, found item {row['item']!r}")
        titles.append(f"{row['title']} ({row['release_year']})" if row.get("release_year") else row["title"])
  except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
    raise DataError(f"{path}: cannot be read: {error}") from None
  return titles
