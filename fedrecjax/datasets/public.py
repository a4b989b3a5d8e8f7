"""Which of users' interactions everybody can see, from a file of their own."""

from __future__ import annotations

import os
import pathlib
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from fedrecjax.datasets.errors import DataError
from fedrecjax.datasets.formats import opened, public_marks
from fedrecjax.datasets.id_columns import id_part, tokens_of
from fedrecjax.datasets.interactions import Dataset, ItemLists
from fedrecjax.datasets.layouts import Layout, ReadOptions
from fedrecjax.datasets.names import Names, examples, number_by_name
from fedrecjax.datasets.roles import NONE
from fedrecjax.datasets.rows import Rows

_OPTIONS = ReadOptions(columns=(("time", NONE), ("rating", NONE), ("split", NONE)))
"""Of who interacted with what, no more than that matters."""

_OTHER_IDS = ("u.data", "ratings.dat")
"""Forms of files whose ids are not the numbers that a published set calls its users and items by."""


def read_public(path: str | os.PathLike[str], dataset: Dataset) -> ItemLists:
  """Reads public interactions of the users of a data set.

  They need be no training interactions, and need not occur in the data set at all. Repeats are kept, and so is the
  order within a user.

  Args:
    path: a file in any form that :func:`fedrecjax.datasets.read` tells by itself, users and items called as in the data
      set: by the ids of its file, or by the numbers of a named set. Of a table with a column `public` the rows where it
      is 1, else all. Files beside it are not read.
    dataset: whose users and items they are.

  Returns:
    Public items by user.

  Raises:
    DataError: if the file is missing or wrong in a line, or names a user or an item that the data set does not have.
  """
  file = pathlib.Path(path)
  try:
    return _read(file, dataset)
  except DataError as error:
    if "--data." not in str(error):
      raise
    raise DataError(f"{error}; of public interactions, which flags of data do not concern") from error


def _read(file: pathlib.Path, dataset: Dataset) -> ItemLists:
  layout, _, blocks = opened(file, _OPTIONS)
  _refuse_other_ids(file, layout, dataset)
  known_users = _by_name(dataset.user_names, dataset.num_users)
  known_items = _by_name(dataset.item_names, dataset.num_items)
  users, items = [], []
  for rows in blocks:
    frame = rows.frame
    seen = public_marks(rows) if "public" in frame.columns else np.ones(len(frame), np.bool_)
    users.append(_numbered("user", frame["user"], rows, known_users, dataset)[seen])
    items.append(_numbered("item", frame["item"], rows, known_items, dataset)[seen])
    if rows.line_users is not None:
      _numbered("user", rows.line_users, rows, known_users, dataset, beyond=len(frame))
  if not users:
    raise DataError(f"{file}: a header only, expected at least one interaction after it")
  return ItemLists.from_pairs(np.concatenate(users), np.concatenate(items), num_users=dataset.num_users)


def _refuse_other_ids(file: pathlib.Path, layout: Layout, dataset: Dataset) -> None:
  """A published set, whichever of its files it is read from, is called by number: MovieLens' ids would be mistaken."""
  if dataset.reading is not None and dataset.reading.numbering and layout.format in _OTHER_IDS:
    raise DataError(
      f"{file}: {layout.format} files have ids of their own, and the set {dataset.name} calls users and items by"
      " number; expected a file with these numbers below a header user,item, or the data set by its file's path"
    )


def _by_name(names: Names | None, count: int) -> dict[str, int]:
  return number_by_name(np.arange(count) if names is None else names)


def _numbered(
  what: Literal["user", "item"], column: pl.Series, rows: Rows, known: dict[str, int], dataset: Dataset, beyond: int = 0
) -> npt.NDArray[np.int64]:
  """The numbers of those who are named.

  Args:
    what: the role.
    column: names, `[n]`.
    rows: that they stand in.
    known: numbers by name.
    dataset: that they must be of.
    beyond: place of the first one for errors.

  Raises:
    DataError: naming the first row of an unknown name.
  """

  def where(row: int, expected: str, found: object) -> DataError:
    return rows.error(row + beyond, what, expected, found)

  tokens, codes = tokens_of(id_part(column, where, as_names=True))
  numbers = np.array([known.get(token, -1) for token in tokens.to_list()], np.int64)[codes]
  if (numbers < 0).any():
    row = int(np.argmax(numbers < 0))
    names = dataset.user_names if what == "user" else dataset.item_names
    filters = () if dataset.reading is None else dataset.reading.left_out
    left_out = any(one.users if what == "user" else one.by in ("keep_if", "min_rating", "core") for one in filters)
    raise where(
      row, f"one of the {len(known)} {what}s of {dataset.name}, such as {', '.join(examples(names, len(known)))}"
      f"{', after others were left out' if left_out else ''}", column[row],
    )
  return numbers
