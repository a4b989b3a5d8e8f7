"""Reading files of interactions in the forms that people have them in."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from fedrecjax.datasets import id_columns, line_rows, roles, time_columns
from fedrecjax.datasets.errors import DataError
from fedrecjax.datasets.filters import occurring
from fedrecjax.datasets.given_splits import MARKS, Part, parts_of
from fedrecjax.datasets.id_columns import IdPart
from fedrecjax.datasets.interactions import Interactions
from fedrecjax.datasets.layouts import ONLY_INTEGERS, SEPARATORS, Layout, ReadOptions, layout_of
from fedrecjax.datasets.numbering import Numbering, numbered
from fedrecjax.datasets.parquet import parquet_rows
from fedrecjax.datasets.reading import FileReading, Reading
from fedrecjax.datasets.rows import Rows, delimited_rows
from fedrecjax.datasets.sources import chunks, plain_name
from fedrecjax.datasets.text_blocks import blocks, opened_text
from fedrecjax.datasets.time_columns import TimePart

TRAIN, TEST, VALIDATION = 0, 1, 2
_SPLIT_WORDS = {
  "0": TRAIN, "false": TRAIN, "train": TRAIN, "training": TRAIN, "1": TEST, "true": TEST, "test": TEST,
  "testing": TEST, "validation": VALIDATION, "valid": VALIDATION, "val": VALIDATION, "dev": VALIDATION,
}


class _Taken(NamedTuple):
  """What was taken in from some rows.

  Attributes:
    users: ids of users.
    items: ids of items.
    time: times, if there is a column of them.
    marks: which part of a split each row is in, int8; None without such a column.
    public: rows that everybody can see; None without such a column.
    low: rows whose rating is too low; None where none is asked for.
    other: rows without the value that is asked for; None where none is.
    line_users: users that may have no row.
  """

  users: IdPart
  items: IdPart
  time: TimePart | None
  marks: npt.NDArray[np.int8] | None
  public: npt.NDArray[np.bool_] | None
  low: npt.NDArray[np.bool_] | None
  other: npt.NDArray[np.bool_] | None
  line_users: IdPart | None


def read(
  path: str | os.PathLike[str],
  *,
  columns: str | Mapping[str, str | int] | None = None,
  format: str | None = None,
  separator: str | None = None,
  encoding: str | None = None,
  quotes: str = "auto",
  ids: str = "auto",
  min_rating: float | None = None,
  keep_if: str | None = None,
  unpack_ratio: int = 200,
  name: str | None = None,
) -> Interactions:
  """Reads interactions from a file, and from the files beside it that hold the other parts of the same split.

  Users and items are those that occur, and keep the file's ids as their names. Whole numbers are numbered ascending,
  other ids in order of first appearance.

  Args:
    path: the file; unpacked if its name ends in `.gz`, `.zip` or `.zst`.
    columns: which column plays which role of user, item, time, rating, split and public, by name, or by place from 0
      where the file has no header; "none" leaves a role out. By default by the publishers' usual headers.
    format: one of `FORMATS`; by default what name and first lines tell.
    separator: what stands between two fields; by default the one that makes a known header.
    encoding: of the text; by default UTF-8, or what a byte order mark says.
    quotes: "none" reads quotes as they stand.
    ids: "names" takes any token as an id, where else one word in a column of whole numbers is an error.
    min_rating: rows with a lower rating are left out.
    keep_if: COLUMN=VALUE: only rows with this value are kept.
    unpack_ratio: how many times its size a packed file may unpack to, beyond 256 MiB.
    name: name of the set; by default the file's name.

  Returns:
    The interactions, in file order.

  Raises:
    DataError: if the file is missing, of no known format, or wrong in a line.
  """
  file = pathlib.Path(path)
  options = ReadOptions(
    roles.parse_columns(columns), format, separator, encoding, quotes, ids, min_rating, keep_if, unpack_ratio
  )
  return read_parts(parts_of(file), options, name=name or file.name)


def read_parts(
  parts: Sequence[Part], options: ReadOptions, *, name: str, numbering: Numbering | None = None
) -> Interactions:
  """Reads the files that make up a data set.

  Args:
    parts: the file, or those of a split.
    options: what is said of them.
    name: name of the set.
    numbering: that of a published set, whose numbers are its names; None numbers the ids that occur.

  Raises:
    DataError: as :func:`read`.
  """
  files: list[FileReading] = []
  taken: list[_Taken] = []
  marks: list[npt.NDArray[np.int8]] = []
  seen: dict[str, list[tuple[bool, str]]] = {"time": [], "public": []}
  for part in parts:
    layout, encoding, rows = opened(part.path, options)
    found = [_take(one, part.path, layout, options) for one in rows]
    if not found:
      raise DataError(f"{part.path}: a header only, expected at least one interaction after it")
    seen["time"].append((found[0].time is not None, str(part.path)))
    seen["public"].append((found[0].public is not None, str(part.path)))
    if part.mark is not None and found[0].marks is not None:
      raise DataError(
        f"{part.path}: has a column {layout.label('split')}, and is one part of a split in several files; expected one"
        " split (--data.columns=split=none)"
      )
    num_rows = sum(one.users.num_rows for one in found)
    marks += [np.full(num_rows, part.mark, np.int8)] if part.mark is not None else _marks(found)
    files.append(_file_reading(part, layout, encoding, num_rows, options))
    taken += found
  for role, files_of in seen.items():
    there = dict(reversed(files_of))
    if len(there) > 1:
      what = "times" if role == "time" else "what is public"
      raise DataError(
        f"{there[False]}: no column of {what}, which {there[True]} has; --data.columns={role}=none leaves it out"
      )
  return _interactions(taken, files, marks, options, name=name, numbering=numbering)


def opened(path: pathlib.Path, options: ReadOptions) -> tuple[Layout, str, Iterator[Rows]]:
  """The form of a file, its encoding, which is empty for Parquet, and its rows.

  Raises:
    DataError: if the file is missing or of no known format; naming the first line that is wrong, while rows are taken.
  """
  keep = None if options.keep_if is None else options.keep_if.partition("=")[0]
  if options.format == "parquet" or (options.format is None and plain_name(path).endswith(".parquet")):
    layout, rows = parquet_rows(path, options, keep)
    return layout, "", rows
  text = opened_text(path, chunks(path, unpack_ratio=options.unpack_ratio), encoding=options.encoding)
  layout = layout_of(path, text.head, options)
  if layout.format == "jsonl":
    layout = line_rows.json_layout(path, text.head[0], options)
  text_blocks = blocks(path, text.pieces, quoted=layout.quoted)
  if layout.format == "jsonl":
    rows = line_rows.json_rows(path, text_blocks, layout, keep)
  elif layout.format in ("lists", "pairs", "netflix", "mind"):
    if keep is not None:
      raise DataError(f"{path}: data.keep_if={options.keep_if}: the format {layout.format} has no further columns")
    if layout.format == "mind":
      rows = line_rows.mind_rows(path, text_blocks, layout)
    elif layout.format == "netflix":
      rows = line_rows.netflix_rows(path, text_blocks)
    else:
      rows = line_rows.list_rows(path, text_blocks, pairs=layout.format == "pairs")
  else:
    rows = delimited_rows(path, text_blocks, layout, None if keep is None else _place_of(path, layout, keep))
  return layout, text.encoding, rows


def _place_of(path: pathlib.Path, layout: Layout, column: str) -> int:
  """The place of a column that is named in `keep_if`."""
  header = layout.header or tuple(map(str, range(layout.num_fields)))
  found = [place for place, known in enumerate(header) if column in (known, known.partition(":")[0])]
  if len(found) != 1:
    raise DataError(f"{path}:1: data.keep_if: column {column!r} is not there; the columns are {', '.join(header)}")
  return found[0]


def _take(rows: Rows, path: pathlib.Path, layout: Layout, options: ReadOptions) -> _Taken:
  frame = rows.frame.drop([role for role, column in options.columns if column == roles.NONE], strict=False)
  as_names = options.ids == "names"

  def ids(role: str, column: pl.Series, beyond: int = 0) -> IdPart:
    def where(row: int, expected: str, found: object) -> DataError:
      return rows.error(row + beyond, role, expected, found)

    return id_columns.id_part(column, where, as_names=as_names)

  def time_error(row: int, expected: str, found: object) -> DataError:
    return rows.error(row, "time", expected, found)

  low = other = None
  if options.min_rating is not None:
    low = _ratings(rows, path, layout) < options.min_rating
  if options.keep_if is not None:
    value = options.keep_if.partition("=")[2]
    other = (frame["keep"].fill_null("") != value).to_numpy()
  return _Taken(
    ids("user", frame["user"]),
    ids("item", frame["item"]),
    time_columns.time_part(frame["time"], time_error) if "time" in frame.columns else None,
    _split_marks(rows) if "split" in frame.columns else None,
    public_marks(rows) if "public" in frame.columns else None,
    low,
    other,
    None if rows.line_users is None else ids("user", rows.line_users, len(frame)),
  )


def _ratings(rows: Rows, path: pathlib.Path, layout: Layout) -> npt.NDArray[np.float64]:
  if "rating" not in rows.frame.columns:
    columns = "none" if layout.header is None else ", ".join(layout.header)
    raise DataError(
      f"{path}: data.min_rating needs a column of ratings, found none that is known among {columns};"
      " --data.columns=rating=NAME names it"
    )
  ratings = rows.frame["rating"].cast(pl.Float64, strict=False)
  wrong = ~ratings.is_finite().fill_null(False)
  if wrong.any():
    row = int(wrong.arg_max() or 0)
    raise rows.error(row, "rating", "a rating", rows.frame["rating"][row])
  return ratings.to_numpy()


def public_marks(rows: Rows) -> npt.NDArray[np.bool_]:
  """Which rows everybody can see, bool `[n]`.

  Raises:
    DataError: naming the first row in whose column is neither 0 nor 1.
  """
  words = rows.frame["public"].cast(pl.String).fill_null("").str.strip_chars().str.to_lowercase()
  marks = words.replace_strict({"0": 0, "false": 0, "1": 1, "true": 1}, default=None, return_dtype=pl.Int8)
  if marks.null_count():
    row = int(marks.is_null().arg_max() or 0)
    raise rows.error(row, "public", "0 or 1 (--data.columns=public=none leaves the column out)",
                     rows.frame["public"][row])
  return marks.to_numpy() == 1


def _split_marks(rows: Rows) -> npt.NDArray[np.int8]:
  words = rows.frame["split"].cast(pl.String).fill_null("").str.strip_chars().str.to_lowercase()
  marks = words.replace_strict(_SPLIT_WORDS, default=None, return_dtype=pl.Int8)
  if marks.null_count():
    row = int(marks.is_null().arg_max() or 0)
    expected = "0 or 1, or train, validation or test (--data.columns=split=none leaves the column out)"
    raise rows.error(row, "split", expected, rows.frame["split"][row])
  return marks.to_numpy()


def _marks(found: Sequence[_Taken]) -> list[npt.NDArray[np.int8]]:
  return [one.marks for one in found if one.marks is not None]


def _file_reading(part: Part, layout: Layout, encoding: str, num_rows: int, options: ReadOptions) -> FileReading:
  separator = next((word for word, text in SEPARATORS.items() if text == layout.separator), layout.separator)
  named = {role: layout.label(role).removesuffix(f" ({role})") for role in layout.places}
  what = "all" if part.mark is None else MARKS[part.mark]
  unused = layout.unused(None if options.keep_if is None else options.keep_if.partition("=")[0])
  return FileReading(str(part.path), what, layout.format, encoding, separator, tuple(named.items()), num_rows, unused)


def _interactions(
  taken: Sequence[_Taken],
  files: Sequence[FileReading],
  marks: Sequence[npt.NDArray[np.int8]],
  options: ReadOptions,
  *,
  name: str,
  numbering: Numbering | None,
) -> Interactions:
  """Numbers what was taken in, and leaves out what is not wanted."""
  as_names = options.ids == "names"
  only_integers = files[0].format in ONLY_INTEGERS
  line_users = [one.line_users for one in taken if one.line_users is not None]
  all_users = id_columns.joined(
    [one.users for one in taken] + line_users, as_names=as_names, only_integers=only_integers
  )
  all_items = id_columns.joined([one.items for one in taken], as_names=as_names, only_integers=only_integers)
  num_rows = len(all_items.numbers)
  with_time = [one.time for one in taken if one.time is not None]
  times = time_columns.joined(with_time) if with_time else None
  mark = np.concatenate(marks) if marks else None
  public = [one.public for one in taken if one.public is not None]
  users, num_users, user_names = numbered(all_users, numbering, f"{name}: user")
  items, num_items, item_names = numbered(all_items, numbering, f"{name}: item")
  reading = Reading(
    files=tuple(files), numbering=numbering or "", rows=num_rows, time_span=None if times is None else times.span,
  )
  found = Interactions(
    name=name,
    users=users[:num_rows],
    items=items,
    time=None if times is None else times.values,
    num_users=num_users,
    num_items=num_items,
    test=None if mark is None else mark == TEST,
    validation=mark == VALIDATION if mark is not None and (mark == VALIDATION).any() else None,
    public=np.concatenate(public) if public else None,
    user_names=user_names,
    item_names=item_names,
    reading=reading,
  )
  return _filtered(found, taken, options)


def _filtered(found: Interactions, taken: Sequence[_Taken], options: ReadOptions) -> Interactions:
  """Without rows that have another value than is wanted, or too low a rating."""
  reading = found.reading or Reading()
  left, num_users = np.ones(len(found), np.bool_), found.num_users
  for filter_name, asked, masks in (
    ("keep_if", f"data.keep_if={options.keep_if}", [one.other for one in taken if one.other is not None]),
    ("min_rating", f"data.min_rating={options.min_rating}", [one.low for one in taken if one.low is not None]),
  ):
    if not masks:
      continue
    unwanted = np.concatenate(masks) & left
    if not unwanted.any():
      continue
    left &= ~unwanted
    if not left.any():
      raise DataError(f"{found.name}: {asked} leaves none of {len(found)} rows")
    there = int(np.count_nonzero(np.bincount(found.users[left])))
    reading = reading.without(filter_name, int(unwanted.sum()), num_users - there)
    num_users = there
  found = dataclasses.replace(found, reading=reading)
  return found if left.all() else occurring(found, left)
