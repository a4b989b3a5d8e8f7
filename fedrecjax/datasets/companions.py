"""Columns that stand in files of their own beside a table, row for row."""

from __future__ import annotations

import dataclasses
import pathlib

import numpy as np
import numpy.typing as npt
import polars as pl

from fedrecjax.datasets.errors import DataError
from fedrecjax.datasets.interactions import Interactions
from fedrecjax.datasets.reading import FileReading, Reading
from fedrecjax.datasets.rows import lines_of
from fedrecjax.datasets.sources import chunks
from fedrecjax.datasets.text_blocks import blocks, opened_text

_MOST = 2**62


def with_companions(
  interactions: Interactions, time_path: pathlib.Path | None, test_path: pathlib.Path | None
) -> Interactions:
  """The interactions with times and marks of files beside them, in place of their own.

  Args:
    interactions: as read, none left out.
    time_path: a header and one whole number a line, which order a user's rows in time; None if there is none.
    test_path: a header and 0 or 1 a line, 1 where the row is held out; None if there is none.

  Raises:
    DataError: if a file has another number of lines, or naming the first line that is of another form.
  """
  reading = interactions.reading or Reading()
  for path, role, most in ((time_path, "time", _MOST), (test_path, "split", 1)):
    if path is None:
      continue
    if reading.left_out:
      raise DataError(
        f"{path}: stands row for row beside {interactions.name}, of which filters leave rows out; expected no"
        " data.min_rating and no data.keep_if"
      )
    column = _read(path, role, len(interactions), most)
    values: dict[str, npt.NDArray[np.generic]] = {"time": column} if role == "time" else {"test": column == 1}
    file = FileReading(str(path), "all", "csv", "utf-8", "", ((role, path.name.partition(".")[0]),), len(column))
    reading = dataclasses.replace(
      reading, files=(*reading.files, file), time_span=None if role == "time" else reading.time_span
    )
    interactions = dataclasses.replace(interactions, reading=reading, **values)  # type: ignore[arg-type]
  return interactions


def _read(path: pathlib.Path, what: str, num_rows: int, most: int) -> npt.NDArray[np.int64]:
  found: list[npt.NDArray[np.int64]] = []
  text = opened_text(path, chunks(path, unpack_ratio=200), encoding=None)
  for block in blocks(path, text.pieces, quoted=False):
    texts, lines = lines_of(path, block)
    numbers = texts.cast(pl.Int64, strict=False)
    wrong = ((numbers < 0) | (numbers > most)).fill_null(True)
    if not found:
      # The header.
      wrong[0] = False
    if wrong.any():
      row = int(wrong.arg_max() or 0)
      lines.refuse(row, f"expected {what} to be {'0 or 1' if most == 1 else 'a whole number'}, found {texts[row]!r}")
    found.append(numbers[1:].to_numpy() if not found else numbers.to_numpy())
  values = np.concatenate(found)
  if len(values) != num_rows:
    raise DataError(
      f"{path}: {len(values)} lines after the header, expected {num_rows}, row for row with the interactions"
    )
  return values.astype(np.int64)
