"""What a report says, before it is a page or a file for a paper."""

from __future__ import annotations

import datetime
import importlib.metadata
import pathlib
import platform
import tempfile
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import polars as pl

from experiments.grid import Cell, cell_name, label, varying_fields
from experiments.recipes import RECIPES
from experiments.report.charts import Chart, charts_of
from experiments.report.findings import counted, diverged_line, settings_rows, stands_out, what_ran
from experiments.report.folders import Gathered
from experiments.report.heat_maps import HeatMap, heat_map
from experiments.report.measured import measured, metrics_of
from experiments.report.rerun import defaults_of, rerun_command
from experiments.results.attack_costs import compare_with_unattacked
from experiments.results.cell_files import versions_of, warnings_of
from experiments.results.courses import courses_of
from experiments.results.plots import PlotError
from experiments.results.report import has_targets, label_fields, recipe_table, shown_metrics, summarise
from experiments.results.round_tables import detection_table, stealth_table
from experiments.results.uploaded_images import draw_images
from experiments.tables import Table
from fedrecjax.version import __version__

EXPOSURE, UTILITY = "exposure of the targets", "utility for benign users"
_MOST_NAMED = 10
_LIBRARIES = ("jax", "numpy", "polars")


class Run(NamedTuple):
  """A finished cell in the list of all.

  Attributes:
    labels: its fields that vary, then the seed.
    metrics: its last figures; "-" where there is none.
    command: that runs it again.
  """

  labels: tuple[str, ...]
  metrics: tuple[str, ...]
  command: str


class Runs(NamedTuple):
  """All finished cells.

  Attributes:
    labels: names of their fields.
    metrics: names of their figures.
    rows: one per cell.
  """

  labels: tuple[str, ...]
  metrics: tuple[str, ...]
  rows: tuple[Run, ...]


class Part(NamedTuple):
  """A part of a report under one title.

  Attributes:
    anchor: its name in addresses.
    title: one line.
    lines: sentences, names between backticks.
    heat_maps: grids.
    charts: curves.
    tables: tables.
    picture: a PNG; empty where there is none.
    runs: the list of all cells.
  """

  anchor: str
  title: str
  lines: tuple[str, ...] = ()
  heat_maps: tuple[HeatMap, ...] = ()
  charts: tuple[Chart, ...] = ()
  tables: tuple[Table, ...] = ()
  picture: bytes = b""
  runs: Runs | None = None


class Report(NamedTuple):
  """All that a report says.

  Attributes:
    title: one line.
    origin: folders and time.
    facts: (number, what of) in large letters.
    summary: sentences.
    warnings: lines.
    parts: in order; those without content are left out.
  """

  title: str
  origin: str
  facts: tuple[tuple[str, str], ...]
  summary: tuple[str, ...]
  warnings: tuple[str, ...]
  parts: tuple[Part, ...]


class Block(NamedTuple):
  """Cells that belong into one table: those of a recipe, or what is of none.

  Attributes:
    name: of the recipe; empty for none.
    cells: finished ones.
    table: of them.
    metrics: that the recipe shows.
  """

  name: str
  cells: list[Cell]
  table: Table
  metrics: tuple[str, ...]


def blocks_of(found: Gathered) -> list[Block]:
  """The recipes that sweeps into the folders ran, and the cells that are of none of them."""
  blocks: list[Block] = []
  taken: set[str] = set()
  for name, asked in found.asked.recipes.items():
    own = set(asked.cells)
    cells = [cell for cell in found.cells if cell.without_data in own]
    if name in RECIPES and cells:
      taken.update(cell.hash for cell in cells)
      table = recipe_table(RECIPES[name], cells, found.results, asked.settings, asked.notes)
      blocks.append(Block(name, cells, table, RECIPES[name].metrics))
  rest = [cell for cell in found.cells if cell.hash not in taken]
  if rest:
    title = "Runs of no recipe" if blocks else "Results"
    blocks.append(Block("", rest, summarise(rest, found.results, title=title), ()))
  return blocks


def heat_maps_of(block: Block, results: pl.DataFrame) -> tuple[HeatMap, ...]:
  """The grids of attacks and defenses of a table, where it has any.

  Args:
    block: with the table.
    results: one row per cell.
  """
  exposure, utility = metrics_of(results, block.metrics)
  groups = measured(block.cells, results, (exposure, utility))
  maps = [
    heat_map(groups, exposure, f"{EXPOSURE}: low is good for users", "exposure") if has_targets(block.cells) else None,
    heat_map(groups, utility, f"{UTILITY}: high is good for users", "utility"),
  ]
  return tuple(one for one in maps if one is not None)


def report_of(found: Gathered) -> Report:
  """The report on the cells of one folder or several."""
  blocks = blocks_of(found)
  facts, warnings = _facts(found), _warnings(found)
  summary: list[str] = []
  parts: list[Part] = []
  for block in blocks:
    exposure, utility = metrics_of(found.results, block.metrics)
    groups = measured(block.cells, found.results, (exposure, utility))
    exposes = has_targets(block.cells)
    of_block = f"`{block.name}`: " if len(blocks) > 1 and block.name else ""
    summary.append(of_block + what_ran(block.cells, len(groups)))
    summary += [of_block + line for line in (*_verdicts(block.table), *stands_out(groups, exposure, utility))]
    warnings += [of_block + line for line in diverged_line(groups)]
    meanings = {exposure: EXPOSURE} if exposes else {}
    meanings |= {utility: UTILITY} | dict.fromkeys(courses_of(block.metrics), "as rounds tell it")
    charts = charts_of(block.cells, found.folder, meanings)
    name, of = (f"-{block.name}", f": {block.name}") if len(blocks) > 1 and block.name else ("", "")
    parts += [
      Part(f"results{name}", f"Results{of}", tables=(block.table,)),
      Part(f"grid{name}", f"Attacks against defenses{of}", heat_maps=heat_maps_of(block, found.results)),
      Part(f"curves{name}", f"Curves{of}", charts=tuple(charts)),
    ]
  parts += [
    *_tables_of_all(found),
    _images(found),
    Part("runs", "Every run", ("The command beside each computes it again, into a folder of its own.",),
         runs=_runs(found)),
    Part("settings", "Settings and versions", _versions(found), tables=(_settings(found.cells),)),
  ]
  return Report(
    _title(found), _origin(found), facts, tuple(summary), tuple(warnings),
    tuple(part for part in parts if any(part[2:])),
  )


