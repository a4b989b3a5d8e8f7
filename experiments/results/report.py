"""What a sweep has found: a table with intervals over seeds, the paper's figures and verdicts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence, Set
from typing import Any, NamedTuple

import polars as pl

from experiments.grid import Cell, expand, label, varying_fields
from experiments.recipes.recipe import Figure, Recipe
from experiments.tables import Table
from experiments.verdicts import RULE, counted, verdict
from fedrecjax.attacks import UNTARGETED
from fedrecjax.config import with_unset
from fedrecjax.metrics.stats import Interval, mean_interval

MEAN_NOTE = (
  "Mean over seeds ± half of the 95 % interval (Student's t); the last evaluation point. Where the interval leaves"
  " [0, 1] or is wider than .3, the seeds' own values."
)
_PREFERRED_METRICS = ("hr@10", "ndcg@10", "er@5", "er@10")


class Group(NamedTuple):
  """The cells of one configuration, which differ in their seed alone.

  Attributes:
    flat: the configuration of the first of them.
    cells: the finished ones.
  """

  flat: dict[str, Any]
  cells: list[Cell]


class Printed(NamedTuple):
  """A paper's figure beside one of ours.

  Attributes:
    value: as printed, a rate.
    not_comparable: see :class:`experiments.recipes.recipe.Figure`.
  """

  value: float
  not_comparable: str


def group_by_seed(cells: Sequence[Cell]) -> list[Group]:
  """Pools seeds, in the order of the cells."""
  groups: dict[str, Group] = {}
  for cell in cells:
    key = without_seed(cell.flat)
    groups.setdefault(key, Group(cell.flat, [])).cells.append(cell)
  return list(groups.values())


def without_seed(flat: Mapping[str, Any]) -> str:
  """What all seeds of a configuration have in common, as one text.

  The same as the hash of that configuration, of which making it anew would take a hundred times as long.
  """
  return json.dumps({**flat, "seed": 0}, sort_keys=True)


def label_fields(cells: Sequence[Cell]) -> list[str]:
  """The fields that label a row: attack and defence always, others where they vary."""
  varying = [name for name in varying_fields(cells) if name not in ("seed", "attack", "defense")]
  axes = [name for name in ("dataset", "model") if name in varying]
  return [*axes, "attack", "defense", *(name for name in varying if name not in axes)]


def summarise(
  cells: Sequence[Cell],
  results: pl.DataFrame,
  *,
  title: str,
  metrics: Sequence[str] = (),
  figures: Sequence[Figure] = (),
  figures_of: Set[str] = frozenset(),
  notes: Sequence[str] = (),
) -> Table:
  """The table of a sweep.

  Args:
    cells: the finished cells to show.
    results: one row per cell, from :func:`experiments.results.cell_files.rebuild_results`.
    title: of the table.
    metrics: columns to show; by default the usual ones that were measured.
    figures: what a paper prints; a column of the paper's and a verdict stand beside each of ours that it has.
    figures_of: the configurations that they belong to, without seed as one text; beside others none stands.
    notes: lines to add.

  Returns:
    One row per configuration: mean +- half of the 95 % interval over seeds, or the seeds' values where that interval
    says nothing. Seeds that have diverged have no part in it, and are named with the first metric.
  """
  labels = label_fields(cells)
  rows_by_hash = {row["config_hash"]: row for row in results.iter_rows(named=True)}
  chosen = shown_metrics(metrics or _PREFERRED_METRICS, results.columns, exposure=has_targets(cells))
  groups = group_by_seed(cells)
  paper = [
    printed_of(group.flat, figures) if without_seed(group.flat) in figures_of else {} for group in groups
  ]
  printed = [name for name in chosen if any(name in values for values in paper)]
  header = [*labels, "seeds"]
  for name in chosen:
    header += [name, f"{name} paper", f"{name} verdict"] if name in printed else [name]
  rows, verdicts = [], []
  for group, values in zip(groups, paper, strict=True):
    measured = [rows_by_hash[cell.hash] for cell in group.cells]
    row = [*(label(group.flat, name) for name in labels), str(len(group.cells))]
    diverged = [one["diverged_at_epoch"] for one in measured if one.get("diverged_at_epoch") is not None]
    for name in chosen:
      seeds = [value for one in measured if (value := one.get(name)) is not None]
      mean = _mean(seeds)
      row.append(_with_diverged(mean, diverged) if name == chosen[0] else mean)
      if name in values:
        verdicts.append(verdict(values[name].value, seeds, values[name].not_comparable))
        row += [f"{values[name].value:.4f}", str(verdicts[-1])]
      elif name in printed:
        row += ["-", "-"]
    walls = [one["wall_s"] for one in measured if one["wall_s"] is not None]
    row.append(f"{sum(walls) / len(walls):.1f}" if walls else "-")
    rows.append(tuple(row))
  all_notes = (
    MEAN_NOTE,
    *((RULE, f"Verdicts: {counted(verdicts)}.") if verdicts else ()),
    *notes,
  )
  return Table(title, (*header, "wall_s"), tuple(rows), len(labels), all_notes)


def has_targets(cells: Sequence[Cell]) -> bool:
  """Whether exposure says anything of these cells: not where every attack spoils the recommender for everybody."""
  attacks = {cell.flat["attack"] for cell in cells} - {"none"}
  return not attacks or not attacks <= UNTARGETED


def shown_metrics(wanted: Sequence[str], columns: Sequence[str], *, exposure: bool = True) -> list[str]:
  """The wanted metrics that were measured; where a kind was measured at other list lengths only, the longest.

  Args:
    wanted: in order.
    columns: that were measured.
    exposure: whether the exposure of targets is shown.
  """
  found = [name for name in wanted if name in columns and (exposure or not name.startswith(("er@", "target_")))]
  for kind in ("hr", "er") if exposure else ("hr",):
    if not any(name.startswith(f"{kind}@") for name in found):
      found += [name for name in columns if name.startswith(f"{kind}@")][-1:]
  return found


def printed_of(flat: Mapping[str, Any], figures: Sequence[Figure]) -> dict[str, Printed]:
  """What a paper prints of a configuration, by metric."""
  result: dict[str, Printed] = {}
  own = with_unset(flat)
  for figure in figures:
    if all(name in own and own[name] == value for name, value in figure.where.items()):
      result |= {name: Printed(value, figure.not_comparable) for name, value in figure.values.items()}
  return result


def _mean(values: Sequence[float]) -> str:
  if not values:
    return "-"
  interval = mean_interval(values)
  half = interval.half_width or 0.0
  if half > 0.15 or interval.mean - half < 0 or interval.mean + half > 1:
    return " ".join(f"{value:.4f}" for value in values)
  return text_of(interval)


def _with_diverged(mean: str, epochs: Sequence[int]) -> str:
  """The mean over seeds, and at which epochs the others have diverged.

  >>> _with_diverged("0.5000", []), _with_diverged("-", [7]), _with_diverged("0.5000", [7, 3])
  ('0.5000', 'diverged at epoch 7', '0.5000, 2 diverged at epochs 3, 7')
  """
  if not epochs:
    return mean
  when = f"diverged at epoch{'s' if len(set(epochs)) > 1 else ''} {', '.join(map(str, sorted(set(epochs))))}"
  return when if mean == "-" else f"{mean}, {len(epochs)} {when}"


def text_of(interval: Interval, sign: str = "") -> str:
  """An interval for people.

  >>> text_of(Interval(0.25, 0.01, 5)), text_of(Interval(0.25, None, 1), sign="+")
  ('0.2500 ±0.0100', '+0.2500')
  """
  half = "" if interval.half_width is None else f" ±{interval.half_width:.4f}"
  return f"{interval.mean:{sign}.4f}{half}"


def recipe_table(
  recipe: Recipe,
  cells: Sequence[Cell],
  results: pl.DataFrame,
  overrides: Mapping[str, str],
  further: Sequence[str] = (),
) -> Table:
  """The table of a recipe, beside the paper's figures where it has some.

  Args:
    recipe: whose table it is.
    cells: the finished ones of it.
    results: one row per cell.
    overrides: flags by which the recipe was changed.
    further: notes to add.
  """
  notes = [f"Paper: {recipe.reference}."] if recipe.reference else []
  notes += [f"Settings: {line}." for line in recipe.settings_from]
  notes += [f"Not here: {line}." for line in recipe.missing]
  notes += [f"{line}." for line in further]
  if overrides:
    changed = " ".join(f"--{name}={value}" for name, value in overrides.items())
    notes.append(f"The recipe was changed by {changed}.")
  own = {without_seed(cell.flat) for cell in expand(recipe.settings, {})}
  if recipe.figures and any(without_seed(cell.flat) not in own for cell in cells):
    notes.append("The paper's figures stand beside the recipe's own settings alone, and not beside rows of others.")
  return summarise(
    cells, results, title=recipe.title, metrics=recipe.metrics, figures=recipe.figures, figures_of=own, notes=notes
  )
