"""What a figure shows, before anything is drawn: points by panel, metric, line and place on the x axis."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import polars as pl

from experiments.grid import Cell, shown, varying_fields
from experiments.recipes.drawing import EPOCH, Chosen, Drawing
from experiments.recipes.recipe import Figure
from experiments.results.plots import PlotError
from experiments.results.report import printed_of, without_seed
from fedrecjax.config import with_unset
from fedrecjax.metrics.stats import Interval, mean_interval

SHARE = "attacker.malicious_ratio"


class Point(NamedTuple):
  """One point of a figure.

  Attributes:
    panel: its place among the panels beside each other.
    metric: that is measured.
    line: name of the line, or of the bars of one color.
    x: place on the x axis: an epoch, a number from 0 among the panel's `ticks`, or the mean of a metric.
    values: of the runs that are pooled here, which are seeds but for boxes.
    interval: their mean with its interval.
    x_interval: the same of the metric on the x axis; None where that is no metric.
    printed: what the paper prints here; None where it prints nothing.
  """

  panel: int
  metric: str
  line: str
  x: float
  values: tuple[float, ...]
  interval: Interval
  x_interval: Interval | None = None
  printed: float | None = None


class Arranged(NamedTuple):
  """All that a figure shows.

  Attributes:
    titles: of the panels, in their order.
    lines: names, in their order; a legend has those that are not empty.
    ticks: of each panel, what its places on the x axis are called; empty where x is an epoch or a metric.
    labels: of each panel, what its x axis is called.
    points: in the order of the cells.
    dashed: height of the dashed line by panel and metric.
  """

  titles: tuple[str, ...]
  lines: tuple[str, ...]
  ticks: tuple[tuple[str, ...], ...]
  labels: tuple[str, ...]
  points: tuple[Point, ...]
  dashed: dict[tuple[int, str], float]


class _Run(NamedTuple):
  """A cell in one of the panels.

  Attributes:
    panel: its place.
    line: name of its line.
    x: value of the field of the x axis; None where that is an epoch or a metric.
    cell: the cell.
  """

  panel: int
  line: str
  x: Any
  cell: Cell


def arranged(
  drawing: Drawing,
  cells: Sequence[Cell],
  results: pl.DataFrame,
  *,
  figures: Sequence[Figure] = (),
  figures_of: frozenset[str] = frozenset(),
) -> Arranged:
  """What a figure shows of the cells that are finished; panels, lines and places are there for the others too.

  Args:
    drawing: how it is arranged.
    cells: all of the recipe.
    results: a row per finished cell, or several with their epochs, by `config_hash`; a missing value is null.
    figures: what the paper prints.
    figures_of: the configurations that they belong to, by hash without seed.

  Raises:
    PlotError: if two configurations would stand in one place.
  """
  taking_part = [(cell, with_unset(cell.flat)) for cell in cells if matches(with_unset(cell.flat), drawing.where)]
  across = [cell for cell, flat in taking_part if drawing.dashed is not None and matches(flat, drawing.dashed)]
  dashed_hashes = {cell.hash for cell in across}
  shown_runs = [(cell, flat) for cell, flat in taking_part if cell.hash not in dashed_hashes]
  titles, runs = _placed(drawing, shown_runs)
  places = [_in_order([run.x for run in runs if run.panel == panel and run.x is not None])
            for panel in range(len(titles))]
  rows = _rows_by_hash(results)
  points = [
    point
    for together in _together(drawing, runs).values()
    for point in _points(drawing, together, places, rows, _printed(together[0].cell, figures, figures_of))
  ]
  return Arranged(
    titles=titles,
    # Those without attack come first, as what others are compared with.
    lines=tuple(sorted(dict.fromkeys(run.line for run in runs), key=lambda line: line != named("none", "attack"))),
    ticks=tuple(tuple(named(x, _field_of(drawing, panel)) for x in of_panel) for panel, of_panel in enumerate(places)),
    labels=tuple(" or ".join(dict.fromkeys(_field_name(name) for name in _x_fields(drawing, panel)))
                 for panel in range(len(titles))),
    points=tuple(points),
    dashed=_dashed(drawing, across, rows, len(titles)),
  )


def matches(flat: Mapping[str, Any], chosen: Chosen) -> bool:
  """Whether a run's fields have the chosen values.

  >>> matches({"attack": "none", "seed": 1}, {"attack": ("none", "lie"), "train.epochs": None})
  True
  """
  return all(
    flat.get(name) in (value if isinstance(value, tuple) else (value,)) for name, value in chosen.items()
  )


def named(value: Any, field: str) -> str:
  """A value of a field as figures have it.

  >>> named("none", "defense"), named(0.005, "attacker.malicious_ratio"), named(4.0, "psmu_pp.bound")
  ('no defense', '0.5 %', '4')
  """
  if field in ("attack", "defense") and value == "none":
    return f"no {field}"
  if field == SHARE:
    return f"{100 * value:g} %"
  return f"{value:g}" if isinstance(value, float) else shown(value)


def _field_name(field: str) -> str:
  own = {SHARE: "malicious clients", "images.source": "pictures"}
  return own.get(field, field.rpartition(".")[2].replace("_", " "))


def _x_fields(drawing: Drawing, panel: int) -> tuple[str, ...]:
  """The fields of the x axis of a panel, of which there are several times as many as the drawing names."""
  return drawing.panels[panel % len(drawing.panels)].x or drawing.x


def _field_of(drawing: Drawing, panel: int) -> str:
  return _x_fields(drawing, panel)[0]


def _applies(flat: Mapping[str, Any], field: str) -> bool:
  """Whether a field means something to a run: what attackers have does not where nobody attacks."""
  return flat.get(field) is not None and not (field.startswith("attacker.") and flat["attack"] == "none")


def _placed(drawing: Drawing, runs: Sequence[tuple[Cell, dict[str, Any]]]) -> tuple[tuple[str, ...], list[_Run]]:
  """Titles of the panels, and every run in each panel that shows it."""

  def is_everywhere(flat: Mapping[str, Any]) -> bool:
    return drawing.everywhere is not None and matches(flat, drawing.everywhere)

  def key(flat: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(named(flat.get(name), name) for name in drawing.panels_by)

  keys = list(dict.fromkeys(key(flat) for _, flat in runs if not is_everywhere(flat))) or [()]
  titles = tuple(
    ", ".join(filter(None, [panel.title, *values])) for values in keys for panel in drawing.panels
  )
  placed = []
  for cell, flat in runs:
    everywhere = is_everywhere(flat)
    for number, values in enumerate(keys):
      for place, panel in enumerate(drawing.panels):
        if everywhere or (values == key(flat) and matches(flat, panel.where)):
          placed += _run_at(drawing, number * len(drawing.panels) + place, cell, flat)
  return titles, placed


def _run_at(drawing: Drawing, panel: int, cell: Cell, flat: Mapping[str, Any]) -> list[_Run]:
  """The run in a panel; none where the field of the x axis means nothing to it."""
  fields = _x_fields(drawing, panel)
  if drawing.kind == "scatter" or fields == (EPOCH,):
    return [_Run(panel, _line(drawing, flat), None, cell)]
  values = [flat[name] for name in fields if _applies(flat, name)]
  return [_Run(panel, _line(drawing, flat), values[0], cell)] if values else []


def _line(drawing: Drawing, flat: Mapping[str, Any]) -> str:
  """The name of a run's line: methods and shares as they are called, other fields with what they are."""
  plain = ("attack", "defense", "model", "dataset", SHARE)
  parts = [
    named(flat[name], name) if name in plain else f"{_field_name(name)} {named(flat[name], name)}"
    for name in drawing.lines
    if _applies(flat, name)
  ]
  return ", ".join(parts) or (named("none", "attack") if flat["attack"] == "none" and drawing.lines else "")


