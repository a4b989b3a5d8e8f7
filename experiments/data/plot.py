"""The picture of data sets: how popular their items are (PIECK, Figure 3)."""

from __future__ import annotations

import math
import pathlib
from collections.abc import Sequence

import numpy as np

from experiments.atomic_files import new_file
from experiments.results.plots import blank_figure
from fedrecjax.analysis import top_share
from fedrecjax.datasets import Dataset

_PANELS_PER_ROW = 4
_POPULAR = 0.15


def plot_popularity(datasets: Sequence[Dataset], file: pathlib.Path) -> None:
  """Draws the training interactions of all items, most popular first, a panel per data set.

  Dotted lines are at the 15 % of items that count as popular, and at the share of all interactions that they have.

  Args:
    datasets: at least one.
    file: the PNG to write.

  Raises:
    PlotError: if matplotlib is missing.
  """
  columns = min(len(datasets), _PANELS_PER_ROW)
  rows = math.ceil(len(datasets) / columns)
  figure = blank_figure(0.4 + 3.0 * columns, 0.3 + 2.6 * rows)
  axes = figure.subplots(rows, columns, squeeze=False).reshape(-1)
  for place, axis in enumerate(axes):
    if place >= len(datasets):
      axis.set_visible(False)
      continue
    dataset = datasets[place]
    popularity = np.sort(dataset.popularity)[::-1]
    item = np.arange(1, len(popularity) + 1)
    axis.plot(item, popularity, color="#0072B2")
    axis.set_yscale("symlog", linthresh=1)
    axis.axvline(_POPULAR * len(popularity), color="#0072B2", linestyle=":")
    axis.set_title(dataset.name, fontsize=9)
    axis.set_xlabel("items, most popular first")
    total = axis.twinx()
    total.plot(item, np.cumsum(popularity) / popularity.sum(), color="#D55E00")
    total.axhline(top_share(popularity, share=_POPULAR), color="#D55E00", linestyle=":")
    total.set_ylim(0, 1)
    if place % columns == 0:
      axis.set_ylabel("training interactions", color="#0072B2")
    if place % columns == columns - 1 or place == len(datasets) - 1:
      total.set_ylabel("share of all up to here", color="#D55E00")
  with new_file(file) as temporary:
    figure.savefig(temporary, format="png")
