"""The end of a sweep: result files, tables, the picture, and what failed."""

from __future__ import annotations

import functools
import sys
from collections.abc import Mapping, Sequence

import polars as pl
from rich.console import Console

from experiments.command_line import print_line
from experiments.grid import Cell, cell_name, varying_fields
from experiments.recipes import RECIPES
from experiments.results.attack_costs import compare_with_unattacked
from experiments.results.cell_files import gather_results, rebuild_results, versions_of, warnings_of
from experiments.results.courses import courses_of, plot_courses
from experiments.results.figures import draw_recipe
from experiments.results.paths import failure_file, is_finished, reason_in
from experiments.results.plots import PlotError, plot_utility_exposure
from experiments.results.report import recipe_table, summarise
from experiments.results.round_tables import detection_table, stealth_table
from experiments.results.uploaded_images import draw_images
from experiments.sweep.cell_checkpoints import checkpoints_dir
from experiments.sweep.flags import Options
from experiments.sweep.progress import duration
from experiments.sweep.recipe_cells import cells_of_recipe
from experiments.sweep.scale import QUICK_NOTE
from experiments.tables import Table, print_and_write
from fedrecjax.simulation.checkpoint_files import checkpoints_in


def conclude(options: Options, cells: Sequence[Cell], failures: Mapping[str, str], console: Console) -> int:
  """Gathers what is finished, reports on it, and names what is not.

  Args:
    options: of the command line.
    cells: of this shard.
    failures: why cells failed in this process, by their hash.
    console: for tables.

  Returns:
    Number of things that failed: cells, of which one computed anew counts even where its former result is kept, and
    result files that cannot be written.
  """
  try:
    results = rebuild_results(options.out_dir)
    unwritten = 0
  except OSError as error:
    print(f"sweep: results.parquet and results.csv are not written: {error}", file=sys.stderr)
    results = gather_results(options.out_dir)
    unwritten = 1
  finished = [cell for cell in cells if is_finished(options.out_dir, cell)]
  if finished:
    tables = tables_of(options, finished, results)
    figures = functools.partial(_draw_figures, cells)
    for show in (functools.partial(_show_tables, tables), _draw_curves, figures, _draw_images):
      try:
        show(options, finished, console)
      except (PlotError, OSError) as error:
        print(f"sweep: {error}", file=sys.stderr)
    _warn_of_versions(options, finished)
    _warn_of_what_never_happened(options, cells, finished)
    _write_report(options, console)
    print_line(console, times_line(results, finished))
  print_line(console, f"Results: {options.out_dir / 'results.csv'} ({results.height} cells)")
  return _name_failed(options, cells, finished, failures) + unwritten


def times_line(results: pl.DataFrame, cells: Sequence[Cell]) -> str:
  """How long the cells of a sweep have trained, and been compiled, in the processes that computed them.

  Args:
    results: one row per cell of the folder.
    cells: of the sweep.
  """
  own = results.filter(pl.col("config_hash").is_in([cell.hash for cell in cells]))
  trained, compiled = (duration(float(own[name].sum())) for name in ("wall_s", "compile_s"))
  return f"Time: {trained} of training and {compiled} of compilation in {own.height} cells"


def _show_tables(tables: Sequence[Table], options: Options, finished: Sequence[Cell], console: Console) -> None:
  del finished
  print_and_write(tables, options.out_dir / "table.md", console)


def _draw_curves(options: Options, finished: Sequence[Cell], console: Console) -> None:
  """Utility and exposure, and what else a recipe shows; of several recipes each has pictures of its own."""
  several = len(options.recipes) > 1
  for name in options.recipes or (None,):
    cells = _those_of(name, options, finished) if name is not None and several else finished
    if not cells:
      continue
    ending = f"_{name}.png" if several else ".png"
    wanted = {} if name is None else {"wanted": RECIPES[name].metrics}
    plot_utility_exposure(cells, options.out_dir, options.out_dir / f"utility_exposure{ending}", **wanted)
    print_line(console, f"Picture: {options.out_dir / f'utility_exposure{ending}'}")
    courses = () if name is None else courses_of(RECIPES[name].metrics)
    if courses:
      plot_courses(cells, options.out_dir, options.out_dir / f"courses{ending}", courses)
      print_line(console, f"Picture: {options.out_dir / f'courses{ending}'}")