def _in_order(values: Sequence[Any]) -> list[Any]:
  """Different values, numbers by size, words as they come.

  >>> _in_order([10, 2, 10]), _in_order(["none", "median", "none"])
  ([2, 10], ['none', 'median'])
  """
  different = list(dict.fromkeys(values))
  numbers = all(isinstance(one, (int, float)) and not isinstance(one, bool) for one in different)
  return sorted(different) if numbers else different


def _together(drawing: Drawing, runs: Sequence[_Run]) -> dict[Any, list[_Run]]:
  """The runs of each point."""
  found: dict[Any, list[_Run]] = {}
  for run in runs:
    own = without_seed(run.cell.flat) if drawing.kind == "scatter" else None
    found.setdefault((run.panel, run.line, run.x, own), []).append(run)
  if drawing.kind != "box":
    for together in found.values():
      if len({without_seed(run.cell.flat) for run in together}) > 1:
        fields = [name for name in varying_fields([run.cell for run in together]) if name != "seed"]
        raise PlotError(f"figure {drawing.name} is not drawn: runs that differ in {' and '.join(fields)} would stand"
                        " in one place; --only=FIELD=VALUE chooses among them")
  return found


def _rows_by_hash(results: pl.DataFrame) -> dict[str, list[dict[str, Any]]]:
  """The rows of each cell by epoch."""
  rows: dict[str, list[dict[str, Any]]] = {}
  for row in results.iter_rows(named=True):
    rows.setdefault(row["config_hash"], []).append(row)
  return {name: sorted(own, key=lambda row: row.get("epoch") or 0) for name, own in rows.items()}


