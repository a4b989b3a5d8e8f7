"""Rows of Parquet tables."""

from __future__ import annotations

import io
import pathlib
from collections.abc import Iterator

import polars as pl

from fedrecjax.datasets import roles
from fedrecjax.datasets.errors import DataError
from fedrecjax.datasets.layouts import Layout, ReadOptions
from fedrecjax.datasets.rows import Rows
from fedrecjax.datasets.sources import PACKED, content


def parquet_rows(path: pathlib.Path, options: ReadOptions, keep: str | None) -> tuple[Layout, Iterator[Rows]]:
  """Reads a Parquet table.

  Args:
    path: the file.
    options: what is said of it.
    keep: a further column, which is then in `keep`.

  Returns:
    Its form, and its rows.

  Raises:
    DataError: if it is no such table, lacks columns or rows, or ids are neither integers nor texts.
  """
  if not path.is_file():
    raise DataError(f"{path}: {'cannot be read: a folder' if path.is_dir() else 'no such file'}")
  packed = path.suffix.lower() in PACKED
  try:
    source: bytes | pathlib.Path = content(path, unpack_ratio=options.unpack_ratio) if packed else path
    header = tuple(pl.read_parquet_schema(io.BytesIO(source) if isinstance(source, bytes) else source))
    layout = Layout("parquet", "", False, header, roles.places_by_name(header, options.columns, str(path)), len(header))
    columns = {role: header[place] for role, place in layout.places.items()}
    if keep is not None:
      columns["keep"] = keep
    wanted = list(dict.fromkeys(columns.values()))
    frame = pl.read_parquet(io.BytesIO(source) if isinstance(source, bytes) else source, columns=wanted)
  except (pl.exceptions.PolarsError, OSError) as reason:
    raise DataError(f"{path}: expected a Parquet table: {str(reason).splitlines()[0]}") from None
  if frame.height == 0:
    raise DataError(f"{path}: empty table, expected at least one interaction")
  named = {role: frame[column].alias(role) for role, column in columns.items()}
  for role in ("user", "item"):
    column = named[role]
    if column.dtype in (pl.Categorical, pl.Enum):
      named[role] = column.cast(pl.String)
    elif not (column.dtype.is_integer() or column.dtype == pl.String):
      raise DataError(f"{path}: column {columns[role]} has type {column.dtype}, expected integers or strings")
  if "keep" in named:
    named["keep"] = named["keep"].cast(pl.String)

  def error(row: int, role: str, expected: str, found: object) -> DataError:
    shown = "nothing" if found in ("", None) else repr(found)
    return DataError(f"{path}: row {row}: column {layout.label(role)}: expected {expected}, found {shown}")

  return layout, iter([Rows(pl.DataFrame(named), error)])