def _write_report(options: Options, console: Console) -> None:
  """The page of all that is finished in the folder, whichever command has run it; no error in it fails a sweep."""
  try:
    from experiments.report.command import write_page

    print_line(console, f"Report: {write_page(options.out_dir)}")
  except Exception as error:
    lines = str(error).splitlines() or ["no message"]
    print(f"sweep: report.html is not written: {type(error).__name__}: {lines[0]}", file=sys.stderr)


def _draw_figures(cells: Sequence[Cell], options: Options, finished: Sequence[Cell], console: Console) -> None:
  """The figures of the recipes, as their papers arrange them."""
  for name in options.recipes:
    if RECIPES[name].drawings:
      of_recipe = _those_of(name, options, cells)
      for file in draw_recipe(RECIPES[name], of_recipe, _those_of(name, options, finished), options.out_dir):
        print_line(console, f"Figure: {file}")


def _those_of(name: str, options: Options, cells: Sequence[Cell]) -> list[Cell]:
  """The cells of one of the recipes."""
  own = {cell.without_data for cell in cells_of_recipe(name, options)}
  return [cell for cell in cells if cell.without_data in own]


def _draw_images(options: Options, finished: Sequence[Cell], console: Console) -> None:
  file = options.out_dir / "uploaded_images.png"
  left_out = draw_images(finished, options.out_dir, file)
  if left_out is not None:
    note = f", without {left_out} further configurations" if left_out else ""
    print_line(console, f"Images: {file}{note}")


def tables_of(options: Options, finished: Sequence[Cell], results: pl.DataFrame) -> list[Table]:
  """A table per recipe, or one of the grid; the comparison with runs without attack; what every round tells."""
  tables = []
  for name in options.recipes:
    cells = _those_of(name, options, finished)
    if cells:
      notes = [QUICK_NOTE] if options.scale == "quick" else []
      tables.append(recipe_table(RECIPES[name], cells, results, options.settings, notes))
  if not options.recipes:
    tables.append(summarise(finished, results, title="Sweep"))
  further = tuple(
    table(finished, options.out_dir) for table in (compare_with_unattacked, detection_table, stealth_table)
  )
  return [*tables, *(table for table in further if table is not None)]


def interrupted(options: Options, cells: Sequence[Cell]) -> None:
  """Says what is kept of a sweep that was stopped."""
  rebuild_results(options.out_dir)
  finished = sum(is_finished(options.out_dir, cell) for cell in cells)
  begun = sum(bool(checkpoints_in(checkpoints_dir(options.out_dir, cell))) for cell in cells)
  elsewhere = "" if options.launcher == "local" else "; jobs that were started go on"
  print(
    f"sweep: stopped with {finished} of {len(cells)} cells finished{f' and {begun} begun' if begun else ''} in"
    f" {options.out_dir}; the same command goes on from there{elsewhere}",
    file=sys.stderr,
  )


def _warn_of_versions(options: Options, finished: Sequence[Cell]) -> None:
  versions = versions_of(options.out_dir, list(finished))
  if len(versions) > 1:
    print(
      f"sweep: these cells were computed by different versions of fedrecjax: {', '.join(sorted(versions))};"
      " --resume=false computes them anew",
      file=sys.stderr,
    )


def _warn_of_what_never_happened(options: Options, cells: Sequence[Cell], finished: Sequence[Cell]) -> None:
  varying = varying_fields(cells)
  for line, concerned in warnings_of(options.out_dir, list(finished)).items():
    more = f" and {len(concerned) - 1} more cells" if len(concerned) > 1 else ""
    print(f"sweep: warning: {line} (in {cell_name(concerned[0], varying)}{more})", file=sys.stderr)


def _name_failed(options: Options, cells: Sequence[Cell], finished: Sequence[Cell], failures: Mapping[str, str]) -> int:
  done = {cell.hash for cell in finished} - set(failures)
  failed = [cell for cell in cells if cell.hash not in done]
  varying = varying_fields(cells)
  for cell in failed:
    file = failure_file(options.out_dir, cell)
    reason = failures.get(cell.hash)
    if reason is None:
      reason = reason_in(file)
    print(f"sweep: failed: {cell_name(cell, varying)}: {reason}", file=sys.stderr)
  if failed:
    written = any(failure_file(options.out_dir, cell).is_file() for cell in failed)
    more = f"; see {options.out_dir / 'failures'}" if written else ""
    print(f"sweep: {len(failed)} of {len(cells)} cells failed{more}", file=sys.stderr)
  return len(failed)