def _printed(cell: Cell, figures: Sequence[Figure], figures_of: frozenset[str]) -> dict[str, float]:
  if not figures or without_seed(cell.flat) not in figures_of:
    return {}
  return {name: one.value for name, one in printed_of(cell.flat, figures).items()}


def _points(
  drawing: Drawing,
  together: Sequence[_Run],
  places: Sequence[Sequence[Any]],
  rows: Mapping[str, list[dict[str, Any]]],
  printed: Mapping[str, float],
) -> Iterator[Point]:
  """The points that runs of one line in one panel make, at one place or at all epochs."""
  panel, line = together[0].panel, together[0].line
  finished = [rows[run.cell.hash] for run in together if run.cell.hash in rows]
  for metric in drawing.metrics:
    if _x_fields(drawing, panel) == (EPOCH,):
      yield from _course(panel, line, metric, finished, printed.get(metric))
      continue
    last = [own[-1] for own in finished if own[-1].get(metric) is not None]
    if not last:
      continue
    values = tuple(float(row[metric]) for row in last)
    if drawing.kind == "scatter":
      if any(row.get(drawing.x[0]) is None for row in last):
        continue
      beside = mean_interval([row[drawing.x[0]] for row in last])
      yield Point(panel, metric, line, beside.mean, values, mean_interval(values), beside)
    else:
      x = float(places[panel].index(together[0].x))
      yield Point(panel, metric, line, x, values, mean_interval(values), None, printed.get(metric))


def _course(
  panel: int, line: str, metric: str, finished: Sequence[Sequence[Mapping[str, Any]]], printed: float | None
) -> Iterator[Point]:
  """A point per epoch at which somebody was evaluated; what the paper prints is of the last."""
  by_epoch: dict[int, list[float]] = {}
  for own in finished:
    for row in own:
      if row.get(metric) is not None:
        by_epoch.setdefault(row[EPOCH], []).append(float(row[metric]))
  for epoch in sorted(by_epoch):
    values = tuple(by_epoch[epoch])
    yield Point(
      panel, metric, line, float(epoch), values, mean_interval(values), None,
      printed if epoch == max(by_epoch) else None,
    )


def _dashed(
  drawing: Drawing, across: Sequence[Cell], rows: Mapping[str, list[dict[str, Any]]], num_panels: int
) -> dict[tuple[int, str], float]:
  """Heights of the dashed line, which is the same in all panels."""
  heights: dict[tuple[int, str], float] = {}
  for metric in drawing.metrics:
    values = [
      float(rows[cell.hash][-1][metric])
      for cell in across
      if cell.hash in rows and rows[cell.hash][-1].get(metric) is not None
    ]
    if values:
      heights |= {(panel, metric): sum(values) / len(values) for panel in range(num_panels)}
  return heights

