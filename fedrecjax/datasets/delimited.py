"""Readers of delimited rating files: MovieLens `u.data` and `ratings.dat`, RecBole `.inter`."""

import pathlib

import numpy as np
import polars as pl

from fedrecjax.datasets import tables
from fedrecjax.datasets.errors import DataError
from fedrecjax.datasets.interactions import Interactions


def read_u_data(path: pathlib.Path, *, name: str) -> Interactions:
  """Reads MovieLens-100K's `u.data`: user, movie, rating, timestamp with tabs between.

  Every rating counts as an interaction. Ids in the file start from 1 and become `id - 1`; gaps
  stay.

  Args:
    path: the file, gzipped if its name ends in `.gz`.
    name: name of the set.

  Returns:
    The interactions, in file order.

  Raises:
    DataError: naming the first line that is not of this form.
  """
  lines = tables.read_lines(path)
  fields = tables.split_fields(lines, separator="\t", num_fields=4, path=path)
  users, movies = (
    tables.integers(fields[f"field_{column}"], what=what, path=path, lines=lines, least=1) - 1
    for column, what in ((0, "user id"), (1, "movie id"))
  )
  return Interactions(
    name=name,
    users=users,
    items=movies,
    time=_seconds(fields["field_3"], path, lines),
    num_users=tables.count_ids(users, what="user", path=path),
    num_items=tables.count_ids(movies, what="item", path=path),
    test=None,
  )


def read_ratings_dat(path: pathlib.Path, *, name: str) -> Interactions:
  """Reads MovieLens-1M's `ratings.dat`: user, movie, rating, timestamp with `::` between.

  Every rating counts as an interaction. Users and movies are numbered from 0 in order of first
  appearance, because movie ids have gaps. MovieLens-1M lists its users in order, so there a user's
  number is the id - 1.

  Args:
    path: the file, gzipped if its name ends in `.gz`.
    name: name of the set.

  Returns:
    The interactions, in file order.

  Raises:
    DataError: naming the first line that is not of this form.
  """
  lines = tables.read_lines(path)
  fields = tables.split_fields(lines, separator="::", num_fields=4, path=path)
  users, movies = (
    tables.renumbered(
      pl.Series(
        tables.integers(fields[f"field_{column}"], what=what, path=path, lines=lines, least=1)
      )
    )
    for column, what in ((0, "user id"), (1, "movie id"))
  )
  return Interactions(
    name=name,
    users=users,
    items=movies,
    time=_seconds(fields["field_3"], path, lines),
    num_users=tables.count_ids(users, what="user", path=path),
    num_items=tables.count_ids(movies, what="item", path=path),
    test=None,
  )


def read_inter(path: pathlib.Path, *, name: str) -> Interactions:
  """Reads RecBole's `.inter`: a header of `field:type` names, then lines with tabs between.

  `user_id:token` and `item_id:token` are needed, `timestamp:float` is used if there, other fields
  are ignored. Tokens are names: they are numbered from 0 in order of first appearance, whether they
  look like numbers or not.

  Args:
    path: the file, gzipped if its name ends in `.gz`.
    name: name of the set.

  Returns:
    The interactions, in file order.

  Raises:
    DataError: naming the first line that is not of this form.
  """
  lines = tables.read_lines(path)
  header = [field.strip() for field in lines[0].split("\t")]
  places = {field.partition(":")[0]: place for place, field in enumerate(header)}
  if "user_id" not in places or "item_id" not in places or not all(":" in one for one in header):
    tables.bad_line(
      path, 1, lines[0], "expected a header with user_id:token and item_id:token, tabs between"
    )
  lines = lines[1:]
  if len(lines) == 0:
    raise DataError(f"{path}: a header only, expected at least one interaction after it")
  fields = tables.split_fields(
    lines, separator="\t", num_fields=len(header), path=path, first_line=2
  )
  columns = {}
  for field in ("user_id", "item_id"):
    tokens = fields[f"field_{places[field]}"]
    empty = (tokens == "").to_numpy()
    if empty.any():
      row = int(np.argmax(empty))
      tables.bad_line(path, row + 2, lines[row], f"expected {field} not to be empty")
    columns[field] = tables.renumbered(tokens)
  time = None
  if "timestamp" in places:
    time = tables.time_column(
      fields[f"field_{places['timestamp']}"], path=path, lines=lines, first_line=2
    )
  return Interactions(
    name=name,
    users=columns["user_id"],
    items=columns["item_id"],
    time=time,
    num_users=tables.count_ids(columns["user_id"], what="user", path=path),
    num_items=tables.count_ids(columns["item_id"], what="item", path=path),
    test=None,
  )


def _seconds(column: pl.Series, path: pathlib.Path, lines: pl.Series) -> np.ndarray:
  return tables.integers(column, what="timestamp", path=path, lines=lines, most=2**62)
