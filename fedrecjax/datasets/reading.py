"""The record of a reading: what was understood of data, and what was left out of them."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class FileReading:
  """What was understood of one file.

  Attributes:
    path: the file.
    part: "train", "test" or "validation" where files are the parts of a split, else "all".
    format: one of :data:`fedrecjax.datasets.FORMATS`.
    encoding: of the text; empty for Parquet.
    separator: between two fields, by its word; empty where there is none.
    columns: the columns that play a role, `user`, `item`, `time`, `rating` or `split`.
    rows: interactions read.
  """

  path: str
  part: str
  format: str
  encoding: str
  separator: str
  columns: tuple[tuple[str, str], ...]
  rows: int


@dataclasses.dataclass(frozen=True)
class Reading:
  """What was understood of a data set, from its files to its split.

  Attributes:
    files: each file that was read.
    rows: interactions read.
    left_out: rows that each filter left out, and its name: `keep_if`, `min_rating`, `core`, `repeats`, `users`.
    repeats: rows that repeat an earlier pair of user and item, before any are dropped.
    num_users: users that are left.
    num_items: items that are left.
    users: names of the first users.
    items: names of the first items.
    time_span: the first and last time; None where no time is known.
    split: how rows were held out.
    split_reason: why so.
    held_out: held-out pairs.
    held_out_repeats: rows held out that repeat a held-out pair; a user's held-out items are a set.
    unrankable: held-out pairs that are training pairs too; training items are left out of rankings, so that these
      can never be found.
    users_left_out: users that were removed.
    users_left_out_reason: why; empty if none were.
    warnings: what is likely not what was meant, a line each.
  """

  files: tuple[FileReading, ...] = ()
  rows: int = 0
  left_out: tuple[tuple[str, int], ...] = ()
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
  users_left_out: int = 0
  users_left_out_reason: str = ""
  warnings: tuple[str, ...] = ()

  def without(self, name: str, rows: int) -> Reading:
    """The same record after a filter has left out rows; of no rows nothing is said.

    >>> Reading().without("core", 3).left_out
    (('core', 3),)
    """
    return dataclasses.replace(self, left_out=(*self.left_out, (name, rows))) if rows else self

  def warned(self, line: str) -> Reading:
    """The same record with one more warning."""
    return dataclasses.replace(self, warnings=(*self.warnings, line))
