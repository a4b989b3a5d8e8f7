"""Columns of times: numbers of one unit, or dates."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from fedrecjax.datasets.errors import DataError
from fedrecjax.datasets.id_columns import Where

FORMATS = (
  "%Y-%m-%dT%H:%M:%S%.fZ",
  "%Y-%m-%dT%H:%M:%S%.f",
  "%Y-%m-%d %H:%M:%S%.f",
  "%Y-%m-%d %H:%M",
  "%Y-%m-%d",
  "%Y-%m-%dT%H:%M:%S%.f%z",
  "%Y-%m-%d %H:%M:%S%.f%z",
  "%m/%d/%Y %I:%M:%S %p",
  "%a %b %d %H:%M:%S %z %Y",
)
"""Forms of dates; those without a zone are in UTC."""

_EXPECTED = "a time: a number of seconds or a date such as 2010-10-19T23:55:27Z"
_WAY_OUT = "--data.columns=time=none leaves times out"
_UNITS = ("seconds", "milliseconds", "microseconds", "nanoseconds")
_BOUNDS = np.array([1e11, 1e14, 1e17])
"""Numbers from which times count as being in the next smaller unit: 1e11 seconds are in the year 5138."""


class TimePart(NamedTuple):
  """The times of some rows.

  Attributes:
    values: int64, float64, or for dates microseconds since 1970 in int64, `[n]`; None if no row has a time.
    kind: a unit, "dates", or "none".
    first: makes the error for the first row; of what is expected there.
    num_rows: n.
  """

  values: npt.NDArray[np.int64] | npt.NDArray[np.float64] | None
  kind: str
  first: DataError
  num_rows: int


class Times(NamedTuple):
  """The times of all rows.

  Attributes:
    values: that order rows in time, int64 `[n]`.
    span: the first and last, as text.
  """

  values: npt.NDArray[np.int64]
  span: tuple[str, str]


def time_part(column: pl.Series, where: Where) -> TimePart:
  """Takes in the times of some rows.

  Raises:
    DataError: naming the first row whose time is missing while others have one, is no time, or is in another unit than
      the first one's.
  """
  first = where(0, "times of one kind in all rows", column[0])
  empty = column.is_null() if column.dtype != pl.String else column.fill_null("").str.strip_chars() == ""
  if empty.all():
    return TimePart(None, "none", first, len(column))
  if empty.any():
    raise where(int(empty.arg_max() or 0), f"a time, as other rows have one ({_WAY_OUT})", "")
  if column.dtype.is_temporal():
    return TimePart(_microseconds(column), "dates", first, len(column))
  numbers = _numbers(column)
  if numbers is None:
    return TimePart(_dates(column, where), "dates", first, len(column))
  units = np.searchsorted(_BOUNDS, numbers, side="right")
  wrong = (numbers < 0) | ~np.isfinite(numbers)
  if wrong.any():
    row = int(np.argmax(wrong))
    raise where(row, "a time of at least 0", column[row])
  if units.min() != units.max():
    row = int(np.argmax(units != units[0]))
    raise where(row, f"times of one unit, which begin in {_UNITS[units[0]]}", column[row])
  return TimePart(numbers, _UNITS[units[0]], first, len(column))


def _numbers(column: pl.Series) -> npt.NDArray[np.int64] | npt.NDArray[np.float64] | None:
  """int64 or float64 `[n]`; None unless all are numbers."""
  if column.dtype == pl.String:
    column = column.str.strip_chars()
  for kind in (pl.Int64, pl.Float64):
    if kind == pl.Int64 and column.dtype.is_float():
      continue
    numbers = column.cast(kind, strict=False)
    if numbers.null_count() == 0:
      return numbers.to_numpy()
  return None


def _dates(column: pl.Series, where: Where) -> npt.NDArray[np.int64]:
  if column.dtype != pl.String:
    raise where(0, f"{_EXPECTED} ({_WAY_OUT})", column[0])
  texts = column.str.strip_chars()
  found = pl.Series("time", [None], dtype=pl.Int64).new_from_index(0, len(texts))
  for form in FORMATS:
    left = found.is_null()
    if not left.any():
      break
    parsed = texts.str.to_datetime(form, time_unit="us", strict=False)
    found = found.zip_with(~left, parsed.to_physical().cast(pl.Int64))
  wrong = found.is_null()
  if wrong.any():
    numbers = texts.cast(pl.Float64, strict=False).is_not_null()
    # Where the first time is a number, what is wrong is the word among numbers.
    row = int((~numbers if numbers[0] else wrong).arg_max() or 0)
    raise where(row, f"{_EXPECTED} ({_WAY_OUT})", column[row])
  return found.to_numpy()


def _microseconds(column: pl.Series) -> npt.NDArray[np.int64]:
  return column.cast(pl.Datetime("us")).to_physical().cast(pl.Int64).to_numpy()


def joined(parts: Sequence[TimePart]) -> Times | None:
  """The times of all rows; None if no row has one.

  Numbers that are not whole are replaced by their ranks.

  Raises:
    DataError: if some rows have times of one kind and others of another, or none.
  """
  other = next((part for part in parts if part.kind != parts[0].kind), None)
  if other is not None:
    if "none" in (other.kind, parts[0].kind):
      raise (other if other.kind == "none" else parts[0]).first
    raise other.first
  if parts[0].kind == "none":
    return None
  values = np.concatenate([part.values for part in parts if part.values is not None])
  span = (_text(values.min(), parts[0].kind), _text(values.max(), parts[0].kind))
  return Times(ordered_integers(values), span)


def _text(value: float, kind: str) -> str:
  """A time as a person reads it; a number of no date, such as a rank, stays a number."""
  scale = {"seconds": 1, "milliseconds": 10**3, "microseconds": 10**6, "nanoseconds": 10**9, "dates": 10**6}[kind]
  if kind == "seconds" and value < 10**8:
    return f"{value:g}" if value != int(value) else str(int(value))
  try:
    moment = datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=float(value) / scale)
  except OverflowError:
    return f"{value:g}"
  return moment.strftime("%Y-%m-%d %H:%M:%S")


def ordered_integers(
  numbers: npt.NDArray[np.float64] | npt.NDArray[np.int64],
) -> npt.NDArray[np.int64]:
  """Integers in the order of `numbers`: themselves where all are whole, else their ranks.

  >>> ordered_integers(np.array([2.5, 1.0, 2.5])).tolist()
  [1, 0, 1]
  """
  if np.issubdtype(numbers.dtype, np.integer):
    return numbers.astype(np.int64, copy=False)
  if np.all(numbers == np.floor(numbers)) and np.all(np.abs(numbers) < 2**53):
    return numbers.astype(np.int64)
  ranks: npt.NDArray[np.int64] = np.unique(numbers, return_inverse=True)[1].astype(np.int64)
  return ranks
