"""Readers of delimited rating files: MovieLens `u.data` and `ratings.dat`, RecBole `.inter`."""

import pathlib
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import polars as pl

from fedrecjax.datasets import tables
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
  return _read_ratings(path, name=name, separator="\t", numbered=lambda ids: ids - 1)


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
  return _read_ratings(
    path, name=name, separator="::", numbered=lambda ids: tables.renumbered(pl.Series(ids))
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
  lines = tables.below_header(lines, path)
  fields = tables.split_fields(
    lines, separator="\t", num_fields=len(header), path=path, first_line=2
  )
  columns = {}
  for field in ("user_id", "item_id"):
    tokens = fields[f"field_{places[field]}"]
    tables.refuse_empty(tokens, what=field, path=path, lines=lines, first_line=2)
    columns[field] = tables.renumbered(tokens)
  time = None
  if "timestamp" in places:
    time = tables.time_column(
      fields[f"field_{places['timestamp']}"], path=path, lines=lines, first_line=2
    )
  return tables.interactions_of(
    path, name=name, users=columns["user_id"], items=columns["item_id"], time=time
  )


def _read_ratings(
  path: pathlib.Path,
  *,
  name: str,
  separator: str,
  numbered: Callable[[npt.NDArray[np.int64]], npt.NDArray[np.int64]],
) -> Interactions:
  """Reads lines of user, movie, rating and timestamp; `numbered` makes ids from 0 of those in the file."""
  lines = tables.read_lines(path)
  fields = tables.split_fields(lines, separator=separator, num_fields=4, path=path)
  users, movies = (
    numbered(tables.integers(fields[f"field_{column}"], what=what, path=path, lines=lines, least=1))
    for column, what in ((0, "user id"), (1, "movie id"))
  )
  time = tables.integers(fields["field_3"], what="timestamp", path=path, lines=lines, most=2**62)
  return tables.interactions_of(path, name=name, users=users, items=movies, time=time)
