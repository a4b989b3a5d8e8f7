"""Reader of files with one user per line: `user item item ...`, train and test in two files."""

import pathlib

import numpy as np
import numpy.typing as npt
import polars as pl

from fedrecjax.datasets import tables
from fedrecjax.datasets.errors import DataError
from fedrecjax.datasets.interactions import Interactions


def read_user_lists(
  path: pathlib.Path, *, name: str, test_path: pathlib.Path | None = None
) -> Interactions:
  """Reads `user item item ...` lines, ids from 0 with blanks between; no time.

  A line may list no items. Ids are kept, gaps too. Rows come in the order of the file, those of the
  test file after all training rows.

  Args:
    path: the file with training items (or all items), gzipped if its name ends in `.gz`.
    name: name of the set.
    test_path: the file with held-out items; its rows are marked as `test`. None if the source has
      no split.

  Returns:
    The interactions; `test` is None without `test_path`.

  Raises:
    DataError: naming the first line that is not of this form, or that lists a user again.
  """
  parts = [read_part(path)]
  if test_path is not None:
    parts.append(read_part(test_path))
  users = np.concatenate([part[0] for part in parts])
  items = np.concatenate([part[1] for part in parts])
  if len(users) == 0:
    raise DataError(f"{path}: no line lists an item, expected 'user item item ...'")
  test = None
  if test_path is not None:
    test = np.arange(len(users)) >= len(parts[0][0])
  every_user = np.concatenate([part[2] for part in parts])
  return tables.interactions_of(
    path, name=name, users=users, items=items, test=test, every_user=every_user
  )


def companion_test_file(path: pathlib.Path) -> pathlib.Path | None:
  """Finds the test file that belongs to a training file.

  Args:
    path: a file such as `train.txt.gz`.

  Returns:
    The file in the same folder whose name has `test` for `train` (gzipped or not), if it exists;
    else None.
  """
  if not path.name.startswith("train"):
    return None
  plain = "test" + path.name.removeprefix("train").removesuffix(".gz")
  for candidate in (path.with_name(plain), path.with_name(plain + ".gz")):
    if candidate.is_file():
      return candidate
  return None


def read_part(
  path: pathlib.Path,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
  """Users and items of one file, row for row, and the user of every line, who may have no items.

  Raises:
    DataError: naming the first line that is not of this form, or that lists a user again.
  """
  lines = tables.read_lines(path)
  words = (
    lines.to_frame("line")
    .with_row_index("row")
    .with_columns(pl.col("line").str.replace_all(r"\s+", " ").str.strip_chars(" ").str.split(" "))
    .explode("line")
  )
  rows = words["row"].to_numpy()
  numbers = words["line"].cast(pl.Int64, strict=False)
  wrong = ((numbers < 0) | (numbers > tables.LARGEST_ID)).fill_null(True).to_numpy()
  if wrong.any():
    place = int(np.argmax(wrong))
    tables.bad_line(
      path,
      int(rows[place]) + 1,
      lines[int(rows[place])],
      f"expected 'user item item ...' with integers from 0, found {words['line'][place]!r}",
    )
  values = numbers.to_numpy()
  starts = np.r_[True, rows[1:] != rows[:-1]]
  users_of_lines = values[starts]
  _, first_place = np.unique(users_of_lines, return_index=True)
  if len(first_place) < len(users_of_lines):
    repeated = np.ones(len(users_of_lines), np.bool_)
    repeated[first_place] = False
    line = int(np.argmax(repeated))
    user = users_of_lines[line]
    earlier = int(np.argmax(users_of_lines == user)) + 1
    tables.bad_line(
      path, line + 1, lines[line], f"expected a new user, but user {user} is on line {earlier}"
    )
  return users_of_lines[rows][~starts], values[~starts], users_of_lines
