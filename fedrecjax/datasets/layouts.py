"""What form a text file has: told by its name, its first lines, and what somebody says of it."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import pathlib
import re
from collections.abc import Sequence
from typing import NamedTuple

from fedrecjax.datasets import roles
from fedrecjax.datasets.errors import DataError
from fedrecjax.datasets.roles import Columns
from fedrecjax.datasets.sources import plain_name

SEPARATORS = {"tab": "\t", "comma": ",", "semicolon": ";", "space": " ", "bar": "|", "colons": "::"}
"""Separators by the words that name them on the command line."""
_SNIFFED = ("\t", "::", ",", ";", "|", " ")

POSITIONAL: dict[str, tuple[str, dict[str, int]]] = {
  "u.data": ("\t", {"user": 0, "item": 1, "rating": 2, "time": 3}),
  "ratings.dat": ("::", {"user": 0, "item": 1, "rating": 2, "time": 3}),
  "rating": ("\t", {"user": 0, "item": 1, "rating": 2, "time": 3}),
  "gowalla": ("\t", {"user": 0, "time": 1, "item": 4}),
  "lastfm-360k": ("\t", {"user": 0, "item": 2, "rating": 3}),
  "mind": ("\t", {"user": 1, "time": 2, "item": 4}),
}
"""Formats without a header: separator, and the places of the columns."""

_UNUSED = {
  "gowalla": {2: "latitude", 3: "longitude"},
  "lastfm-360k": {1: "artist id"},
  "mind": {0: "impression id", 3: "history"},
}
"""What stands in other columns of these formats."""

FORMATS = ("csv", "inter", *POSITIONAL, "lists", "pairs", "netflix", "jsonl", "parquet")
ONLY_INTEGERS = ("u.data", "ratings.dat", "rating", "lists", "pairs", "netflix")
"""Formats whose ids are whole numbers."""

_BY_SUFFIX = {
  ".inter": "inter", ".json": "jsonl", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet",
  ".rating": "rating",
}
_FORMS = {
  "ratings.dat": r"[^:]+::[^:]+::[-+.\d]+(::\d+)?",
  "gowalla": r"[^\t]+\t\d{4}-\d\d-\d\dT[^\t]+\t[-\d.]+\t[-\d.]+\t[^\t]+",
  "lastfm-360k": r"[0-9a-f]{40}\t[-0-9a-f]{0,36}\t[^\t]*\t\d+",
  "mind": r"[^\t]+\t[^\t]+\t[^\t]+\t[^\t]*\t\S+-[01]( \S+-[01])*",
  "u.data": r"\d+\t\d+\t[-+.\d]+\t\d+",
}
_OF_FOUR = (".data", ".base", ".test")


@dataclasses.dataclass(frozen=True)
class ReadOptions:
  """What somebody says of a file, where it does not say so itself.

  Attributes:
    columns: which column plays which role, by name or, where there is no header, by place from 0.
    format: one of `FORMATS`.
    separator: what stands between two fields; a word of `SEPARATORS` or the text itself.
    encoding: of the text, as Python names it.
    quotes: "auto" takes quotes around a field as no part of it; "none" reads them as they stand.
    ids: "auto" reads columns of whole numbers as such, in which another token is a mistake; "names" takes any token as
      a name.
    min_rating: interactions with a lower rating are left out.
    keep_if: COLUMN=VALUE: only rows with this value are kept.
    unpack_ratio: how many times its size a packed file may unpack to, beyond 256 MiB.

  Raises:
    DataError: if a value is none of these.
  """

  columns: Columns = ()
  format: str | None = None
  separator: str | None = None
  encoding: str | None = None
  quotes: str = "auto"
  ids: str = "auto"
  min_rating: float | None = None
  keep_if: str | None = None
  unpack_ratio: int = 200

  def __post_init__(self) -> None:
    for field, known in (("format", (None, *FORMATS)), ("quotes", ("auto", "none")), ("ids", ("auto", "names"))):
      value = getattr(self, field)
      if value not in known:
        raise DataError(
          f"data.{field}: {value!r} is unknown, expected one of {' '.join(filter(None, known))}"
        )
    if self.keep_if is not None and not all(self.keep_if.partition("=")):
      raise DataError(f"data.keep_if must be COLUMN=VALUE, got {self.keep_if!r}")
    if self.unpack_ratio < 1:
      raise DataError(f"data.unpack_ratio must be positive, got {self.unpack_ratio}")
    if self.separator is not None and not self.separator.isascii():
      raise DataError(f"data.separator must be of ASCII characters, got {self.separator!r}")


class Layout(NamedTuple):
  """The form of a file.

  Attributes:
    format: one of `FORMATS`.
    separator: what stands between two fields; empty where none does.
    quoted: whether quotes around a field are no part of it.
    header: names of the columns; None without a header line.
    places: the column of each role, from 0.
    num_fields: of every line; 0 where lines differ.
  """

  format: str
  separator: str = ""
  quoted: bool = False
  header: tuple[str, ...] | None = None
  places: dict[str, int] = {}  # noqa: RUF012
  num_fields: int = 0

  def label(self, role: str) -> str:
    """The column of a role, as errors and records name it.

    >>> Layout("csv", header=("userId",), places={"user": 0}).label("user")
    'userId (user)'
    """
    place = self.places.get(role)
    if place is None:
      return role
    name = self._name(place)
    return name if name == role else f"{name} ({role})"

  def unused(self, keep: str | None = None) -> tuple[str, ...]:
    """The columns that play no role, by name or, without a header, by place.

    Args:
      keep: a column that says which rows are kept.

    >>> Layout("csv", header=("userId", "movieId", "title"), places={"user": 0, "item": 1}).unused()
    ('title',)
    >>> Layout("mind", places={"user": 1, "time": 2, "item": 4}, num_fields=5).unused()
    ('0 (impression id)', '3 (history)')
    """
    count = self.num_fields if self.header is None else len(self.header)
    names = {place: self._name(place) for place in range(count) if place not in self.places.values()}
    known = {} if self.header is not None else _UNUSED.get(self.format, {})
    return tuple(
      f"{name} ({known[place]})" if place in known else name
      for place, name in names.items() if keep not in (name, name.partition(":")[0])
    )

  def _name(self, place: int) -> str:
    return str(place) if self.header is None else self.header[place]


def layout_of(path: pathlib.Path, head: Sequence[str], options: ReadOptions) -> Layout:
  """Tells the form of a text file.

  Args:
    path: the file.
    head: its first lines, at least one.
    options: what is said of it.

  Raises:
    DataError: if the form cannot be told, or is not the one that is named.
  """
  chosen = options.format or _BY_SUFFIX.get(pathlib.PurePath(plain_name(path)).suffix.lower())
  if chosen is None:
    chosen = _recognized(path, head, options)
  if chosen in ("lists", "pairs", "netflix"):
    named = [role for role, column in options.columns if column != roles.NONE]
    if named or options.separator is not None:
      what = f"data.columns={named[0]}=..." if named else f"data.separator={options.separator}"
      raise DataError(f"{path}: {what}: the format {chosen} has no columns; expected it left alone, or"
                      " --data.format=csv")
    return Layout(chosen)
  if chosen in ("jsonl", "parquet"):
    return Layout(chosen)
  if chosen in POSITIONAL:
    return _positional(path, chosen, head, options)
  return _table(path, chosen, head, options)


def _recognized(path: pathlib.Path, head: Sequence[str], options: ReadOptions) -> str:
  """The format that the first lines have."""
  first, suffix = head[0], pathlib.PurePath(plain_name(path)).suffix.lower()
  if first.lstrip().startswith("{"):
    return "jsonl"
  if first.lstrip().startswith("["):
    raise DataError(f"{path}:1: a JSON array, expected JSON lines: one object a line")
  if re.fullmatch(r"\d+:\s*", first):
    return "netflix"
  if any(column != roles.NONE for _, column in options.columns):
    return "csv"
  if any({"user", "item"} <= roles.known_roles(fields) for fields in _ways_to_split(first, options)):
    return "csv"
  for name, form in _FORMS.items():
    if (name != "u.data" or suffix in _OF_FOUR) and all(re.fullmatch(form, line) for line in head[:20]):
      return name
  if suffix == ".data":
    return "u.data"
  if suffix == ".dat" and "::" in first:
    return "ratings.dat"
  if suffix in (".txt", ".dat") and options.separator is None and not any(letter.isalpha() for letter in first):
    return "lists"
  return "csv"


def _ways_to_split(line: str, options: ReadOptions) -> list[list[str]]:
  return [fields_of(line, separator) for separator in _candidates(options)]


def _candidates(options: ReadOptions) -> tuple[str, ...]:
  if options.separator is not None:
    return (SEPARATORS.get(options.separator, options.separator),)
  return _SNIFFED


def fields_of(line: str, separator: str) -> list[str]:
  """The fields of a header, without quotes and blanks around them.

  >>> fields_of('"User-ID";ISBN', ";"), fields_of("1::2", "::")
  (['User-ID', 'ISBN'], ['1', '2'])
  """
  fields = line.split(separator)
  if len(separator) == 1 and line.count('"') % 2 == 0:
    # What the csv module refuses is no header.
    with contextlib.suppress(csv.Error):
      fields = next(csv.reader([line], delimiter=separator), [""])
  return [field.strip().strip('"') for field in fields]


def _positional(path: pathlib.Path, chosen: str, head: Sequence[str], options: ReadOptions) -> Layout:
  separator, places = POSITIONAL[chosen]
  separator = _candidates(options)[0] if options.separator is not None else separator
  num_fields = len(head[0].split(separator))
  least = max(place for role, place in places.items() if role in ("user", "item")) + 1
  expected = max(places.values()) + 1
  if num_fields < least or (chosen == "u.data" and num_fields != expected):
    shown = next((word for word, text in SEPARATORS.items() if text == separator), separator)
    raise DataError(
      f"{path}:1: expected {expected} fields ({shown} between them) of the format {chosen}, found {num_fields}, in line"
      f" {head[0][:60]!r}"
    )
  places = {role: place for role, place in places.items() if place < num_fields}
  if options.columns:
    # Roles that are not named stay where the format has them.
    others = tuple((role, str(place)) for role, place in places.items() if role not in dict(options.columns))
    places = roles.places_by_position(options.columns + others, num_fields, f"{path}:1")
  return Layout(chosen, separator, False, None, places, num_fields)


def _table(path: pathlib.Path, chosen: str, head: Sequence[str], options: ReadOptions) -> Layout:
  """A table with a header, or with columns named by their place."""
  first, where = head[0], f"{path}:1"
  separators = ("\t",) if chosen == "inter" and options.separator is None else _candidates(options)
  named = [column for _, column in options.columns if column != roles.NONE]
  positions = roles.by_position(options.columns)
  best = max(separators, key=lambda separator: _score(fields_of(first, separator), named, positions))
  header = fields_of(first, best)
  if positions:
    if roles.known_roles(header) and not all(re.fullmatch(r"[-+.\d]*", field) for field in header):
      raise DataError(
        f"{where}: the first line looks like a header, {', '.join(header)}; name columns by it: --data.columns="
        "user=NAME+item=NAME"
      )
    places = roles.places_by_position(options.columns, len(header), where)
    return Layout(chosen, best, _is_quoted(best, head, options), None, places, len(header))
  if chosen == "inter":
    _check_inter(where, first, header)
  if not named and not roles.known_roles(header) & {"user", "item"} and _looks_like_data(header):
    raise DataError(
      f"{where}: no header and no format that is known, in line {first[:60]!r}; expected the columns"
      " user,item[,timestamp][,rating][,test][,public], or places of columns, from 0: --data.columns="
      f"user=0+item=1 (--data.format names a format, one of {' '.join(FORMATS)})"
    )
  places = roles.places_by_name(header, options.columns, where)
  return Layout(chosen, best, _is_quoted(best, head, options), tuple(header), places, len(header))


def _score(fields: list[str], named: list[str], positions: bool) -> tuple[int, int]:
  known = len(set(named) & set(fields)) if named and not positions else 0
  return (known + len(roles.known_roles(fields)), len(fields))


def _looks_like_data(fields: Sequence[str]) -> bool:
  return any(re.fullmatch(r"[-+]?\d[-\d.:T ]*Z?", field) for field in fields)


def _check_inter(where: str, line: str, header: list[str]) -> None:
  if not all(":" in field for field in header):
    raise DataError(
      f"{where}: expected a header with user_id:token and item_id:token, tabs between, found {line[:60]!r}"
    )
  listed = next((field for field in header if field.endswith("_seq") and "item" in field), None)
  if listed is not None:
    raise DataError(f"{where}: {listed} holds several items a row, expected a row for each interaction")


def _is_quoted(separator: str, head: Sequence[str], options: ReadOptions) -> bool:
  """Tables with tabs have quotes as part of names, unless their header is in quotes."""
  if options.quotes == "none" or len(separator) > 1:
    return False
  return separator != "\t" or head[0].startswith('"')
