"""The picture of a breakdown analysis: degrees with their power laws, and the share of items broken by ratio."""

from __future__ import annotations

import math
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from experiments.atomic_files import new_file
from experiments.breakdown.analysis import Analysis
from experiments.results.plots import PlotError
from fedrecjax.analysis import tail_probability

if TYPE_CHECKING:
  from matplotlib.axes import Axes
  from matplotlib.figure import Figure

# Of Okabe and Ito's palette, which colour-blind readers can tell apart. Lines of two rules may coincide, so each is
# thinner than those below it.
_LINES = {
  "mean": ("#000000", 3.6), "median": ("#56B4E9", 2.8), "trimmed_mean": ("#D55E00", 2.0), "krum": ("#009E73", 1.0),
}
_Style = Literal["-", "--", ":"]
_SHARES: dict[str, tuple[str, _Style]] = {
  "share_proposition_2": ("proposition 2", ":"),
  "share_interactions": ("counted by degree", "--"),
  "share_measured": ("measured", "-"),
}
_LAWS: dict[str, tuple[str, _Style]] = {"plain": ("law of all degrees", "--"), "tail": ("law of the best tail", "-")}
_LAW_COLOUR = "#CC79A7"
_PANELS_PER_ROW = 4
_POINTS = 200


def plot_breakdown(analyses: Sequence[Analysis], file: pathlib.Path) -> None:
  """Draws a column per data set: above how many items have a degree of k or more, below shares of items broken.

  Args:
    analyses: of at least one data set.
    file: the PNG to write.

  Raises:
    PlotError: if matplotlib is missing.
  """
  try:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
  except ImportError as error:
    raise PlotError("no picture drawn: matplotlib is missing, pip install fedrecjax[plots] brings it") from error
  columns = min(len(analyses), _PANELS_PER_ROW)
  blocks = math.ceil(len(analyses) / columns)
  figure = Figure(figsize=(2.4 + 2.8 * columns, 1.3 + 4.8 * blocks), dpi=150, layout="constrained")
  FigureCanvasAgg(figure)
  axes = figure.subplots(2 * blocks, columns, squeeze=False)
  for place in range(blocks * columns):
    above, below = (axes[2 * (place // columns) + row, place % columns] for row in range(2))
    if place >= len(analyses):
      above.set_visible(False)
      below.set_visible(False)
      continue
    _draw_degrees(above, analyses[place])
    _draw_shares(below, analyses[place].rows)
    if place % columns == 0:
      above.set_ylabel("share of items with\ndegree k or more")
      below.set_ylabel("share of items broken")
  _draw_legend(figure, [row["rule"] for row in analyses[0].rows], columns=2 * columns + 1)
  with new_file(file) as temporary:
    figure.savefig(temporary, format="png")


def _draw_degrees(axis: Axes, analysis: Analysis) -> None:
  tail, plain = analysis.tail, analysis.plain
  ordered = np.sort(analysis.degrees[analysis.degrees > 0])
  distinct, first = np.unique(ordered, return_index=True)
  axis.plot(distinct, 1 - first / len(ordered), ".", color="#000000", markersize=3, zorder=3)
  for name, law in (("plain", plain), ("tail", tail)):
    degrees = np.geomspace(law.minimum, ordered[-1], _POINTS)
    axis.plot(degrees, law.tail_share * tail_probability(law, degrees), color=_LAW_COLOUR, linestyle=_LAWS[name][1],
              linewidth=1.6)
  axis.set_xscale("log")
  axis.set_yscale("log")
  axis.set_ylim(0.5 / len(ordered), 2)
  axis.set_title(analysis.dataset, fontsize=11, parse_math=False)
  axis.set_xlabel("degree k")
  axis.text(0.04, 0.04, f"tail: exponent {tail.exponent:.2f}\nfrom degree {tail.minimum}, KS {tail.distance:.3f}\n"
            f"all: exponent {plain.exponent:.2f}, KS {plain.distance:.3f}", transform=axis.transAxes,
            fontsize=7, verticalalignment="bottom")
  _finish(axis)


def _draw_shares(axis: Axes, rows: Sequence[dict[str, Any]]) -> None:
  for rule in dict.fromkeys(row["rule"] for row in rows):
    own = sorted((row for row in rows if row["rule"] == rule), key=lambda row: row["ratio"])
    colour, width = _LINES[rule]
    for column, (_, style) in _SHARES.items():
      marker = "o" if column == "share_measured" else None
      axis.plot([row["ratio"] for row in own], [row[column] for row in own], color=colour, linestyle=style,
                linewidth=width, marker=marker, markersize=width + 3, clip_on=False, zorder=3)
  axis.set_ylim(0, 1)
  axis.set_xlim(left=0)
  axis.set_xlabel("malicious share of clients")
  _finish(axis)


def _finish(axis: Axes) -> None:
  axis.grid(color="#dddddd", linewidth=0.6)
  axis.set_axisbelow(True)
  for side in ("top", "right"):
    axis.spines[side].set_visible(False)


def _draw_legend(figure: Figure, rules: Sequence[str], *, columns: int) -> None:
  from matplotlib.lines import Line2D

  handles = [Line2D([], [], color=_LINES[rule][0], linewidth=2.4, label=rule) for rule in dict.fromkeys(rules)]
  handles += [Line2D([], [], color="#777777", linestyle=style, label=name,
                     marker="o" if column == "share_measured" else None, markersize=3.5)
              for column, (name, style) in _SHARES.items()]
  handles += [Line2D([], [], color=_LAW_COLOUR, linestyle=style, label=name) for name, style in _LAWS.values()]
  figure.legend(handles=handles, loc="outside upper center", ncols=columns, frameon=False, fontsize=8)
