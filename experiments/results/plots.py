"""The picture of a sweep: utility and exposure over epochs."""

from __future__ import annotations

import math
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import polars as pl

from experiments.atomic_files import new_file
from experiments.grid import Cell, shown, varying_fields
from experiments.results.cell_files import read_metrics
from experiments.results.report import group_by_seed, shown_metrics
from fedrecjax.config import owner_of
from fedrecjax.metrics.stats import student_quantile

if TYPE_CHECKING:
  from matplotlib.axes import Axes
  from matplotlib.figure import Figure

# Okabe and Ito's palette, which colour-blind readers can tell apart, without its yellow: too pale for a line.
_COLOURS = ("#000000", "#E69F00", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9")
Style = Literal["-", "--", ":", "-."]
_STYLES: tuple[Style, ...] = ("-", "--", ":", "-.")
MARKERS: dict[Style, str] = {"-": "o", "--": "^", ":": "s", "-.": "v"}
"""Of dots, in place of dashes."""
_PANELS_PER_ROW = 4
_MEANINGS = ("exposure of the targets", "utility for benign users")
_METRICS = ("er@10", "hr@10")


class PlotError(RuntimeError):
  """No picture can be drawn; the message is one line that says why."""


def blank_figure(width: float, height: float) -> Figure:
  """A figure of so many inches that needs no display.

  Raises:
    PlotError: if matplotlib is missing.
  """
  try:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
  except ImportError as error:
    raise PlotError("no picture drawn: matplotlib is missing, pip install fedrecjax[plots] brings it") from error
  figure = Figure(figsize=(width, height), dpi=150, layout="constrained")
  FigureCanvasAgg(figure)
  return figure


def plot_utility_exposure(
  cells: Sequence[Cell], out_dir: pathlib.Path, file: pathlib.Path, wanted: Sequence[str] = _METRICS
) -> None:
  """Draws exposure and utility over epochs, one panel per defence, one line per attack.

  Lines are means over seeds, bands their 95 % intervals. Further fields that vary make further panels, those of an
  attack further lines.

  Args:
    cells: finished cells.
    out_dir: folder of their results.
    file: to write, a PNG or PDF by its ending.
    wanted: metrics of which the first of exposure and the first of utility are drawn.

  Raises:
    PlotError: if matplotlib is missing.
  """
  lines, panels = line_fields(cells), panel_fields(cells)
  names = list(dict.fromkeys(named_by(cell.flat, lines) for cell in cells))
  titles = list(dict.fromkeys(named_by(cell.flat, panels) for cell in cells))
  columns = min(len(titles), _PANELS_PER_ROW)
  blocks = math.ceil(len(titles) / columns)
  figure = blank_figure(2.2 + 2.7 * columns, 0.9 + 4.4 * blocks)
  axes = figure.subplots(2 * blocks, columns, sharex=True, sharey=True, squeeze=False)
  for group in group_by_seed(cells):
    place = titles.index(named_by(group.flat, panels))
    number = names.index(named_by(group.flat, lines))
    runs = [read_metrics(out_dir, cell) for cell in group.cells]
    # Cells may differ in the lengths of their lists.
    for row, metric in enumerate(drawn_metrics(wanted, runs[0].columns)):
      _draw_line(axes[2 * (place // columns) + row, place % columns], runs, metric, number, names[number])
  for place in range(blocks * columns):
    for row in range(2):
      axis = axes[2 * (place // columns) + row, place % columns]
      if place < len(titles):
        _finish_panel(axis, f"defense: {titles[place]}" if row == 0 else "", last=row == 1)
      else:
        axis.set_visible(False)
  labels = drawn_metrics(wanted, read_metrics(out_dir, cells[0]).columns)
  for block in range(blocks):
    for row, (metric, meaning) in enumerate(zip(labels, _MEANINGS, strict=True)):
      axes[2 * block + row, 0].set_ylabel(f"{metric}\n{meaning}")
  draw_legend(figure, names)
  with new_file(file) as temporary:
    figure.savefig(temporary, format=file.suffix.removeprefix("."))


def line_fields(cells: Sequence[Cell]) -> list[str]:
  """The fields that tell lines apart: the attack and whatever of it varies."""
  owners = {owner_of("attack", cell.flat["attack"]) for cell in cells} | {"attacker"}
  return ["attack", *(name for name in varying_fields(cells) if name.partition(".")[0] in owners)]


def panel_fields(cells: Sequence[Cell]) -> list[str]:
  """The fields that tell panels apart: the defence and whatever else varies."""
  others = {*line_fields(cells), "defense", "seed"}
  return ["defense", *(name for name in varying_fields(cells) if name not in others)]


def named_by(flat: dict[str, Any], fields: Sequence[str]) -> str:
  """A line's or a panel's name: the value of the first field, and the others that apply with theirs."""
  named = [f"{name.rpartition('.')[2]}={shown(flat[name])}" for name in fields[1:] if flat.get(name) is not None]
  return ", ".join([shown(flat[fields[0]]), *named])


def drawn_metrics(wanted: Sequence[str], columns: Sequence[str]) -> tuple[str, str]:
  """Exposure and utility: the first wanted of each that was measured, or those with the longest lists.

  >>> drawn_metrics(("hr@10", "er@5", "ndcg@20"), ["hr@5", "hr@20", "ndcg@20", "er@5", "er@20"])
  ('er@5', 'ndcg@20')
  """
  # Kinds that were not measured at a wanted length come last.
  found = shown_metrics(wanted, columns)
  exposure = next(name for name in found if name.startswith("er@"))
  return exposure, next(name for name in found if name.startswith(("hr@", "ndcg@")))


def _draw_line(axis: Axes, runs: Sequence[pl.DataFrame], metric: str, number: int, label: str) -> None:
  epochs, mean, half = over_seeds(runs, metric)
  colour, style = style_of(number)
  axis.plot(epochs, mean, color=colour, linestyle=style, linewidth=1.8, label=label, clip_on=False, zorder=3)
  if half is not None:
    # A mean of values in [0, 1] lies there too, whatever the symmetric interval of few seeds says.
    low, high = np.maximum(mean - half, 0.0), np.minimum(mean + half, 1.0)
    axis.fill_between(epochs, low, high, color=colour, alpha=0.15, linewidth=0)


def style_of(number: int) -> tuple[str, Style]:
  """Color and dashes of the line of this number."""
  return _COLOURS[number % len(_COLOURS)], _STYLES[number // len(_COLOURS) % len(_STYLES)]


def over_seeds(runs: Sequence[pl.DataFrame], metric: str) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
  """Mean of a metric over runs at each evaluation point.

  Args:
    runs: tables of evaluation points, one per seed; a run that has diverged has fewer.
    metric: a column; null where it has no value.

  Returns:
    (epochs, means, half widths of the 95 % intervals or None for a single run); NaN where a run has no value.
  """
  epochs, values = of_seeds(runs, metric)
  mean = values.mean(axis=0)
  if len(runs) == 1:
    return epochs, mean, None
  error = values.std(axis=0, ddof=1) / math.sqrt(len(runs))
  return epochs, mean, student_quantile(0.975, len(runs) - 1) * error


def of_seeds(runs: Sequence[pl.DataFrame], metric: str) -> tuple[np.ndarray, np.ndarray]:
  """A metric of each run at each evaluation point.

  Args:
    runs: as in :func:`over_seeds`.
    metric: likewise.

  Returns:
    (epochs `[E]`, values `[S, E]`); NaN where a run has no value.
  """
  epochs = np.unique(np.concatenate([run["epoch"].to_numpy() for run in runs]))
  values = np.full((len(runs), len(epochs)), np.nan)
  for row, run in zip(values, runs, strict=True):
    row[np.searchsorted(epochs, run["epoch"].to_numpy())] = run[metric].cast(pl.Float64).fill_null(np.nan).to_numpy()
  return epochs, values


def _finish_panel(axis: Axes, title: str, *, last: bool) -> None:
  axis.set_ylim(0, 1)
  axis.set_xlim(left=0)
  axis.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", "", "0.5", "", "1"])
  axis.grid(color="#dddddd", linewidth=0.6)
  axis.set_axisbelow(True)
  for side in ("top", "right"):
    axis.spines[side].set_visible(False)
  if title:
    axis.set_title(title, fontsize=11, parse_math=False)
  if last:
    axis.set_xlabel("epoch")
    axis.tick_params(labelbottom=True)


def draw_legend(figure: Figure, names: Sequence[str], *, title: str = "", dots: bool = False) -> None:
  """Puts a legend of lines, or dots, in the order of their numbers, above a figure, and a title above that."""
  from matplotlib.lines import Line2D

  handles = [
    Line2D(
      [],
      [],
      color=style_of(number)[0],
      linewidth=2.4,
      label=name,
      linestyle="none" if dots else style_of(number)[1],
      marker=MARKERS[style_of(number)[1]] if dots else None,
    )
    for number, name in enumerate(names)
  ]
  legend = figure.legend(
    handles=handles, loc="outside upper center", ncols=min(len(names), 4), frameon=False, title=title or None
  )
  for text in legend.get_texts():
    text.set_parse_math(False)
