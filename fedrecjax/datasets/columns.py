"""Readers of tables with the columns user, item[, timestamp][, test][, public]: CSV and Parquet."""

import io
import pathlib

import numpy as np
import numpy.typing as npt
import polars as pl

from fedrecjax.datasets import tables
from fedrecjax.datasets.errors import DataError
from fedrecjax.datasets.interactions import Interactions

_EXPECTED = "expected the columns user,item[,timestamp][,test][,public]"


def read_csv(
  path: pathlib.Path,
  *,
  name: str,
  time_path: pathlib.Path | None = None,
  test_path: pathlib.Path | None = None,
) -> Interactions:
  """Reads comma-separated lines after a header `user,item[,timestamp][,test][,public]`.

  Further columns are ignored. Integer ids are kept with their gaps; a column with any other token
  in it is numbered from 0 in order of first appearance. `timestamp` is a number on every line or
  empty on every line; `test` is 1 for rows that the source holds out, else 0, and `public` for
  those that everybody can see. Fields hold no commas; quotes around a whole field are not part of
  it.

  Args:
    path: the file, gzipped if its name ends in `.gz`.
    name: name of the set.
    time_path: a file with a header and one integer a line, row for row, used in place of the
      timestamps.
    test_path: the same for `test`.

  Returns:
    The interactions, in file order.

  Raises:
    DataError: naming the first line that is not of this form.
  """
  lines = tables.read_lines(path)
  header = [field.strip().strip('"') for field in lines[0].split(",")]
  if not {"user", "item"} <= set(header):
    tables.bad_line(path, 1, lines[0], _EXPECTED)
  lines = tables.below_header(lines, path)
  fields = tables.split_fields(
    lines, separator=",", num_fields=len(header), path=path, first_line=2
  )
  fields = fields.rename(dict(zip(fields.columns, header, strict=True)))
  fields = fields.select(pl.all().str.strip_chars().str.strip_chars('"'))

  users = _ids(fields["user"], "user id", path, lines)
  items = _ids(fields["item"], "item id", path, lines)
  time: npt.NDArray[np.int64] | None = None
  if time_path is not None:
    time = _read_companion(time_path, "time", len(lines), 2**62)
  elif "timestamp" in header:
    time = tables.time_column(fields["timestamp"], path=path, lines=lines, first_line=2)
  public = _marks(fields, "public", path, lines)
  test = _marks(fields, "test", path, lines)
  if test_path is not None:
    test = _read_companion(test_path, "test", len(lines), 1).astype(np.bool_)
  return tables.interactions_of(
    path, name=name, users=users, items=items, time=time, test=test, public=public
  )


def read_parquet(path: pathlib.Path, *, name: str) -> Interactions:
  """Reads a Parquet table with the columns user, item[, timestamp][, test][, public].

  Further columns are ignored. Integer ids are kept with their gaps, string ids are numbered from 0
  in order of first appearance. `timestamp` holds numbers or dates on every row, or nulls only;
  `test` and `public` hold booleans or 0 and 1.

  Args:
    path: the file, gzipped if its name ends in `.gz`.
    name: name of the set.

  Returns:
    The interactions, in row order.

  Raises:
    DataError: naming the first row (from 0) that is not of this form.
  """
  content = tables.read_bytes(path)
  try:
    frame = pl.read_parquet(io.BytesIO(content))
  except (pl.exceptions.PolarsError, OSError) as error:
    reason = str(error).splitlines()[0]
    raise DataError(f"{path}: expected a Parquet table: {reason}") from None
  if not {"user", "item"} <= set(frame.columns):
    raise DataError(f"{path}: {_EXPECTED}, found {','.join(frame.columns)}")
  if frame.height == 0:
    raise DataError(f"{path}: empty table, expected at least one interaction")
  users = _parquet_ids(frame["user"], path)
  items = _parquet_ids(frame["item"], path)
  test, public = (
    _parquet_numbers(frame[mark], path, most=1).astype(np.bool_) if mark in frame.columns else None
    for mark in ("test", "public")
  )
  time = _parquet_time(frame["timestamp"], path) if "timestamp" in frame.columns else None
  return tables.interactions_of(
    path, name=name, users=users, items=items, time=time, test=test, public=public
  )


def _ids(
  column: pl.Series, what: str, path: pathlib.Path, lines: pl.Series
) -> npt.NDArray[np.int64]:
  tables.refuse_empty(column, what=what, path=path, lines=lines, first_line=2)
  if column.str.contains(r"^[+-]?\d+$").all():
    return tables.integers(column, what=what, path=path, lines=lines, first_line=2)
  return tables.renumbered(column)


def _marks(
  fields: pl.DataFrame, mark: str, path: pathlib.Path, lines: pl.Series
) -> npt.NDArray[np.bool_] | None:
  """The rows whose field is 1 and not 0; None without such a column."""
  if mark not in fields.columns:
    return None
  numbers = tables.integers(
    fields[mark], what=mark, path=path, lines=lines, first_line=2, most=1
  )
  return numbers.astype(np.bool_)


def _read_companion(
  path: pathlib.Path, what: str, num_rows: int, most: int
) -> npt.NDArray[np.int64]:
  lines = tables.read_lines(path)[1:]
  if len(lines) != num_rows:
    raise DataError(
      f"{path}: {len(lines)} lines after the header, expected {num_rows}, row for row with the "
      "interactions"
    )
  return tables.integers(lines, what=what, path=path, lines=lines, first_line=2, most=most)


def _parquet_ids(column: pl.Series, path: pathlib.Path) -> npt.NDArray[np.int64]:
  if column.dtype.is_integer():
    return _parquet_numbers(column, path, most=tables.LARGEST_ID)
  _refuse_nulls(column, path)
  if column.dtype in (pl.String, pl.Categorical, pl.Enum):
    return tables.renumbered(column.cast(pl.String))
  raise DataError(
    f"{path}: column {column.name} has type {column.dtype}, expected integers or strings"
  )


def _parquet_numbers(column: pl.Series, path: pathlib.Path, *, most: int) -> npt.NDArray[np.int64]:
  _refuse_nulls(column, path)
  if not (column.dtype.is_integer() or column.dtype == pl.Boolean):
    raise DataError(f"{path}: column {column.name} has type {column.dtype}, expected integers")
  wide = column.cast(pl.Int64, strict=False)
  wrong = ((wide < 0) | (wide > most)).fill_null(True).to_numpy()
  if wrong.any():
    row = int(np.argmax(wrong))
    raise DataError(
      f"{path}: row {row}: column {column.name} is {column[row]}, expected 0 to {most}"
    )
  return wide.to_numpy()


def _parquet_time(column: pl.Series, path: pathlib.Path) -> npt.NDArray[np.int64] | None:
  if column.null_count() == len(column):
    return None
  _refuse_nulls(column, path)
  if column.dtype.is_integer():
    return column.cast(pl.Int64).to_numpy()
  if column.dtype.is_temporal():
    return column.to_physical().cast(pl.Int64).to_numpy()
  if column.dtype.is_float() and column.is_finite().all():
    return tables.ordered_integers(column.cast(pl.Float64).to_numpy())
  raise DataError(
    f"{path}: column timestamp has type {column.dtype}, expected finite numbers or dates"
  )


def _refuse_nulls(column: pl.Series, path: pathlib.Path) -> None:
  if column.null_count() > 0:
    row = int(np.argmax(column.is_null().to_numpy()))
    raise DataError(f"{path}: row {row}: column {column.name} is null, expected a value")
