"""The figures of recipes: bars, lines, boxes or dots, as :mod:`experiments.recipes.drawing` says, as PNG and PDF."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import polars as pl

from experiments.atomic_files import new_file
from experiments.grid import Cell, expand
from experiments.recipes.drawing import Drawing
from experiments.recipes.recipe import Recipe
from experiments.results.cell_files import read_metrics
from experiments.results.figure_points import Arranged, Point, arranged, named
from experiments.results.plots import MARKERS, blank_figure, draw_legend, style_of
from experiments.results.report import without_seed
from fedrecjax.metrics.stats import Interval

if TYPE_CHECKING:
  from matplotlib.axes import Axes
  from matplotlib.figure import Figure

_FOLDER = "figures"
_GROUP_WIDTH = 0.8
_PRINTED = "the paper's"
_LONG_TICKS = 30
# Room for four names in a row of the legend.
_LEAST_WIDTH = 6.4


def draw_recipe(recipe: Recipe, cells: Sequence[Cell], finished: Sequence[Cell], out_dir: pathlib.Path
                ) -> list[pathlib.Path]:
  """Draws the figures of a recipe into OUT/figures, as far as their cells are finished.

  Args:
    recipe: whose figures they are.
    cells: all of it, as flags may have changed them.
    finished: those that have results.
    out_dir: folder of the results.

  Returns:
    The PNG files; beside each is a PDF.

  Raises:
    PlotError: if matplotlib is missing, or a figure has no place for what flags made of the recipe.
  """
  if not (recipe.drawings and finished):
    return []
  results = pl.concat([read_metrics(out_dir, cell) for cell in finished], how="diagonal_relaxed")
  own = frozenset(without_seed(cell.flat) for cell in expand(recipe.settings, {}) if recipe.figures)
  files = []
  for drawing in recipe.drawings:
    shown = arranged(drawing, cells, results, figures=recipe.figures, figures_of=own)
    figure = drawn(drawing, shown)
    for ending in ("pdf", "png"):
      file = out_dir / _FOLDER / f"{drawing.name}.{ending}"
      file.parent.mkdir(parents=True, exist_ok=True)
      # Without a date, so that the same results make the same file.
      dateless = {"CreationDate": None} if ending == "pdf" else None
      with new_file(file) as temporary:
        figure.savefig(temporary, format=ending, metadata=dateless)
    files.append(file)
  return files


def drawn(drawing: Drawing, shown: Arranged) -> Figure:
  """A figure of what is to be shown.

  Raises:
    PlotError: if matplotlib is missing.
  """
  columns, rows = len(shown.titles), len(drawing.metrics)
  figure = blank_figure(max(_LEAST_WIDTH, 1.4 + columns * _width(drawing, shown)), 1.2 + 2.6 * rows)
  axes = figure.subplots(rows, columns, squeeze=False, sharey="row")
  for row, metric in enumerate(drawing.metrics):
    for column, title in enumerate(shown.titles):
      axis = axes[row, column]
      own = [point for point in shown.points if (point.panel, point.metric) == (column, metric)]
      _draw_panel(axis, drawing, shown, own, column)
      if (column, metric) in shown.dashed:
        axis.axhline(shown.dashed[column, metric], color="#000000", linestyle="--", linewidth=1.2)
      if not own:
        axis.text(0.5, 0.5, "no results yet", transform=axis.transAxes, ha="center", color="#777777")
        axis.set_xticks([])
      if row == 0:
        axis.set_title(title, fontsize=10, parse_math=False)
      _finish(axis, shown.ticks[column])
      axis.set_xlabel(shown.labels[column] if drawing.kind != "scatter" else drawing.x[0])
    axes[row, 0].set_ylabel(metric)
    # All panels of a row share their limits, so that these can be set once all of them are drawn.
    if metric.startswith(("er@", "target_")):
      axes[row, 0].set_ylim(0, 1.02)
    elif _is_rate(metric):
      axes[row, 0].set_ylim(bottom=0)
  _legend(figure, drawing, shown)
  return figure


def _width(drawing: Drawing, shown: Arranged) -> float:
  """Inches of a panel: bars need room for each of them."""
  most = max((len(ticks) for ticks in shown.ticks), default=0)
  per_tick = {"bars": 0.11 * len(shown.lines) + 0.2, "box": 0.16 * len(shown.lines) + 0.2}.get(drawing.kind, 0.4)
  return max(2.6, most * per_tick)


def _draw_panel(axis: Axes, drawing: Drawing, shown: Arranged, points: Sequence[Point], panel: int) -> None:
  # Bars stand beside those that are in this panel too.
  here = [line for line in shown.lines if any(point.line == line for point in points)]
  for slot, line in enumerate(here):
    number = shown.lines.index(line)
    offset = _GROUP_WIDTH * ((slot + 0.5) / len(here) - 0.5) if drawing.kind in ("bars", "box") else 0.0
    own = sorted(
      (point._replace(x=point.x + offset) for point in points if point.line == line), key=lambda point: point.x
    )
    _KINDS[drawing.kind](axis, own, number, len(here), drawing)
    printed = [point for point in own if point.printed is not None]
    if printed:
      axis.scatter(
        [point.x for point in printed], [point.printed or 0.0 for point in printed], marker="D", s=26,
        facecolors="white", edgecolors=style_of(number)[0], linewidths=1.4, zorder=4, clip_on=False,
      )
  if shown.ticks[panel]:
    axis.set_xlim(-0.6, len(shown.ticks[panel]) - 0.4)


def _ends(point: Point) -> tuple[float, float]:
  """The interval's half widths below and above the mean, within what a rate can be."""
  return _within(point.interval, point.metric)


