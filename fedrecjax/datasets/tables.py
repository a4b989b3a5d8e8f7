"""Text tables read fast, with the number and text of the first line that is wrong."""

import gzip
import pathlib
import zlib
from typing import NoReturn

import numpy as np
import numpy.typing as npt
import polars as pl

from fedrecjax.datasets.errors import DataError
from fedrecjax.datasets.interactions import Interactions

LARGEST_ID = 2**31 - 2
_SHOWN = 60


def read_bytes(path: pathlib.Path) -> bytes:
  """Reads a file, gunzipped where its name ends in `.gz`.

  Args:
    path: the file.

  Returns:
    Its content.

  Raises:
    DataError: if the file is missing, unreadable or not gzip as its name says.
  """
  try:
    content = path.read_bytes()
  except FileNotFoundError:
    raise DataError(f"{path}: no such file") from None
  except OSError as error:
    raise DataError(f"{path}: cannot be read: {error.strerror}") from None
  if path.suffix != ".gz":
    return content
  try:
    return gzip.decompress(content)
  except (OSError, EOFError, zlib.error) as error:
    raise DataError(f"{path}: expected a whole gzip file: {error}") from None


def read_lines(path: pathlib.Path) -> pl.Series:
  """Reads the lines of a text file.

  Args:
    path: the file, UTF-8, lines ended by LF or CRLF.

  Returns:
    Strings without line ends; empty lines at the end of the file are left out.

  Raises:
    DataError: if the file cannot be read, is not UTF-8, or has no lines.
  """
  content = read_bytes(path)
  try:
    text = content.decode("utf-8-sig")
  except UnicodeDecodeError as error:
    number = content.count(b"\n", 0, error.start) + 1
    raise DataError(f"{path}:{number}: expected UTF-8 text, found another encoding") from None
  text = text.replace("\r\n", "\n").rstrip("\n")
  if not text:
    raise DataError(f"{path}: empty file, expected one interaction a line")
  return pl.Series("line", text.split("\n"), dtype=pl.String)


def below_header(lines: pl.Series, path: pathlib.Path) -> pl.Series:
  """The lines below the first one, which is a header.

  Raises:
    DataError: if there are none.
  """
  if len(lines) == 1:
    raise DataError(f"{path}: a header only, expected at least one interaction after it")
  return lines[1:]


def split_fields(
  lines: pl.Series, *, separator: str, num_fields: int, path: pathlib.Path, first_line: int = 1
) -> pl.DataFrame:
  """Splits every line in the same number of fields.

  Args:
    lines: strings `[n]`.
    separator: what stands between two fields, taken literally.
    num_fields: fields that every line must have.
    path: file named in errors.
    first_line: number of the first of `lines` in that file.

  Returns:
    String columns `field_0`, `field_1`, ... `[n]`.

  Raises:
    DataError: naming the first line with another number of fields.
  """
  frame = lines.to_frame("line")
  counts = frame.select(pl.col("line").str.count_matches(separator, literal=True) + 1).to_series()
  wrong = (counts != num_fields).to_numpy()
  if wrong.any():
    row = int(np.argmax(wrong))
    shown = {"\t": "tab", ",": "comma"}.get(separator, separator)
    bad_line(
      path, row + first_line, lines[row], f"expected {num_fields} fields ({shown} between them)"
    )
  if num_fields == 1:
    return frame.rename({"line": "field_0"})
  return frame.select(pl.col("line").str.split_exact(separator, num_fields - 1).struct.unnest())


def refuse_empty(
  column: pl.Series, *, what: str, path: pathlib.Path, lines: pl.Series, first_line: int
) -> None:
  """Refuses a column with an empty field; arguments as :func:`integers`.

  Raises:
    DataError: naming the first line where that field is empty.
  """
  empty = (column == "").to_numpy()
  if empty.any():
    row = int(np.argmax(empty))
    bad_line(path, row + first_line, lines[row], f"expected {what} not to be empty")


def integers(
  column: pl.Series,
  *,
  what: str,
  path: pathlib.Path,
  lines: pl.Series,
  first_line: int = 1,
  least: int = 0,
  most: int = LARGEST_ID,
) -> npt.NDArray[np.int64]:
  """Turns strings into integers between `least` and `most`.

  Args:
    column: strings `[n]`.
    what: what the numbers are, for errors.
    path: file named in errors.
    lines: whole lines `[n]`, shown in errors.
    first_line: number of the first line in that file.
    least: smallest value allowed.
    most: largest value allowed.

  Returns:
    int64 `[n]`.

  Raises:
    DataError: naming the first line where that fails.
  """
  numbers = column.cast(pl.Int64, strict=False)
  wrong = ((numbers < least) | (numbers > most)).fill_null(True).to_numpy()
  if wrong.any():
    row = int(np.argmax(wrong))
    wanted = f"an integer of at least {least}"
    if most == LARGEST_ID and numbers[row] is not None and numbers[row] > most:
      wanted = f"an integer of at most {most}"
    elif most == 1:
      wanted = "0 or 1"
    bad_line(path, row + first_line, lines[row], f"expected {what} {column[row]!r} to be {wanted}")
  return numbers.to_numpy()


