"""Columns of ids: from what a file says to numbers from 0 and names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from fedrecjax.datasets.errors import DataError
from fedrecjax.datasets.names import Names

IntArray = npt.NDArray[np.integer]
Where = Callable[[int, str, object], DataError]
"""Makes the error for a row: of what was expected there, and what was found."""

CANONICAL = r"^(0|[1-9][0-9]*)$"
_LONGEST = 18
"""Digits of an integer that surely fits into 64 bits."""
_MISSING = ("", "nan", "null", "none", "na", "n/a", "<na>", "nat", "\\n")
FEW = 0.1
"""Share of rows that a column of integers may have without being one of names: up to it they are mistakes."""


class IdPart(NamedTuple):
  """The ids of some rows.

  Attributes:
    values: where all are whole numbers of at most 18 digits, those, int64 `[n]`; else None.
    tokens: the different ids in order of first appearance; None with `values`.
    codes: the place in `tokens` of each row's id, `[n]`; None with `values`.
    num_rows: n.
    num_other: rows whose id is not a whole number, written as one.
    other: makes the error for the first of them; None if there is none.
  """

  values: IntArray | None
  tokens: pl.Series | None
  codes: IntArray | None
  num_rows: int
  num_other: int
  other: DataError | None


class Ids(NamedTuple):
  """Ids as numbers.

  Attributes:
    numbers: from 0, int32 `[n]`.
    names: the names of 0, 1, ...; int64 ascending, or texts.
  """

  numbers: npt.NDArray[np.int32]
  names: Names


def id_part(column: pl.Series, where: Where, *, as_names: bool) -> IdPart:
  """Takes in the ids of some rows.

  Blanks around an id are not part of it.

  Args:
    column: integers or texts `[n]`.
    where: makes errors.
    as_names: whether any text is an id, such as `NaN` and `-1`, which else stand for one that is missing.

  Raises:
    DataError: naming the first row without an id.
  """
  if column.dtype.is_integer():
    return _integer_part(column, where, as_names=as_names)
  canonical = column.str.contains(CANONICAL).fill_null(False)
  if not canonical.all():
    column = column.fill_null("").str.strip_chars()
    canonical = column.str.contains(CANONICAL)
  if canonical.all() and int(column.str.len_bytes().max() or 0) <= _LONGEST:  # type: ignore[arg-type]
    return IdPart(column.cast(pl.Int64).to_numpy(), None, None, len(column), 0, None)
  missing = column.str.to_lowercase().is_in(list(_MISSING[:1] if as_names else _MISSING))
  if missing.any():
    row = int(missing.arg_max() or 0)
    way_out = "" if column[row] == "" else " (--data.ids=names takes it as one)"
    raise where(row, f"an id{way_out}", column[row])
  tokens = column.unique(maintain_order=True)
  codes = column.cast(pl.Enum(tokens)).to_physical().cast(pl.Int64).to_numpy()
  num_other = int((~canonical).sum())
  other = None
  if num_other:
    row = int((~canonical).arg_max() or 0)
    other = where(row, "a whole number, as other rows have (--data.ids=names takes all ids as names)", column[row])
  return IdPart(None, tokens, codes, len(column), num_other, other)


def _integer_part(column: pl.Series, where: Where, *, as_names: bool) -> IdPart:
  if column.null_count():
    row = int(column.is_null().arg_max() or 0)
    raise where(row, "an id", None)
  low, high = int(column.min()), int(column.max())  # type: ignore[arg-type]
  if (low < 0 and not as_names) or high >= 10**_LONGEST:
    return id_part(column.cast(pl.String), where, as_names=as_names)
  return IdPart(column.cast(pl.Int64).to_numpy(), None, None, len(column), 0, None)


def joined(parts: Sequence[IdPart], *, as_names: bool, only_integers: bool) -> Ids:
  """Numbers the ids of all rows.

  Whole numbers are numbered ascending. Anything else is numbered in order of first appearance; but a column in which
  nine rows in ten or more are whole numbers is one of numbers, and the others are mistakes.

  Args:
    parts: of the rows, in order.
    as_names: whether any text is an id, and all are numbered in order of first appearance.
    only_integers: whether the format has whole numbers only.

  Raises:
    DataError: naming the first row whose id is a mistake.
  """
  num_rows = sum(part.num_rows for part in parts)
  num_other = sum(part.num_other for part in parts)
  if not as_names and num_other and (only_integers or num_other <= FEW * num_rows):
    raise next(part.other for part in parts if part.other is not None)
  if not as_names and all(part.values is not None for part in parts):
    return _ascending(np.concatenate([part.values for part in parts if part.values is not None]))
  tokens = [tokens_of(part) for part in parts]
  known = pl.concat([one for one, _ in tokens]).unique(maintain_order=True)
  if not as_names and num_other == 0:
    # Whole numbers, some too long for 64 bits: shorter ones are smaller.
    frame = known.to_frame("token")
    known = frame.sort(pl.col("token").str.len_bytes(), pl.col("token")).to_series()
  kind = pl.Enum(known)
  numbers = [
    one.cast(kind).to_physical().cast(pl.Int32).to_numpy()[codes] for one, codes in tokens
  ]
  return Ids(np.concatenate(numbers).astype(np.int32), np.array(known.to_list(), dtype=object))


def _ascending(values: IntArray) -> Ids:
  largest = int(values.max())
  if largest < 4 * len(values) + 2**20:
    # Much faster than sorting all rows.
    present = np.zeros(largest + 1, np.bool_)
    present[values] = True
    names = np.flatnonzero(present)
    number = np.cumsum(present, dtype=np.int32) - np.int32(1)
    return Ids(number[values], names.astype(np.int64))
  names, numbers = np.unique(values, return_inverse=True)
  return Ids(numbers.astype(np.int32), names)


def tokens_of(part: IdPart) -> tuple[pl.Series, IntArray]:
  """The different ids of a part as texts, in order of first appearance, and each row's place among them."""
  if part.tokens is not None and part.codes is not None:
    return part.tokens, part.codes
  assert part.values is not None
  different, first, inverse = np.unique(part.values, return_index=True, return_inverse=True)
  order = np.argsort(first)
  place = np.empty(len(order), np.int64)
  place[order] = np.arange(len(order))
  return pl.Series("token", different[order]).cast(pl.String), place[inverse]
