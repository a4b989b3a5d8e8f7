"""Figures of a report as files for papers, in one style: curves and heat maps, as PDF or PNG."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from experiments.atomic_files import new_file
from experiments.report.content import Block, blocks_of, heat_maps_of
from experiments.report.folders import Gathered
from experiments.report.heat_maps import HeatMap
from experiments.results.courses import courses_of, plot_courses
from experiments.results.plots import PlotError, blank_figure, plot_utility_exposure

if TYPE_CHECKING:
  from matplotlib.figure import Figure

_WHITE_ABOVE = 0.85
_MAPS = {"exposure": "Oranges", "utility": "Blues"}


def write_figures(found: Gathered, out_dir: pathlib.Path, formats: Sequence[str]) -> Iterator[pathlib.Path]:
  """Writes the figures of every table, and yields each file that is written.

  Args:
    found: cells.
    out_dir: folder for the files.
    formats: "pdf", "png" or both.

  Raises:
    PlotError: if matplotlib is missing.
  """
  blocks = blocks_of(found)
  try:
    import matplotlib
  except ImportError as error:
    raise PlotError("no figure drawn: matplotlib is missing, pip install fedrecjax[plots] brings it") from error
  # Type 3 fonts, matplotlib's own choice, are refused by many publishers.
  with matplotlib.rc_context({"pdf.fonttype": 42}):
    for block in blocks:
      of = f"_{block.name}" if block.name and len(blocks) > 1 else ""
      for kind in formats:
        yield from _write(block, found, out_dir, of, kind)


def _write(block: Block, found: Gathered, out_dir: pathlib.Path, of: str, kind: str) -> Iterator[pathlib.Path]:
  curves = out_dir / f"report_curves{of}.{kind}"
  wanted = {"wanted": block.metrics} if block.metrics else {}
  plot_utility_exposure(block.cells, found.folder, curves, **wanted)
  yield curves
  if courses := courses_of(block.metrics):
    file = out_dir / f"report_courses{of}.{kind}"
    plot_courses(block.cells, found.folder, file, courses)
    yield file
  for one in heat_maps_of(block, found.results):
    file = out_dir / f"report_grid{of}_{one.metric.replace('@', '_at_')}.{kind}"
    figure = draw_heat_map(one)
    with new_file(file) as temporary:
      figure.savefig(temporary, format=kind)
    yield file


def draw_heat_map(heat_map: HeatMap) -> Figure:
  """The grid as a figure.

  Raises:
    PlotError: if matplotlib is missing.
  """
  figure = blank_figure(2.4 + 0.95 * len(heat_map.columns), 1.5 + 0.38 * len(heat_map.rows))
  axis = figure.subplots()
  nan = float("nan")
  shares = [[nan if square is None else square.share for square in row] for _, row in heat_map.rows]
  axis.imshow(shares, cmap=_MAPS[heat_map.kind], vmin=0.0, vmax=1.15, aspect="auto")
  for place, (_, row) in enumerate(heat_map.rows):
    for column, square in enumerate(row):
      text = "-" if square is None else square.text
      color = "white" if square is not None and square.share > _WHITE_ABOVE else "black"
      axis.text(column, place, text, ha="center", va="center", fontsize=9, color=color)
  axis.set_xticks(range(len(heat_map.columns)), list(heat_map.columns), rotation=30, ha="left", rotation_mode="anchor")
  axis.set_yticks(range(len(heat_map.rows)), [name for name, _ in heat_map.rows])
  axis.tick_params(length=0, labeltop=True, labelbottom=False)
  for label in (*axis.get_xticklabels(), *axis.get_yticklabels()):
    label.set_parse_math(False)
  for side in axis.spines.values():
    side.set_visible(False)
  axis.set_title(f"{heat_map.metric}, {heat_map.meaning.partition(':')[0]}", fontsize=11, parse_math=False)
  return figure
