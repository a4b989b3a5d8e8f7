"""The command `python -m experiments.results`: keeps results of recipes beside the docs, makes their pages, draws."""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Mapping, Sequence

from experiments.atomic_files import new_file
from experiments.command_line import DONE, FAILED, FlagGroup, comma_list, command, output, print_line, read_group
from experiments.errors import UsageError
from experiments.grid import expand
from experiments.recipes import GROUPS, RECIPES
from experiments.results.figures import draw_recipe
from experiments.results.kept import finished_in, keep
from experiments.results.matrix_page import NAME as MATRIX
from experiments.results.matrix_page import PICTURE, kept_runs, matrix_page
from experiments.results.matrix_plot import plot_matrix
from experiments.results.page import csv_of, page
from experiments.results.plots import PlotError

_FOLDER = "results"


def _work(argv: Sequence[str]) -> int:
  value = read_group("results", argv, _define_flags)
  if value("draw"):
    if value("keep") or value("check"):
      raise UsageError("--draw leaves the docs alone; leave --keep and --check out")
    return _draw(comma_list("draw", value("draw")), value("out_dir"))
  docs = pathlib.Path(value("docs"))
  if not docs.is_dir():
    raise UsageError(f"--docs: {docs} is no folder")
  folder = docs / _FOLDER
  if value("check"):
    if value("keep"):
      raise UsageError("--check changes nothing; leave --keep out")
    return _check(_pages(docs))
  names = comma_list("keep", value("keep")) if value("keep") else ()
  for name in names:
    if name not in (*GROUPS["all"], MATRIX):
      raise UsageError(f"--keep must be a comma list of {', '.join((*GROUPS['all'], MATRIX))}, got {name!r}")
    out_dir = pathlib.Path(value("out_dir") or f"results/{name}")
    count = keep(name, out_dir, csv_of(folder, name))
    print_line(output(), f"{csv_of(folder, name)}: {count} cells of {out_dir}")
  for file, text in _pages(docs).items():
    with new_file(file) as temporary:
      temporary.write_text(text, encoding="utf-8")
    print_line(output(), f"Page: {file}")
  return _draw_matrix(docs) if MATRIX in names else DONE


def _pages(docs: pathlib.Path) -> Mapping[pathlib.Path, str]:
  """What the pages are to hold."""
  folder = docs / _FOLDER
  return {docs / "results.md": page(folder), docs / "matrix.md": matrix_page(csv_of(folder, MATRIX))}


def _check(pages: Mapping[pathlib.Path, str]) -> int:
  stale = [file for file, text in pages.items() if not file.is_file() or file.read_text(encoding="utf-8") != text]
  for file in stale:
    print(f"results: {file} is not what docs/results make; python -m experiments.results writes it", file=sys.stderr)
  return FAILED if stale else DONE


def _draw_matrix(docs: pathlib.Path) -> int:
  """Draws what is kept of the matrix beside its page."""
  file = docs / PICTURE
  file.parent.mkdir(parents=True, exist_ok=True)
  try:
    plot_matrix(kept_runs(csv_of(docs / _FOLDER, MATRIX)), file)
  except PlotError as error:
    print(f"results: {error}", file=sys.stderr)
    return FAILED
  print_line(output(), f"Picture: {file}")
  return DONE


def _draw(names: Sequence[str], out_dir: str | None) -> int:
  """Draws the figures of recipes from folders of finished cells."""
  drawable = [name for name, recipe in RECIPES.items() if recipe.drawings]
  for name in names:
    if name not in drawable:
      raise UsageError(f"--draw must be a comma list of {', '.join(drawable)}, got {name!r}")
    folder = pathlib.Path(out_dir or f"results/{name}")
    planned = expand(RECIPES[name].settings, {})
    found = {cell.hash: folder_name for cell, folder_name in finished_in(folder, planned)}
    cells = [cell._replace(hash=found.get(cell.hash, cell.hash)) for cell in planned]
    finished = [after for before, after in zip(planned, cells, strict=True) if before.hash in found]
    if not finished:
      raise UsageError(f"--draw={name}: none of its {len(planned)} cells is finished in {folder}")
    try:
      for file in draw_recipe(RECIPES[name], cells, finished, folder):
        print_line(output(), f"Figure: {file}, of {len(finished)} of {len(planned)} cells")
    except PlotError as error:
      print(f"results: {error}", file=sys.stderr)
      return FAILED
  return DONE


def _define_flags(group: FlagGroup) -> None:
  group.text("keep", "", "comma list of recipes whose finished cells in --out_dir are written into docs/results.")
  group.text("draw", "", "comma list of recipes whose figures are drawn into OUT/figures, from the cells that are"
             " finished in --out_dir with the recipe's own settings.")
  group.text("out_dir", None, "folder of the sweep that --keep and --draw read; default results/RECIPE.")
  group.text("docs", "docs", "folder of the pages and of the kept results.")
  group.switch("check", False, "write nothing; fail if a page is not what the kept results make.")


main = command("results", _work)
