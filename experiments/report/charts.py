"""Curves as lines of a drawing: where each point lies, and what is shown where a reader points."""

from __future__ import annotations

import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from experiments.grid import Cell
from experiments.results.cell_files import read_metrics
from experiments.results.plots import line_fields, named_by, of_seeds, over_seeds, panel_fields
from experiments.results.report import group_by_seed

WIDTH, HEIGHT = 320, 190
LEFT, RIGHT, TOP, BOTTOM = 40, 8, 8, 24
_MOST_PANELS = 24
_MOST_POINTS = 12_000
_FEWEST_ON_A_LINE, _MOST_ON_A_LINE = 8, 100
_DIGITS = 4
_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)


class Line(NamedTuple):
  """The seeds of one configuration.

  Attributes:
    name: in the legend.
    number: of its color and dashes.
    path: of the mean over seeds, for SVG.
    band: of the 95 % interval; empty for one seed.
    mean: at the points; None where a seed has no value.
    seeds: (seed, values at the points).
  """

  name: str
  number: int
  path: str
  band: str
  mean: list[float | None]
  seeds: list[tuple[int, list[float | None]]]


class Panel(NamedTuple):
  """One drawing.

  Attributes:
    title: the defense and whatever else varies.
    epochs: of the points.
    lines: one per attack.
  """

  title: str
  epochs: list[int]
  lines: list[Line]


class Chart(NamedTuple):
  """A metric over epochs.

  Attributes:
    metric: a column of the results.
    meaning: in words.
    names: of all lines, in the order of their numbers.
    panels: one per defense.
    ticks: (value as text, height in the drawing).
    epochs: (epoch, place in the drawing).
    lower: value at the lower end of the drawing.
    upper: at its upper end.
    last: epoch at its right end.
    left_out: panels that are not drawn.
  """

  metric: str
  meaning: str
  names: list[str]
  panels: list[Panel]
  ticks: list[tuple[str, float]]
  epochs: list[tuple[int, float]]
  lower: float
  upper: float
  last: int
  left_out: int


