"""The heat map of the matrix: how strong each attack is under each defense, a panel for each model and half."""

from __future__ import annotations

import pathlib
from typing import TYPE_CHECKING

import numpy as np

from experiments.atomic_files import new_file
from experiments.recipes.matrix import DEFENSES, MODELS
from experiments.results.matrix import HALVES, Half, Runs, keeps_enough, strength
from experiments.results.plots import blank_figure

if TYPE_CHECKING:
  from matplotlib.axes import Axes

_UNITS: dict[Half, str] = {"targeted": "er@10 gained", "untargeted": "share of hr@10 taken"}
# From where on white figures are read more easily than black ones.
_DARK = 0.55


def strengths(runs: Runs, model: str, half: Half) -> np.ndarray:
  """Mean strengths, a row per attack and a column per defense; NaN where one is not measured."""
  found = [[strength(runs, model, attack, defense) for defense in DEFENSES] for attack in HALVES[half]]
  return np.array([[np.nan if one is None else one.mean for one in row] for row in found])


def plot_matrix(runs: Runs, file: pathlib.Path) -> None:
  """Draws the heat map; cells that are not measured are empty.

  Args:
    runs: of the matrix, as many as there are.
    file: the PNG to write.

  Raises:
    PlotError: if matplotlib is missing.
  """
  models = [model for model in MODELS if any(key[0] == model for key in runs)]
  heights = [0.3 * len(attacks) + 1.1 for _ in models for attacks in HALVES.values()]
  figure = blank_figure(8.2, sum(heights))
  axes = figure.subplots(len(heights), 1, squeeze=False, gridspec_kw={"height_ratios": heights})[:, 0]
  panels = [(model, half) for model in models for half in HALVES]
  for axis, (model, half) in zip(axes, panels, strict=True):
    _draw(axis, runs, model, half)
  with new_file(file) as temporary:
    figure.savefig(temporary, format="png")


def _draw(axis: Axes, runs: Runs, model: str, half: Half) -> None:
  values = strengths(runs, model, half)
  axis.imshow(np.ma.masked_invalid(values), cmap="Blues", vmin=0, vmax=1, aspect="auto")
  for (row, column), value in np.ndenumerate(values):
    if np.isfinite(value):
      color = "white" if value > _DARK else "black"
      axis.text(column, row, f"{round(value, 2) + 0.0:.2f}", ha="center", va="center", fontsize=7, color=color)
  names = [one if keeps_enough(runs, model, one) else f"{one} †" for one in DEFENSES]
  axis.set_xticks(range(len(names)), names, rotation=30, ha="right", fontsize=8)
  axis.set_yticks(range(len(HALVES[half])), HALVES[half], fontsize=8)
  axis.set_title(f"{model}, {half} attacks: {_UNITS[half]}", fontsize=10)
  axis.tick_params(length=0)
  for side in axis.spines.values():
    side.set_visible(False)