def renumbered(tokens: pl.Series) -> npt.NDArray[np.int64]:
  """Numbers tokens from 0 in order of first appearance.

  >>> renumbered(pl.Series(["b", "a", "b", "c"])).tolist()
  [0, 1, 0, 2]
  """
  frame = tokens.to_frame("token")
  known = frame.unique(maintain_order=True).with_row_index("id")
  joined = frame.join(known, on="token", how="left", maintain_order="left")
  return joined.get_column("id").cast(pl.Int64).to_numpy()


def interactions_of(
  path: pathlib.Path,
  *,
  name: str,
  users: npt.NDArray[np.int64],
  items: npt.NDArray[np.int64],
  time: npt.NDArray[np.int64] | None = None,
  test: npt.NDArray[np.bool_] | None = None,
  public: npt.NDArray[np.bool_] | None = None,
  every_user: npt.NDArray[np.int64] | None = None,
) -> Interactions:
  """The interactions that a file holds, with the users and items that its ids stand for.

  Args:
    path: file named in errors.
    name: name of the set.
    users: ids from 0 `[n]`.
    items: ids from 0 `[n]`.
    time: orders a user's interactions `[n]`, if known.
    test: which interactions the source holds out `[n]`, if it has a split.
    public: which ones everybody can see `[n]`, if it says so.
    every_user: users in the file, those without an interaction too; by default `users`.

  Returns:
    The interactions, in the order given.

  Raises:
    DataError: if ids are not numbered from 0.
  """
  return Interactions(
    name=name,
    users=users,
    items=items,
    time=time,
    num_users=count_ids(users if every_user is None else every_user, what="user", path=path),
    num_items=count_ids(items, what="item", path=path),
    test=test,
    public=public,
  )


def count_ids(ids: npt.NDArray[np.int64], *, what: str, path: pathlib.Path) -> int:
  """Counts the ids from 0 to the largest one, gaps included.

  Args:
    ids: ids from 0, `[n]`, not empty.
    what: "user" or "item", for errors.
    path: file named in errors.

  Returns:
    The largest id + 1.

  Raises:
    DataError: if nearly all of those ids never occur: then they are keys of some other system, and
      arrays as long as the largest key would not fit in memory.
  """
  count = int(ids.max()) + 1
  different = len(np.unique(ids))
  if count > 1000 + 100 * different:
    raise DataError(
      f"{path}: largest {what} id is {count - 1}, but only {different} different ones occur; "
      "expected ids numbered from 0"
    )
  return count


def time_column(
  column: pl.Series, *, path: pathlib.Path, lines: pl.Series, first_line: int
) -> npt.NDArray[np.int64] | None:
  """Reads times: integers, or decimal numbers, replaced by their ranks unless all are whole.

  Args:
    column: strings `[n]`; all empty where no time is known.
    path: file named in errors.
    lines: whole lines `[n]`, shown in errors.
    first_line: number of the first line in that file.

  Returns:
    int64 `[n]`, or None if every field is empty.

  Raises:
    DataError: naming the first line whose time is no number, or is missing while other lines have
      one.
  """
  empty = (column == "").to_numpy()
  if empty.all():
    return None
  if empty.any():
    row = int(np.argmax(empty))
    bad_line(path, row + first_line, lines[row], "expected a timestamp, as other lines have one")
  whole = column.cast(pl.Int64, strict=False)
  if whole.null_count() == 0:
    return whole.to_numpy()
  numbers = column.cast(pl.Float64, strict=False)
  wrong = ~numbers.is_finite().fill_null(False).to_numpy()
  if wrong.any():
    row = int(np.argmax(wrong))
    bad_line(
      path, row + first_line, lines[row], f"expected timestamp {column[row]!r} to be a number"
    )
  return ordered_integers(numbers.to_numpy())


def ordered_integers(numbers: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
  """Integers in the order of `numbers`: themselves where all are whole, else their ranks.

  >>> ordered_integers(np.array([2.5, 1.0, 2.5])).tolist()
  [1, 0, 1]
  """
  if np.all(numbers == np.floor(numbers)) and np.all(np.abs(numbers) < 2**53):
    return numbers.astype(np.int64)
  ranks: npt.NDArray[np.int64] = np.unique(numbers, return_inverse=True)[1].astype(np.int64)
  return ranks


def bad_line(path: pathlib.Path, number: int, text: str, expected: str) -> NoReturn:
  """Raises the error for one line of a file.

  Raises:
    DataError: always, naming file, line number, what was expected and the line's text.
  """
  shown = text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."
  raise DataError(f"{path}:{number}: {expected}, in line {shown!r}")