def charts_of(cells: Sequence[Cell], out_dir: pathlib.Path, metrics: Mapping[str, str]) -> list[Chart]:
  """A chart of each metric that any of the cells has.

  Args:
    cells: finished ones.
    out_dir: folder of their results.
    metrics: what each means, by name.
  """
  lines, panels = line_fields(cells), panel_fields(cells)
  names = list(dict.fromkeys(named_by(cell.flat, lines) for cell in cells))
  titles = list(dict.fromkeys(named_by(cell.flat, panels) for cell in cells))
  drawn = set(titles[:_MOST_PANELS])
  groups = [group for group in group_by_seed(cells) if named_by(group.flat, panels) in drawn]
  limit = min(max(_MOST_POINTS // max(len(groups) * len(metrics), 1), _FEWEST_ON_A_LINE), _MOST_ON_A_LINE)
  runs = [[_thinned(read_metrics(out_dir, cell), limit) for cell in group.cells] for group in groups]
  charts = []
  for metric, meaning in metrics.items():
    has = [(group, own) for group, own in zip(groups, runs, strict=True) if all(_has(run, metric) for run in own)]
    if not has:
      continue
    ends = [run["epoch"].max() for _, own in has for run in own]
    last = max(int(end) for end in ends if isinstance(end, int))
    scale = _Scale(*_range([value for _, own in has for run in own for value in run[metric].drop_nulls()]), last)
    of_panel: dict[str, list[Any]] = {}
    for group, own in has:
      of_panel.setdefault(named_by(group.flat, panels), []).append((group, own))
    made = []
    for title, members in of_panel.items():
      points = np.unique(np.concatenate([run["epoch"].to_numpy() for _, own in members for run in own]))
      made.append(Panel(title, points.tolist(), [
        _line(named_by(group.flat, lines), names, [cell.config.seed for cell in group.cells], own, metric, points,
              scale)
        for group, own in members
      ]))
    used = [name for name in names if any(line.name == name for panel in made for line in panel.lines)]
    charts.append(Chart(metric, meaning, used, made, scale.ticks(), scale.epochs(), scale.lower, scale.upper, last,
                        len(titles) - len(drawn)))
  return charts


def _has(run: pl.DataFrame, metric: str) -> bool:
  return metric in run.columns and run[metric].null_count() < run.height


class _Scale(NamedTuple):
  """From values to places in a drawing."""

  lower: float
  upper: float
  last: int

  def x(self, epoch: float) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * epoch / max(self.last, 1)

  def y(self, value: float) -> float:
    inside = min(max((value - self.lower) / (self.upper - self.lower), 0.0), 1.0)
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * inside

  def ticks(self) -> list[tuple[str, float]]:
    step = _step(self.upper - self.lower, 4)
    count = round((self.upper - self.lower) / step)
    values = [self.lower + step * number for number in range(count + 1)]
    return [(f"{value:.6g}", round(self.y(value), 1)) for value in values]

  def epochs(self) -> list[tuple[int, float]]:
    step = max(int(_step(self.last, 4)), 1)
    return [(epoch, round(self.x(epoch), 1)) for epoch in range(0, self.last + 1, step)]


def _range(values: Sequence[float]) -> tuple[float, float]:
  """Round ends that hold all values; of rates and losses the lower one is 0."""
  low, high = min(0.0, min(values)), max(values)
  step = _step((high - low) or 1.0, 4)
  return math.floor(low / step + 1e-9) * step, max(math.ceil(high / step - 1e-9) * step, step)


def _step(length: float, count: int) -> float:
  """A round step of which about `count` make the length.

  >>> _step(0.93, 4), _step(40, 4), _step(0.031, 4)
  (0.25, 10.0, 0.01)
  """
  least = length / count
  power = 10.0 ** math.floor(math.log10(least)) if least > 0 else 1.0
  return next((round(one * power, 12) for one in _STEPS if one * power >= least - 1e-12), 10.0 * power)


def _thinned(run: pl.DataFrame, limit: int) -> pl.DataFrame:
  """At most so many points, evenly, the last among them."""
  if run.height <= limit:
    return run
  return run[np.unique(np.linspace(0, run.height - 1, limit).round().astype(int)).tolist()]


def _line(
  name: str, names: Sequence[str], seeds: Sequence[int], runs: Sequence[pl.DataFrame], metric: str, points: np.ndarray,
  scale: _Scale,
) -> Line:
  epochs, mean, half = over_seeds(runs, metric)
  _, values = of_seeds(runs, metric)
  path = _path([(scale.x(epoch), scale.y(value)) for epoch, value in zip(epochs, mean, strict=True)
                if not math.isnan(value)])
  band = ""
  if half is not None:
    there = ~np.isnan(mean + half)
    above = [(scale.x(x), scale.y(y)) for x, y in zip(epochs[there], (mean + half)[there], strict=True)]
    below = [(scale.x(x), scale.y(y)) for x, y in zip(epochs[there], (mean - half)[there], strict=True)]
    band = _path([*above, *reversed(below)])
  of_seed = [(seed, _at(points, epochs, row)) for seed, row in zip(seeds, values, strict=True)]
  return Line(name, names.index(name), path, band, _at(points, epochs, mean), of_seed)


def _path(points: Sequence[tuple[float, float]]) -> str:
  if not points:
    return ""
  if len(points) == 1:
    # A line of one point has no length; a short one is seen.
    (x, y), = points
    points = [(x - 3.0, y), (x + 3.0, y)]
  return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)


def _at(points: np.ndarray, epochs: np.ndarray, values: np.ndarray) -> list[float | None]:
  """Values at the points of a panel; None where a line has no point."""
  found = dict(zip(epochs.tolist(), values.tolist(), strict=True))
  return [None if (value := found.get(epoch)) is None or math.isnan(value) else round(value, _DIGITS)
          for epoch in points.tolist()]
