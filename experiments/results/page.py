"""The page of results: what was found of each paper's tables, and how it compares with what they print."""

from __future__ import annotations

import collections
import pathlib
from collections.abc import Mapping

from experiments.recipes import GROUPS, ITEMS, PAPERS, RECIPES, Item
from experiments.results.kept import Kept, read_kept
from experiments.results.matrix_page import NAME as MATRIX
from experiments.results.report import MEAN_NOTE, recipe_table
from experiments.tables import Table, markdown
from experiments.verdicts import OUTCOMES, RULE
from fedrecjax.datasets import DataError

_HEAD = """# Results

Every table and figure of the five papers: what makes it, and how our figures compare with the printed ones. This page
is made from `docs/results` by `python -m experiments.results`; readings and reasons are in
[fidelity.md](fidelity.md) and [fidelity_attacks.md](fidelity_attacks.md).

```sh
python -m experiments.sweep --recipe=NAME                                     # a table, a paper, or all
python -m experiments.results --keep=NAME --out_dir=results/NAME              # its finished cells into docs/results
```
"""


def csv_of(folder: pathlib.Path, recipe: str) -> pathlib.Path:
  """The file of a recipe's kept results."""
  return folder / f"{recipe}.csv"


def page(folder: pathlib.Path) -> str:
  """The page as Markdown.

  Args:
    folder: of the kept results.

  Raises:
    DataError: naming the file, and the line, if kept results are not of the recipes as they are.
  """
  for file in sorted(folder.glob("*.csv")):
    if file.stem not in (*GROUPS["all"], MATRIX):
      raise DataError(f"{file}: neither a recipe of a paper nor the matrix is named {file.stem}")
  kept = {name: read_kept(name, csv_of(folder, name)) for name in GROUPS["all"] if csv_of(folder, name).is_file()}
  tables = {name: _table(name, found) for name, found in kept.items()}
  parts = [_HEAD, f"{RULE}\n", f"{MEAN_NOTE}\n", markdown(_of_papers(tables))]
  parts += [_section(paper, tables) for paper in PAPERS]
  return "\n".join(parts)


def _table(name: str, kept: Kept) -> Table:
  table = recipe_table(RECIPES[name], kept.cells, kept.results, {})
  return Table(
    f"`{name}`: {table.title}", table.header, table.rows, table.num_labels,
    tuple(note for note in table.notes if note not in (MEAN_NOTE, RULE)),
  )


def _outcomes(table: Table) -> collections.Counter[str]:
  """How often each outcome stands in a table's columns of verdicts."""
  columns = [place for place, name in enumerate(table.header) if name.endswith(" verdict")]
  return collections.Counter(
    row[place].partition(":")[0] for row in table.rows for place in columns if row[place] != "-"
  )


def _of_papers(tables: Mapping[str, Table]) -> Table:
  rows = []
  for paper, title in PAPERS.items():
    counts = sum((_outcomes(tables[name]) for name in GROUPS[paper] if name in tables), collections.Counter())
    printed = sum(_num_figures(name) for name in GROUPS[paper])
    counted = (counts[outcome] for outcome in OUTCOMES)
    rows.append((title, str(printed), *map(str, counted), str(printed - counts.total())))
  header = ("paper", "figures printed", *OUTCOMES, "not run yet")
  return Table("How many of the printed figures", header, tuple(rows), 1)


def _num_figures(recipe: str) -> int:
  return sum(len(figure.values) for figure in RECIPES[recipe].figures)


def _section(paper: str, tables: Mapping[str, Table]) -> str:
  items = [item for item in ITEMS if item.paper == paper]
  rows = tuple((item.number, _makes(item), _state(item, tables), item.missing or "-") for item in items)
  overview = Table("What makes it", ("item", "recipe or command", "results", "missing"), rows, 4)
  found = [markdown(tables[name]) for name in GROUPS[paper] if name in tables]
  return "\n\n".join([f"\n## {PAPERS[paper]}", markdown(overview), *found]) + "\n"


def _makes(item: Item) -> str:
  return " ".join(f"`{name}`" for name in (*item.recipes, *filter(None, [item.command]))) or "-"


def _state(item: Item, tables: Mapping[str, Table]) -> str:
  """Of the item's recipes, how many rows are kept of how many."""
  if not item.recipes:
    return "-"
  kept = [name for name in item.recipes if name in tables]
  return f"{len(kept)} of {len(item.recipes)} recipes" if kept else "not run yet"
