"""Rows of a text table, a block at a time, parsed by polars, with the line of each for errors."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, NoReturn

import numpy as np
import numpy.typing as npt
import polars as pl

from fedrecjax.datasets.errors import DataError
from fedrecjax.datasets.layouts import SEPARATORS, Layout
from fedrecjax.datasets.text_blocks import Block

_SHOWN = 60
_STAND_IN = b"\x1f"
_LF, _QUOTE = 10, 34


class Rows(NamedTuple):
  """Some rows of a file.

  Attributes:
    frame: a column for each role that is there, and `keep` where rows are kept by a value.
    error: makes the error for a row: of the role, what was expected, and what was found.
    line_users: users of lines, some of which may have no row; None where every user has one.
  """

  frame: pl.DataFrame
  error: Callable[[int, str, str, object], DataError]
  line_users: pl.Series | None = None


class Lines(NamedTuple):
  """The records of a block.

  Attributes:
    path: the file.
    block: the block.
    starts: where each record begins in its data, `[n]`.
  """

  path: pathlib.Path
  block: Block
  starts: npt.NDArray[np.int64]

  def refuse(self, row: int, message: str) -> NoReturn:
    """Raises the error for a record."""
    raise self.error(row, message)

  def error(self, row: int, message: str) -> DataError:
    """The error for a record, with its line number and text."""
    start = int(self.starts[row])
    end = int(self.starts[row + 1]) - 1 if row + 1 < len(self.starts) else len(self.block.data)
    text = self.block.data[start:end].decode("utf-8", errors="replace")
    number = self.block.first_line + self.block.data.count(b"\n", 0, start)
    shown = text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."
    return DataError(f"{self.path}:{number}: {message}, in line {shown!r}")

  def field_error(self, row: int, label: str, expected: str, found: object) -> DataError:
    """The error for one field of a record."""
    shown = "nothing" if found in ("", None) else repr(found)
    return self.error(row, f"column {label}: expected {expected}, found {shown}")


def lines_of(path: pathlib.Path, block: Block) -> tuple[pl.Series, Lines]:
  """The lines of a block, for formats that are not tables.

  Raises:
    DataError: if a line holds control characters that no text has.
  """
  ends = np.flatnonzero(np.frombuffer(block.data, np.uint8) == _LF)
  lines = Lines(path, block, np.r_[0, ends + 1])
  frame = _parsed(lines, _STAND_IN.decode(), quoted=False, places=[0], num_fields=1)
  return frame.to_series().fill_null(""), lines


def delimited_rows(
  path: pathlib.Path, text_blocks: Iterable[Block], layout: Layout, keep: int | None = None
) -> Iterator[Rows]:
  """Parses a table.

  Args:
    path: file named in errors.
    text_blocks: of the file.
    layout: its form.
    keep: place of a further column, which is then in `keep`.

  Raises:
    DataError: naming the first line that has another number of fields, or a quote within a field.
  """
  columns = dict(layout.places) | ({} if keep is None else {"keep": keep})
  below_header = layout.header is None
  for block in text_blocks:
    if not below_header:
      below_header = True
      _, _, rest = block.data.partition(b"\n")
      if not rest:
        continue
      block = Block(block.first_line + 1, rest)
    separator = layout.separator
    if len(separator) > 1:
      if _STAND_IN in block.data:
        raise DataError(f"{path}: a control character after line {block.first_line}, expected text")
      block = block._replace(data=block.data.replace(separator.encode(), _STAND_IN))
      separator = _STAND_IN.decode()
    quoted = layout.quoted and b'"' in block.data
    lines = _checked_records(path, block, separator, layout, quoted)
    places = sorted(set(columns.values()))
    frame = _parsed(lines, separator, quoted=quoted, places=places, num_fields=layout.num_fields)
    frame = frame.select(pl.col(str(place)).fill_null("").alias(role) for role, place in columns.items())

    def error(row: int, role: str, expected: str, found: object, lines: Lines = lines) -> DataError:
      return lines.field_error(row, layout.label(role), expected, found)

    yield Rows(frame, error)


def _checked_records(path: pathlib.Path, block: Block, separator: str, layout: Layout, quoted: bool) -> Lines:
  """Finds where records begin, and that each has as many fields as the table has columns."""
  array = np.frombuffer(block.data, np.uint8)
  between, ends = array == ord(separator), array == _LF
  if quoted:
    quotes = array == _QUOTE
    inside = (np.cumsum(quotes, dtype=np.int32) & 1).astype(np.bool_)
    between &= ~inside
    ends &= ~inside
  lines = Lines(path, block, np.r_[0, np.flatnonzero(ends) + 1])
  counts = np.add.reduceat(between.view(np.uint8), lines.starts, dtype=np.int32) + 1
  wrong = counts != layout.num_fields
  if wrong.any():
    row = int(np.argmax(wrong))
    shown = next((word for word, text in SEPARATORS.items() if text == layout.separator), layout.separator)
    lines.refuse(row, f"expected {layout.num_fields} fields ({shown} between them), found {counts[row]}")
  if quoted:
    _refuse_stray_quotes(lines, array, np.flatnonzero(quotes), ord(separator))
  return lines


def _refuse_stray_quotes(
  lines: Lines, array: npt.NDArray[np.uint8], quotes: npt.NDArray[np.int64], separator: int
) -> None:
  """A quote opens a field at its beginning and closes it at its end, or is doubled within one."""
  opening, closing = quotes[::2], quotes[1::2]
  before = array[np.maximum(opening - 1, 0)]
  opens = (opening == 0) | np.isin(before, (separator, _LF, _QUOTE))
  after = array[np.minimum(closing + 1, len(array) - 1)]
  closes = (closing == len(array) - 1) | np.isin(after, (separator, _LF, _QUOTE))
  stray = np.sort(np.concatenate([opening[~opens], closing[~closes]]))
  if len(stray):
    row = int(np.searchsorted(lines.starts, stray[0], side="right")) - 1
    lines.refuse(row, "a quote within a field, expected quotes around whole fields (--data.quotes=none reads quotes as"
                 " they stand)")


def _parsed(
  lines: Lines, separator: str, *, quoted: bool, places: Sequence[int], num_fields: int
) -> pl.DataFrame:
  """The wanted columns of a block as texts, in order of their places."""
  try:
    frame = pl.scan_csv(
      lines.block.data, has_header=False, separator=separator, quote_char='"' if quoted else None,
      schema={str(place): pl.String for place in range(num_fields)}, raise_if_empty=False,
    ).select(str(place) for place in places).collect()
  except pl.exceptions.PolarsError as error:
    raise DataError(f"{lines.path}: cannot be read from line {lines.block.first_line} on: {str(error).splitlines()[0]}"
                    ) from None
  if frame.height != len(lines.starts):
    raise DataError(f"{lines.path}: {frame.height} rows from line {lines.block.first_line} on, expected"
                    f" {len(lines.starts)}")
  return frame
