"""The record of a reading: what was understood of data, and what was left out of them."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class LeftOut:
  """What a filter left out.

  Attributes:
    by: `keep_if`, `min_rating`, `core`, `repeats` or `too_few`.
    rows: interactions.
    users: users who are no longer there.
  """

  by: str
  rows: int
  users: int


@dataclasses.dataclass(frozen=True)
class FileReading:
  """What was understood of one file.

  Attributes:
    path: the file.
    part: "train", "test" or "validation" where files are the parts of a split, else "all".
    format: one of :data:`fedrecjax.datasets.FORMATS`.
    encoding: of the text; empty for Parquet.
    separator: between two fields, by its word; empty where there is none.
    columns: the columns that play a role, `user`, `item`, `time`, `rating`, `split` or `public`.
    rows: interactions read.
    unused: the columns that were not read.
  """

  path: str
  part: str
  format: str
  encoding: str
  separator: str
  columns: tuple[tuple[str, str], ...]
  rows: int
  unused: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Reading:
  """What was understood of a data set, from its files to its split.

  Attributes:
    files: each file that was read.
    numbering: how a published set numbers its users and items, which are called by these numbers; empty where they are
      those that occur, by the file's names.
    rows: interactions read.
    left_out: what each filter left out, in the order of filters.
    repeats: rows that repeat an earlier pair of user and item, before any are dropped.
    num_users: users that are left.
    num_items: items that are left.
    users: names of the first users.
    items: names of the first items.
    time_span: the first and last time, or number that orders rows and is no time; None where no time is known.
    split: how rows were held out.
    split_reason: why so.
    held_out: held-out pairs.
    held_out_repeats: rows held out that repeat a held-out pair; a user's held-out items are a set.
    unrankable: held-out pairs that are training pairs too, or set aside for validation; such items are left out of
      rankings, so that these can never be found.
    warnings: what is likely not what was meant, a line each.
  """

  files: tuple[FileReading, ...] = ()
  numbering: str = ""
  rows: int = 0
  left_out: tuple[LeftOut, ...] = ()
  repeats: int = 0
  num_users: int = 0
  num_items: int = 0
  users: tuple[str, ...] = ()
  items: tuple[str, ...] = ()
  time_span: tuple[str, str] | None = None
  split: str = ""
  split_reason: str = ""
  held_out: int = 0
  held_out_repeats: int = 0
  unrankable: int = 0
  warnings: tuple[str, ...] = ()

  def without(self, by: str, rows: int, users: int = 0) -> Reading:
    """The same record after a filter has left out rows and users; of none nothing is said.

    >>> Reading().without("core", 3, 1).without("repeats", 0).left_out
    (LeftOut(by='core', rows=3, users=1),)
    """
    if rows == users == 0:
      return self
    return dataclasses.replace(self, left_out=(*self.left_out, LeftOut(by, rows, users)))

  def warned(self, line: str) -> Reading:
    """The same record with one more warning."""
    return dataclasses.replace(self, warnings=(*self.warnings, line))