def _title(found: Gathered) -> str:
  names = [name for name in found.asked.recipes if name in RECIPES]
  if len(names) == 1:
    title = RECIPES[names[0]].title
    return title[:1].upper() + title[1:]
  return " + ".join(place.resolve().name for place in found.places)


def _origin(found: Gathered) -> str:
  now = datetime.datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z")
  return f"{', '.join(map(str, found.places))}; written {now} by fedrecjax {__version__}"


def _facts(found: Gathered) -> tuple[tuple[str, str], ...]:
  minutes = sum(row.get("wall_s") or 0.0 for row in found.results.iter_rows(named=True)) / 60
  trained = f"{minutes:.1f} min" if minutes < 90 else f"{minutes / 60:.1f} h"
  of = f" of {len(found.cells) + len(found.missing)}" if found.missing else ""
  facts = [(f"{len(found.cells)}{of}", "runs finished"), (trained, "of training")]
  if found.failures:
    facts.append((str(len(found.failures)), "failed"))
  return tuple(facts)


def _warnings(found: Gathered) -> list[str]:
  lines = [f"Failed: {name}: {reason}" for name, reason in found.failures[:_MOST_NAMED]]
  if len(found.failures) > _MOST_NAMED:
    lines.append(f"{len(found.failures) - _MOST_NAMED} more runs failed.")
  failed = {name for name, _ in found.failures}
  unrun = [name for name in found.missing if name not in failed]
  if unrun:
    lines.append(f"{counted(len(unrun), 'run')} that {'was' if len(unrun) == 1 else 'were'} asked for"
                 f" {'is' if len(unrun) == 1 else 'are'} not finished, the first: {unrun[0]}. The same command goes on"
                 " from here.")
  versions = versions_of(found.folder, found.cells)
  if len(versions) > 1:
    lines.append(f"These runs were computed by different versions of fedrecjax: {', '.join(sorted(versions))}.")
  varying = varying_fields(found.cells)
  for line, concerned in warnings_of(found.folder, found.cells).items():
    more = f" and {counted(len(concerned) - 1, 'more run')}" if len(concerned) > 1 else ""
    lines.append(f"{line} (in {cell_name(concerned[0], varying)}{more})")
  return [*lines, *found.remarks]


def _verdicts(table: Table) -> list[str]:
  return [f"Beside the paper's figures: {note.removeprefix('Verdicts: ')}" for note in table.notes
          if note.startswith("Verdicts: ")]


def _tables_of_all(found: Gathered) -> list[Part]:
  """Those that are of all cells together, each under its title."""
  made = {"cost": compare_with_unattacked, "detection": detection_table, "stealth": stealth_table}
  tables = {anchor: table(found.cells, found.folder) for anchor, table in made.items()}
  return [Part(anchor, table.title, tables=(table,)) for anchor, table in tables.items() if table is not None]


def _images(found: Gathered) -> Part:
  title = "Images before and after the attack"
  with tempfile.TemporaryDirectory(prefix="fedrecjax-report-") as folder:
    file = pathlib.Path(folder) / "images.png"
    try:
      left_out = draw_images(found.cells, found.folder, file)
    except PlotError as error:
      return Part("images", title, (f"{error}.",))
    if left_out is None:
      return Part("images", title)
    note = (f"{counted(left_out, 'further configuration')} did not fit.",) if left_out else ()
    return Part("images", title, note, picture=file.read_bytes())


def _runs(found: Gathered) -> Runs:
  labels = label_fields(found.cells)
  metrics = shown_metrics(("hr@10", "ndcg@10", "er@10", "target_ndcg@10"), found.results.columns)
  rows = {row["config_hash"]: row for row in found.results.iter_rows(named=True)}
  return Runs((*labels, "seed"), (*metrics, "wall_s", "version"), tuple(
    Run(
      (*(label(cell.flat, name) for name in labels), str(cell.config.seed)),
      (*(_rate(rows[cell.hash], name) for name in metrics), _seconds(rows[cell.hash].get("wall_s")),
       str(rows[cell.hash].get("version", "-"))),
      rerun_command(cell),
    )
    for cell in found.cells
  ))


def _rate(row: Mapping[str, object], name: str) -> str:
  value = row.get(name)
  if isinstance(value, (int, float)):
    return f"{value:.4f}"
  epoch = row.get("diverged_at_epoch")
  return "-" if epoch is None else f"diverged at epoch {epoch}"


def _seconds(value: object) -> str:
  return f"{value:.1f}" if isinstance(value, (int, float)) else "-"


def _settings(cells: Sequence[Cell]) -> Table:
  return Table("Settings, what differs from its default first", ("field", "value", "default"),
               tuple(settings_rows(cells, defaults_of)), 3)


def _versions(found: Gathered) -> tuple[str, ...]:
  libraries = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in _LIBRARIES)
  return (
    f"Computed by fedrecjax {', '.join(sorted(versions_of(found.folder, found.cells)))}.",
    f"This page was written with fedrecjax {__version__}, Python {platform.python_version()}, {libraries}.",
  )
