"""Tables of text: on the console and as Markdown."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from experiments.atomic_files import new_file


@dataclasses.dataclass(frozen=True)
class Table:
  """A table.

  Attributes:
    title: one line.
    header: names of the columns.
    rows: text, one per column.
    num_labels: columns at the left that are labels; the others are numbers.
    notes: lines below the table.
  """

  title: str
  header: tuple[str, ...]
  rows: tuple[tuple[str, ...], ...]
  num_labels: int
  notes: tuple[str, ...] = ()


def print_table(table: Table, console: Console) -> None:
  """Prints a table in full width; on a narrow terminal text is folded, never cut."""
  console.print(table.title, style="bold", markup=False, highlight=False, soft_wrap=True)
  made = RichTable(box=box.SIMPLE_HEAD)
  columns = list(zip(table.header, *table.rows, strict=True))
  too_wide = sum(max(map(len, column)) + 3 for column in columns) + 1 > console.width
  for number, column in enumerate(columns):
    label = number < table.num_labels
    word = max(len(word) for text in column for word in text.split())
    made.add_column(
      Text(column[0]),
      justify="left" if label else "right",
      overflow="fold",
      # Left to itself rich folds the widest columns, which are the labels, in the middle of a word.
      max_width=word if too_wide and not label else None,
    )
  for row in table.rows:
    made.add_row(*map(Text, row))
  console.print(made)
  for note in table.notes:
    console.print(note, markup=False, highlight=False, soft_wrap=True)


def markdown(table: Table) -> str:
  """The table as Markdown.

  >>> print(markdown(Table("Hits", ("attack", "hr@10"), (("none", "0.5"),), 1)))
  **Hits**
  <BLANKLINE>
  | attack | hr@10 |
  | :-- | --: |
  | none | 0.5 |
  """
  alignment = [":--" if number < table.num_labels else "--:" for number in range(len(table.header))]
  lines = [f"**{table.title}**", ""]
  lines += [
    "| " + " | ".join(_in_cell(text) for text in row) + " |"
    for row in (table.header, tuple(alignment), *table.rows)
  ]
  if table.notes:
    lines += ["", *(f"- {note}" for note in table.notes)]
  return "\n".join(lines)


def _in_cell(text: str) -> str:
  """Text as it can stand in a cell: names of files may hold anything."""
  return " ".join(text.replace("|", "\\|").splitlines())


def print_and_write(tables: Sequence[Table], file: pathlib.Path, console: Console) -> None:
  """Prints tables one below the other, then writes them as Markdown: a file that cannot be written hides none.

  Raises:
    OSError: if the file cannot be written.
  """
  for table in tables:
    print_table(table, console)
  with new_file(file) as temporary:
    temporary.write_text("\n\n".join(markdown(table) for table in tables) + "\n", encoding="utf-8")
