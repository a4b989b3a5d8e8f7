"""Which of users' interactions everybody can see, from a file of their own."""

from __future__ import annotations

import io
import os
import pathlib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from fedrecjax.datasets import formats, tables, user_lists
from fedrecjax.datasets.errors import DataError
from fedrecjax.datasets.interactions import Dataset, ItemLists

IntArray = npt.NDArray[np.int64]


class _Rows(NamedTuple):
  """Pairs as a file has them.

  Attributes:
    users: as the data set names them, `[n]`.
    items: likewise.
    lines: number of each pair's line in the file, from 1, `[n]`; None for tables, which have rows.
    public: which of them everybody can see, bool `[n]`; None: all.
  """

  users: IntArray
  items: IntArray
  lines: IntArray | None
  public: npt.NDArray[np.bool_] | None = None


def read_public(path: str | os.PathLike[str], dataset: Dataset) -> ItemLists:
  """Reads public interactions of the users of a data set.

  They need be no training interactions, and need not occur in the data set at all. Repeats are kept, and so is the
  order within a user.

  Args:
    path: a file of lists (`.txt`), a `u.data`, a CSV or a Parquet table, users and items by their numbers in the data
      set. Of a table with a column `public` the rows where it is 1, else all. A test file beside it is not read.
    dataset: whose users and items they are.

  Returns:
    Public items by user.

  Raises:
    DataError: if the file is missing or wrong in a line, or names a user or an item that the data set does not have.
  """
  file = pathlib.Path(path)
  chosen = formats.format_of(file)
  if chosen not in _READERS:
    raise DataError(f"{file}: {chosen} files number users and items anew, expected those of {dataset.name} by number in"
                    " a file .txt, .csv, .parquet or .data")
  rows = _READERS[chosen](file)
  for what, ids, count in (("user", rows.users, dataset.num_users), ("item", rows.items, dataset.num_items)):
    unknown = ids >= count
    if unknown.any():
      row = int(np.argmax(unknown))
      place = f"{file}: row {row}" if rows.lines is None else f"{file}:{rows.lines[row]}"
      raise DataError(f"{place}: {what} {ids[row]} is not in {dataset.name}, expected 0 to {count - 1}")
  seen = slice(None) if rows.public is None else rows.public
  return ItemLists.from_pairs(rows.users[seen], rows.items[seen], num_users=dataset.num_users)


def _read_csv(file: pathlib.Path) -> _Rows:
  lines = tables.read_lines(file)
  header = [field.strip().strip('"') for field in lines[0].split(",")]
  if not {"user", "item"} <= set(header):
    tables.bad_line(file, 1, lines[0], "expected the columns user,item[,public]")
  lines = tables.below_header(lines, file)
  fields = tables.split_fields(lines, separator=",", num_fields=len(header), path=file, first_line=2)
  fields = fields.rename(dict(zip(fields.columns, header, strict=True)))

  def numbers(column: str, most: int = tables.LARGEST_ID) -> IntArray:
    text = fields[column].str.strip_chars().str.strip_chars('"')
    return tables.integers(text, what=column, path=file, lines=lines, first_line=2, most=most)

  public = numbers("public", most=1).astype(np.bool_) if "public" in header else None
  return _Rows(numbers("user"), numbers("item"), np.arange(len(lines)) + 2, public)


def _read_parquet(file: pathlib.Path) -> _Rows:
  try:
    frame = pl.read_parquet(io.BytesIO(tables.read_bytes(file)))
  except (pl.exceptions.PolarsError, OSError) as error:
    raise DataError(f"{file}: expected a Parquet table: {str(error).splitlines()[0]}") from None
  if not {"user", "item"} <= set(frame.columns):
    raise DataError(f"{file}: expected the columns user,item[,public], found {','.join(frame.columns)}")

  def numbers(column: str, most: int = tables.LARGEST_ID) -> IntArray:
    if not (frame[column].dtype.is_integer() or frame[column].dtype == pl.Boolean):
      raise DataError(f"{file}: column {column} has type {frame[column].dtype}, expected integers")
    values = frame[column].cast(pl.Int64, strict=False)
    wrong = ((values < 0) | (values > most)).fill_null(True).to_numpy()
    if wrong.any():
      row = int(np.argmax(wrong))
      raise DataError(f"{file}: row {row}: column {column} is {frame[column][row]}, expected 0 to {most}")
    return values.to_numpy()

  public = numbers("public", most=1).astype(np.bool_) if "public" in frame.columns else None
  return _Rows(numbers("user"), numbers("item"), None, public)


def _read_u_data(file: pathlib.Path) -> _Rows:
  lines = tables.read_lines(file)
  fields = tables.split_fields(lines, separator="\t", num_fields=4, path=file)
  users, items = (
    tables.integers(fields[column], what=what, path=file, lines=lines, least=1) - 1
    for column, what in (("field_0", "user id"), ("field_1", "movie id"))
  )
  return _Rows(users, items, np.arange(len(lines)) + 1)


def _read_lists(file: pathlib.Path) -> _Rows:
  users, items, user_of_line = user_lists.read_part(file)
  place = np.argsort(user_of_line)
  return _Rows(users, items, place[np.searchsorted(user_of_line, users, sorter=place)] + 1)


_READERS: dict[str, Callable[[pathlib.Path], _Rows]] = {
  "csv": _read_csv, "parquet": _read_parquet, "u.data": _read_u_data, "lists": _read_lists,
}
