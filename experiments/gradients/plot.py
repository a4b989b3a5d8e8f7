"""The picture of uploads: points of a plane above, densities of uniformity below."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from experiments.atomic_files import new_file
from experiments.gradients.windows import Window
from experiments.results.plots import blank_figure
from fedrecjax.analysis import kernel_density

if TYPE_CHECKING:
  from matplotlib.axes import Axes

# Okabe and Ito's blue and vermilion.
_COLORS = {"benign": "#0072B2", "malicious": "#D55E00"}
_PLACES = 200


def plot_windows(found: Mapping[str, Sequence[Window]], file: pathlib.Path) -> None:
  """Draws uploads by their two first principal components, and the density of uniformity for each task.

  Args:
    found: windows by task, as many of each; the points are those of the first.
    file: the PNG to write.

  Raises:
    PlotError: if matplotlib is missing.
  """
  columns = [list(of_window) for of_window in zip(*found.values(), strict=True)]
  rows = 1 + len(found)
  figure = blank_figure(0.6 + 3.0 * len(columns), 0.5 + 2.5 * rows)
  axes = figure.subplots(rows, len(columns), squeeze=False)
  for column, of_window in enumerate(columns):
    _draw_points(axes[0, column], of_window[0])
    axes[0, column].set_title(f"from round {of_window[0].start:,}", fontsize=10)
    for row, one in enumerate(of_window):
      _draw_densities(axes[1 + row, column], one)
  axes[0, 0].set_ylabel(f"uploads in their plane\n{next(iter(found))}")
  for row, task in enumerate(found):
    axes[1 + row, 0].set_ylabel(f"density of uniformity\n{task}")
  handles, labels = axes[0, 0].get_legend_handles_labels()
  figure.legend(handles, labels, loc="outside upper center", ncols=2, frameon=False)
  with new_file(file) as temporary:
    figure.savefig(temporary, format="png")


def _draw_points(axis: Axes, window: Window) -> None:
  for name, of_kind in (("benign", ~window.malicious), ("malicious", window.malicious)):
    axis.scatter(window.points[of_kind, 0], window.points[of_kind, 1], s=6, color=_COLORS[name], label=name)


def _draw_densities(axis: Axes, window: Window) -> None:
  low, high = float(window.uniformity.min()), float(window.uniformity.max())
  if high <= low:
    return
  at = np.linspace(low - 0.1 * (high - low), high + 0.1 * (high - low), _PLACES)
  for name, of_kind in (("benign", ~window.malicious), ("malicious", window.malicious)):
    values = window.uniformity[of_kind].astype(np.float64)
    # One value, or several that are the same, have no density.
    if values.size > 1 and np.ptp(values) > 0:
      axis.plot(at, kernel_density(values, at), color=_COLORS[name])
