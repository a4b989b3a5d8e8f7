"""Rows of text formats that are no tables: lists of items, pairs, Netflix's blocks, JSON lines, MIND's clicks."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import polars as pl

from fedrecjax.datasets import roles
from fedrecjax.datasets.errors import DataError
from fedrecjax.datasets.layouts import Layout, ReadOptions
from fedrecjax.datasets.rows import Lines, Rows, delimited_rows, lines_of
from fedrecjax.datasets.text_blocks import Block


def list_rows(path: pathlib.Path, text_blocks: Iterable[Block], *, pairs: bool) -> Iterator[Rows]:
  """Parses `user item item ...` lines, one for each user; or `user item` lines, of which a user may have many.

  A file in which every line has two words, and a user has several, is one of pairs.

  Args:
    path: file named in errors.
    text_blocks: of the file.
    pairs: whether it is known to be one of pairs.

  Raises:
    DataError: naming the first line that is empty or of another form, or that lists a user again.
  """
  parts = [_words(path, block) for block in text_blocks]
  users = pl.concat([part[0] for part in parts])
  counts = np.concatenate([part[2] for part in parts])
  wrong = counts != 2 if pairs else counts < 1
  if wrong.any():
    _refuse_line(parts, int(np.argmax(wrong)), "expected 'user item'" if pairs else "expected 'user item item ...'")
  if not pairs and not np.all(counts == 2):
    _refuse_repeated(parts, users)
  if not any(len(part[1]) for part in parts):
    raise DataError(f"{path}: no line lists an item, expected 'user item item ...'")
  for first_words, frame, _, lines in parts:
    line = frame["line"].to_numpy()

    def error(
      row: int, role: str, expected: str, found: object, lines: Lines = lines, line: np.ndarray = line
    ) -> DataError:
      number = int(line[row]) if row < len(line) else row - len(line)
      return lines.field_error(number, role, expected, found)

    yield Rows(frame.select("user", "item"), error, first_words)


_Words = tuple[pl.Series, pl.DataFrame, np.ndarray, Lines]


def _words(path: pathlib.Path, block: Block) -> _Words:
  """The first word of every line, the others with it and their line, how many words there are, and the lines."""
  texts, lines = lines_of(path, block)
  words = texts.str.replace_all(r"\s+", " ").str.strip_chars(" ").str.split(" ")
  first = words.list.first()
  counts = np.where((first == "").to_numpy(), 0, words.list.len().to_numpy())
  frame = pl.DataFrame({"line": np.arange(len(words)), "user": first, "item": words.list.slice(1)})
  return first, frame.filter(pl.col("item").list.len() > 0).explode("item"), counts, lines


def _refuse_line(parts: list[_Words], row: int, message: str) -> None:
  for _, _, counts, lines in parts:
    if row < len(counts):
      lines.refuse(row, message)
    row -= len(counts)


def _refuse_repeated(parts: list[_Words], users: pl.Series) -> None:
  again = ~users.is_first_distinct()
  if again.any():
    row = int(again.arg_max() or 0)
    earlier = int((users == users[row]).arg_max() or 0) + 1
    _refuse_line(
      parts, row, f"expected a new user, but user {users[row]} is on line {earlier} (a file of user, item and more on"
      " each line: --data.separator=space --data.columns=user=0+item=1)"
    )


def netflix_rows(path: pathlib.Path, text_blocks: Iterable[Block]) -> Iterator[Rows]:
  """Parses Netflix's blocks: a line `MOVIE:`, then `user,rating,date` lines.

  Raises:
    DataError: naming the first line that is neither, or that stands before the first movie.
  """
  movie = None
  for block in text_blocks:
    texts, lines = lines_of(path, block)
    heads = texts.str.extract(r"^(\d+):\s*$")
    fields = texts.str.split_exact(",", 2).struct.unnest()
    wrong = (texts.str.count_matches(",") != 2) & heads.is_null()
    if wrong.any():
      lines.refuse(int(wrong.arg_max() or 0), "expected MOVIE: or user,rating,date")
    movies = heads.forward_fill().fill_null("" if movie is None else movie)
    movie = movies[-1]
    is_row = heads.is_null().to_numpy()
    place = np.flatnonzero(is_row)
    frame = pl.DataFrame({
      "user": fields.to_series(0), "item": movies, "rating": fields.to_series(1), "time": fields.to_series(2),
    }).filter(pl.Series(is_row))

    def error(
      row: int, role: str, expected: str, found: object, lines: Lines = lines, place: np.ndarray = place
    ) -> DataError:
      return lines.field_error(int(place[row]), role, expected, found)

    if len(frame):
      yield Rows(frame, error)


def json_keys(path: pathlib.Path, line: str) -> tuple[str, ...]:
  """The keys of the first object.

  Raises:
    DataError: if the line is no JSON object.
  """
  try:
    found = json.loads(line)
  except ValueError:
    found = None
  if not isinstance(found, dict):
    raise DataError(f"{path}:1: expected JSON lines, one object a line, found {line[:60]!r}")
  return tuple(found)


def json_rows(path: pathlib.Path, text_blocks: Iterable[Block], layout: Layout, keep: str | None) -> Iterator[Rows]:
  """Parses JSON lines.

  Args:
    path: file named in errors.
    text_blocks: of the file.
    layout: with the keys of the first object as its header.
    keep: a further key, which is then in `keep`.

  Raises:
    DataError: naming the first line that is no object or lacks a user or item.
  """
  assert layout.header is not None
  keys = {role: layout.header[place] for role, place in layout.places.items()}
  if keep is not None:
    keys["keep"] = keep
  for block in text_blocks:
    texts, lines = lines_of(path, block)
    frame = pl.DataFrame({
      role: texts.str.json_path_match(f"$[{json.dumps(key, ensure_ascii=False)}]") for role, key in keys.items()
    })
    for role in ("user", "item"):
      missing = frame[role].is_null()
      if missing.any():
        row = int(missing.arg_max() or 0)
        lines.refuse(row, f"expected a JSON object with a value for {keys[role]!r}")

    def error(row: int, role: str, expected: str, found: object, lines: Lines = lines) -> DataError:
      return lines.field_error(row, layout.label(role), expected, found)

    yield Rows(frame, error)


def json_layout(path: pathlib.Path, first: str, options: ReadOptions) -> Layout:
  """The keys that play the roles."""
  keys = json_keys(path, first)
  return Layout("jsonl", "", False, keys, roles.places_by_name(keys, options.columns, f"{path}:1"), 0)


def mind_rows(path: pathlib.Path, text_blocks: Iterable[Block], layout: Layout) -> Iterator[Rows]:
  """Parses MIND's `behaviors.tsv`: of every row's impressions those that were clicked, such as `N123-1`.

  Raises:
    DataError: naming the first line with an impression that ends neither in -0 nor in -1.
  """
  for rows in delimited_rows(path, text_blocks, layout):
    # Rows as such hold several items, which are told apart here.
    shown = rows.frame.with_row_index("row").with_columns(pl.col("item").str.strip_chars().str.split(" "))
    single = shown.explode("item")
    wrong = ~single["item"].str.contains(r"^\S+-[01]$").fill_null(False)
    if wrong.any():
      at: dict[str, Any] = single.row(int(wrong.arg_max() or 0), named=True)
      raise rows.error(at["row"], "item", "items that end in -0 or -1, with blanks between", at["item"])
    clicked = single.filter(pl.col("item").str.ends_with("-1")).with_columns(pl.col("item").str.head(-2))
    place = clicked["row"].to_numpy()

    def error(
      row: int, role: str, expected: str, found: object, rows: Rows = rows, place: np.ndarray = place
    ) -> DataError:
      return rows.error(int(place[row]), role, expected, found)

    if len(clicked):
      yield Rows(clicked.drop("row"), error)
