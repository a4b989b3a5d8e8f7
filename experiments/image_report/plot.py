"""The pictures of an image report: similarities as in Figure 8 of Yuan et al., 2023, and images as in Figure 6."""

from __future__ import annotations

import pathlib
from typing import TYPE_CHECKING

import numpy as np

from experiments.atomic_files import new_file
from experiments.image_report.analysis import Report
from experiments.results.plots import PlotError
from fedrecjax.datasets.names import names_at
from fedrecjax.vision import comparison, densities, minimum_threshold, write_png

if TYPE_CHECKING:
  from matplotlib.axes import Axes

# Of Okabe and Ito's palette, which colour-blind readers can tell apart.
_COLOURS = ("#0072B2", "#D55E00")
_GROUPS = ("normal images", "adversarial images")
_SHOWN_SIDE = 96
_SHOWN_CHANGE = 120


def plot_densities(report: Report, file: pathlib.Path) -> None:
  """Draws similarities of normal and adversarial images, a row per bound and a column per purifier.

  Lines are fitted normal distributions. rho_0 is the least similarity of the images that set thresholds, rho_1 the
  largest of an adversarial image.

  Args:
    report: with at least one run.
    file: the PNG to write.

  Raises:
    PlotError: if matplotlib is missing, or a group's similarities are all equal.
  """
  try:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
  except ImportError as error:
    raise PlotError("no densities drawn: matplotlib is missing, pip install fedrecjax[plots] brings it") from error
  names = list(report.normal)
  figure = Figure(
    figsize=(1.6 + 3.6 * len(names), 1.2 + 2.3 * len(report.bounds)), dpi=150, layout="constrained"
  )
  FigureCanvasAgg(figure)
  axes = figure.subplots(len(report.bounds), len(names), squeeze=False)
  for row, bound in enumerate(report.bounds):
    for column, name in enumerate(names):
      axis = axes[row, column]
      try:
        _draw_densities(axis, report, row, name)
      except ValueError as error:
        raise PlotError(f"no densities drawn: {name}: {error}") from error
      if row == 0:
        axis.set_title(name, fontsize=11)
      if row == len(report.bounds) - 1:
        axis.set_xlabel("cosine similarity before and after")
      if column == 0:
        axis.set_ylabel(f"changes up to {bound:g}\ndensity")
  handles, labels = axes[0, 0].get_legend_handles_labels()
  figure.legend(handles, labels, loc="outside upper center", ncols=len(handles), frameon=False, fontsize=8)
  with new_file(file) as temporary:
    figure.savefig(temporary, format="png")


def _draw_densities(axis: Axes, report: Report, row: int, name: str) -> None:
  adversarial = report.purified[row][name].similarity
  found = densities(report.normal[name], adversarial)
  widths = np.diff(found.edges)
  for histogram, fit, colour, group in zip(found.histograms, found.fits, _COLOURS, _GROUPS, strict=True):
    axis.bar(found.edges[:-1], histogram, widths, align="edge", color=colour, alpha=0.35, label=group)
    axis.plot(found.grid, fit, color=colour, linewidth=1.6)
  axis.axvline(minimum_threshold(report.calibration[name]), color="#000000", linestyle="--", linewidth=1,
               label="rho_0")
  axis.axvline(float(adversarial.max()), color="#000000", linestyle=":", linewidth=1, label="rho_1")
  for side in ("top", "right"):
    axis.spines[side].set_visible(False)


def draw_pictures(report: Report, file: pathlib.Path, *, num_pictures: int) -> None:
  """Draws targets' images: a row without a change and one per bound, with purified variants and the change.

  Shown are the targets that stand highest on the lists under the smallest bound.

  Args:
    report: with at least one run.
    file: the PNG to write.
    num_pictures: targets shown; all if there are fewer.

  Raises:
    PlotError: if Pillow is missing.
  """
  exposure = np.nan_to_num(report.attacked[int(np.argmin(report.bounds))].exposure.alone)
  places = np.argsort(-exposure, kind="stable")[:num_pictures]
  steps = range(len(report.bounds))
  # One target after the other, in each of them the original first.
  adversarial = _by_target([report.original, *(one.pixels for one in report.attacked)], places)
  purified = {
    name: _by_target([original, *(report.purified[step][name].pixels for step in steps)], places)
    for name, original in report.purified_original.items()
  }
  names = names_at(report.attacked[0].result.item_names, report.targets)
  labels = [f"item {names[place]}, eps {bound:g}" for place in places for bound in (0, *report.bounds)]
  try:
    picture = comparison(
      _by_target([report.original] * (1 + len(report.bounds)), places), adversarial, purified, rows=labels,
      amplification=max(1, round(_SHOWN_CHANGE / max(report.bounds))),
      zoom=max(1, _SHOWN_SIDE // report.original.shape[1]),
    )
    with new_file(file) as temporary:
      write_png(picture, temporary)
  except ImportError as error:
    raise PlotError("no pictures drawn: pillow is missing, pip install fedrecjax[images] brings it") from error


def _by_target(variants: list[np.ndarray], places: np.ndarray) -> np.ndarray:
  """All variants `[V, T, H, W, 3]` of one target, then of the next `[len(places) * V, H, W, 3]`."""
  taken = np.stack(variants, axis=1)[places]
  return taken.reshape(-1, *taken.shape[2:])