def _within(interval: Interval, metric: str) -> tuple[float, float]:
  half, mean = interval.half_width or 0.0, interval.mean
  return (min(half, mean), min(half, 1.0 - mean)) if _is_rate(metric) else (half, half)


def _is_rate(metric: str) -> bool:
  return "@" in metric


def _draw_lines(axis: Axes, points: Sequence[Point], number: int, count: int, drawing: Drawing) -> None:
  del count, drawing
  color, style = style_of(number)
  x, means = [point.x for point in points], [point.interval.mean for point in points]
  marker = "o" if len(points) < 16 else None
  axis.plot(x, means, color=color, linestyle=style, linewidth=1.6, marker=marker, markersize=3.5, zorder=3)
  low, high = ([mean + sign * _ends(point)[side] for mean, point in zip(means, points, strict=True)]
               for side, sign in ((0, -1.0), (1, 1.0)))
  axis.fill_between(x, low, high, color=color, alpha=0.15, linewidth=0)


def _draw_bars(axis: Axes, points: Sequence[Point], number: int, count: int, drawing: Drawing) -> None:
  del drawing
  color, style = style_of(number)
  axis.bar(
    [point.x for point in points], [point.interval.mean for point in points],
    width=_GROUP_WIDTH / count, color=color, alpha=0.85, hatch=None if style == "-" else "///", edgecolor="white",
    linewidth=0.3, yerr=list(zip(*map(_ends, points), strict=True)), error_kw={"elinewidth": 0.9}, zorder=2,
  )


def _draw_boxes(axis: Axes, points: Sequence[Point], number: int, count: int, drawing: Drawing) -> None:
  del drawing
  color = style_of(number)[0]
  line = {"color": color, "linewidth": 1.2}
  axis.boxplot(
    [list(point.values) for point in points], positions=[point.x for point in points],
    widths=0.8 * _GROUP_WIDTH / count, whis=(0, 100), manage_ticks=False, boxprops=line, whiskerprops=line,
    capprops=line, medianprops={"color": color, "linewidth": 2.2},
  )


def _draw_dots(axis: Axes, points: Sequence[Point], number: int, count: int, drawing: Drawing) -> None:
  del count
  color, style = style_of(number)
  across = [_within(point.x_interval or point.interval, drawing.x[0]) for point in points]
  axis.errorbar(
    [point.x for point in points], [point.interval.mean for point in points], xerr=list(zip(*across, strict=True)),
    yerr=list(zip(*map(_ends, points), strict=True)), fmt=MARKERS[style], color=color, markersize=4,
    elinewidth=0.7, alpha=0.85,
  )


_KINDS: dict[str, Callable[[Axes, Sequence[Point], int, int, Drawing], None]] = {
  "bars": _draw_bars, "lines": _draw_lines, "box": _draw_boxes, "scatter": _draw_dots,
}


def _finish(axis: Axes, ticks: Sequence[str]) -> None:
  if ticks:
    slanted = sum(map(len, ticks)) > _LONG_TICKS
    axis.set_xticks(range(len(ticks)), ticks, rotation=30 if slanted else 0, ha="right" if slanted else "center",
                    fontsize=8, parse_math=False)
  axis.grid(color="#dddddd", linewidth=0.6, axis="y")
  axis.set_axisbelow(True)
  axis.tick_params(labelleft=True)
  for side in ("top", "right"):
    axis.spines[side].set_visible(False)


def _legend(figure: Figure, drawing: Drawing, shown: Arranged) -> None:
  notes = []
  if any(point.printed is not None for point in shown.points):
    notes.append(f"diamonds: {_PRINTED}")
  if shown.dashed:
    notes.append(f"dashed: {', '.join(named(value, field) for field, value in (drawing.dashed or {}).items())}")
  if any(shown.lines):
    draw_legend(figure, shown.lines, title=drawing.title, dots=drawing.kind == "scatter")
  else:
    figure.suptitle(drawing.title, fontsize=10, parse_math=False)
  if notes:
    figure.supxlabel("; ".join(notes), fontsize=8, color="#555555")
