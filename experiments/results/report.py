"""What a sweep has found: a table with intervals over seeds, the paper's figures, and paired comparisons."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import polars as pl

from experiments.grid import Cell, shown, varying_fields
from experiments.recipes.recipe import Figure, Recipe
from experiments.results.cell_files import read_per_user
from experiments.tables import Table
from fedrecjax.config import from_flat, owner_of
from fedrecjax.metrics.stats import Interval, mean_interval, paired_difference

_PREFERRED_METRICS = ("hr@10", "ndcg@10", "er@5", "er@10")
_COMPARED = "hr@10"


class Group(NamedTuple):
  """The cells of one configuration, which differ in their seed alone.

  Attributes:
    flat: the configuration of the first of them.
    cells: the finished ones.
  """

  flat: dict[str, Any]
  cells: list[Cell]


def group_by_seed(cells: Sequence[Cell]) -> list[Group]:
  """Pools seeds, in the order of the cells."""
  groups: dict[str, Group] = {}
  for cell in cells:
    key = _hash_without_seed(cell.flat)
    groups.setdefault(key, Group(cell.flat, [])).cells.append(cell)
  return list(groups.values())


def _hash_without_seed(flat: Mapping[str, Any]) -> str:
  return from_flat({**flat, "seed": 0}).hash()


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
  notes: Sequence[str] = (),
) -> Table:
  """The table of a sweep.

  Args:
    cells: the finished cells to show.
    results: one row per cell, from :func:`experiments.results.cell_files.rebuild_results`.
    title: of the table.
    metrics: columns to show; by default the usual ones that were measured.
    figures: what a paper prints; a column of the paper's stands beside each of ours that it has.
    notes: lines to add.

  Returns:
    One row per configuration: mean +- half of the 95 % interval over seeds.
  """
  labels = label_fields(cells)
  rows_by_hash = {row["config_hash"]: row for row in results.iter_rows(named=True)}
  chosen = shown_metrics(metrics or _PREFERRED_METRICS, results.columns)
  groups = group_by_seed(cells)
  paper = [_figures_of(group.flat, figures) for group in groups]
  printed = [name for name in chosen if any(name in values for values in paper)]
  header = [*labels, "seeds"]
  for name in chosen:
    header += [name, f"{name} paper"] if name in printed else [name]
  rows = []
  for group, values in zip(groups, paper, strict=True):
    measured = [rows_by_hash[cell.hash] for cell in group.cells]
    row = [*(shown(group.flat.get(name)) for name in labels), str(len(group.cells))]
    for name in chosen:
      row.append(_mean([one.get(name) for one in measured]))
      if name in printed:
        row.append(f"{values[name]:.4f}" if name in values else "-")
    row.append(f"{sum(one['wall_s'] for one in measured) / len(measured):.1f}")
    rows.append(tuple(row))
  all_notes = (
    "Mean over seeds ± half of the 95 % interval (Student's t); the last evaluation point.",
    *notes,
  )
  return Table(title, (*header, "wall_s"), tuple(rows), len(labels), all_notes)


def shown_metrics(wanted: Sequence[str], columns: Sequence[str]) -> list[str]:
  """The wanted metrics that were measured; where a kind was measured at other list lengths only, the longest."""
  found = [name for name in wanted if name in columns]
  for kind in ("hr", "er"):
    if not any(name.startswith(f"{kind}@") for name in found):
      found += [name for name in columns if name.startswith(f"{kind}@")][-1:]
  return found


def _figures_of(flat: Mapping[str, Any], figures: Sequence[Figure]) -> dict[str, float]:
  result: dict[str, float] = {}
  for figure in figures:
    if all(flat.get(name) == value for name, value in figure.where.items()):
      result |= figure.values
  return result


def _mean(values: Sequence[float | None]) -> str:
  known = [value for value in values if value is not None]
  return text_of(mean_interval(known)) if known else "-"


def text_of(interval: Interval, sign: str = "") -> str:
  """An interval for people.

  >>> text_of(Interval(0.25, 0.01, 5)), text_of(Interval(0.25, None, 1), sign="+")
  ('0.2500 ±0.0100', '+0.2500')
  """
  half = "" if interval.half_width is None else f" ±{interval.half_width:.4f}"
  return f"{interval.mean:{sign}.4f}{half}"


def compare_with_unattacked(cells: Sequence[Cell], out_dir: pathlib.Path) -> Table | None:
  """What each attack costs benign users, user by user.

  Args:
    cells: finished cells; an attacked one is compared with the one of the same seed and the same configuration
      without attack.
    out_dir: folder of the results.

  Returns:
    The paired difference in hr@10 of every attacked configuration, or None if no cell has its counterpart.
  """
  by_hash = {cell.hash: cell for cell in cells}
  labels = label_fields(cells)
  frames: dict[str, pl.DataFrame] = {}

  def values(chosen: Sequence[Cell]) -> pl.DataFrame:
    for cell in chosen:
      if cell.hash not in frames:
        frames[cell.hash] = read_per_user(out_dir, cell)
    return pl.concat([frames[cell.hash].select("user", pl.col(_COMPARED)) for cell in chosen])

  rows = []
  for group in group_by_seed([cell for cell in cells if cell.flat["attack"] != "none"]):
    pairs = [(cell, by_hash[other]) for cell in group.cells if (other := unattacked_hash(cell.flat)) in by_hash]
    if not pairs or 10 not in group.flat["eval.ks"]:
      continue
    attacked, clean = (values(chosen) for chosen in zip(*pairs, strict=True))
    arrays = (frame[name].to_numpy() for frame in (attacked, clean) for name in ("user", _COMPARED))
    try:
      difference = paired_difference(*arrays)
    except ValueError:
      continue
    rows.append(
      (
        *(shown(group.flat.get(name)) for name in labels),
        str(len(pairs)),
        str(difference.num_values),
        text_of(difference, sign="+"),
      )
    )
  if not rows:
    return None
  return Table(
    "What the attack costs benign users",
    (*labels, "seeds", "users", f"{_COMPARED} - without attack"),
    tuple(rows),
    len(labels),
    (
      "Mean over users of the difference to the same run without attack (users averaged over seeds)"
      " ± half of the 95 % interval.",
    ),
  )


def unattacked_hash(flat: Mapping[str, Any]) -> str:
  """The hash of the same run without attack."""
  owner = owner_of("attack", flat["attack"])
  own = {name: value for name, value in flat.items() if name.partition(".")[0] != owner}
  return from_flat({**own, "attack": "none"}).hash()


def recipe_table(recipe: Recipe, cells: Sequence[Cell], results: pl.DataFrame, overrides: Mapping[str, str]) -> Table:
  """The table of a recipe, beside the paper's figures where it has some."""
  notes = [f"Paper: {recipe.reference}."] if recipe.reference else []
  if overrides:
    changed = " ".join(f"--{name}={value}" for name, value in overrides.items())
    notes.append(f"The recipe was changed by {changed}.")
  return summarise(cells, results, title=recipe.title, metrics=recipe.metrics, figures=recipe.figures, notes=notes)
