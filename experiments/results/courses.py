"""The picture of what is no rate over epochs: losses, and what attacks tell of their rounds."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

from experiments.atomic_files import new_file
from experiments.grid import Cell
from experiments.results.cell_files import read_metrics
from experiments.results.plots import (
  blank_figure,
  draw_legend,
  line_fields,
  named_by,
  over_seeds,
  panel_fields,
  style_of,
)
from experiments.results.report import group_by_seed


def courses_of(metrics: Sequence[str]) -> tuple[str, ...]:
  """Those of a recipe's columns that are no rates at some list length.

  >>> courses_of(("hr@10", "train_loss"))
  ('train_loss',)
  """
  return tuple(name for name in metrics if "@" not in name)


def plot_courses(cells: Sequence[Cell], out_dir: pathlib.Path, file: pathlib.Path, metrics: Sequence[str]) -> None:
  """Draws metrics over epochs, a row of panels for each and a column for each defense and whatever else varies.

  Lines are means over seeds, bands their 95 % intervals; a configuration without a metric has no line there.

  Args:
    cells: finished cells.
    out_dir: folder of their results.
    file: to write, a PNG or PDF by its ending.
    metrics: names of columns.

  Raises:
    PlotError: if matplotlib is missing.
  """
  lines, panels = line_fields(cells), panel_fields(cells)
  names = list(dict.fromkeys(named_by(cell.flat, lines) for cell in cells))
  titles = list(dict.fromkeys(named_by(cell.flat, panels) for cell in cells))
  figure = blank_figure(2.2 + 3.0 * len(titles), 0.9 + 2.4 * len(metrics))
  axes = figure.subplots(len(metrics), len(titles), sharex=True, sharey="row", squeeze=False)
  for group in group_by_seed(cells):
    column, number = titles.index(named_by(group.flat, panels)), names.index(named_by(group.flat, lines))
    runs = [read_metrics(out_dir, cell) for cell in group.cells]
    for row, metric in enumerate(metrics):
      if all(metric in run.columns for run in runs):
        epochs, mean, half = over_seeds(runs, metric)
        color, style = style_of(number)
        axes[row, column].plot(epochs, mean, color=color, linestyle=style, linewidth=1.8)
        if half is not None:
          axes[row, column].fill_between(epochs, mean - half, mean + half, color=color, alpha=0.15, linewidth=0)
  for axis in axes.reshape(-1):
    axis.set_xlim(left=0)
    axis.grid(color="#dddddd", linewidth=0.6)
  for row, metric in enumerate(metrics):
    axes[row, 0].set_ylabel(metric)
  for column, title in enumerate(titles):
    axes[0, column].set_title(f"defense: {title}", fontsize=11, parse_math=False)
    axes[-1, column].set_xlabel("epoch")
  draw_legend(figure, names)
  with new_file(file) as temporary:
    figure.savefig(temporary, format=file.suffix.removeprefix("."))
