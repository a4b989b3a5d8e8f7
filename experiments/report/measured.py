"""The last figures of each configuration: what sentences, heat maps and comparisons are made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import polars as pl

from experiments.grid import Cell
from experiments.results.plots import drawn_metrics, line_fields, named_by, panel_fields
from experiments.results.report import group_by_seed
from fedrecjax.config import defense_parts, owner_of


class Measured(NamedTuple):
  """A configuration with what its seeds came to.

  Attributes:
    flat: of its first cell.
    row: name of the attack with what of it varies.
    column: the defense and whatever else varies.
    defense: with what of it varies.
    setting: what runs have in common that differ in attack and defense alone, in words.
    values: of each metric those of the seeds that have one.
    num_seeds: finished, also diverged ones.
    num_diverged: of them.
  """

  flat: Mapping[str, Any]
  row: str
  column: str
  defense: str
  setting: str
  values: Mapping[str, tuple[float, ...]]
  num_seeds: int
  num_diverged: int

  def mean(self, metric: str) -> float | None:
    """Mean over seeds; None where no seed has a value."""
    values = self.values[metric]
    return sum(values) / len(values) if values else None


def metrics_of(results: pl.DataFrame, wanted: Sequence[str] = ()) -> tuple[str, str]:
  """Exposure and utility: the first wanted of each that was measured."""
  usual = ("er@10", "hr@10")
  return drawn_metrics((*wanted, *usual), results.columns)


def measured(cells: Sequence[Cell], results: pl.DataFrame, metrics: Sequence[str]) -> list[Measured]:
  """One per configuration.

  Args:
    cells: finished ones.
    results: with a row for each.
    metrics: columns.
  """
  rows = {row["config_hash"]: row for row in results.iter_rows(named=True)}
  lines, panels = line_fields(cells), panel_fields(cells)
  owners = {owner_of("defense", part) for cell in cells for part in defense_parts(cell.flat["defense"])}
  of_defense = [name for name in panels if name == "defense" or name.partition(".")[0] in owners]
  others = [name for name in panels if name not in of_defense and name not in ("dataset", "model")]
  found = []
  for group in group_by_seed(cells):
    own = [rows[cell.hash] for cell in group.cells]
    values = {name: tuple(one[name] for one in own if one.get(name) is not None) for name in metrics}
    diverged = sum(one.get("diverged_at_epoch") is not None for one in own)
    setting = f"`{group.flat['model']}` on `{named_by(group.flat, ['dataset', *others])}`"
    row, column, defense = (named_by(group.flat, fields) for fields in (lines, panels, of_defense))
    found.append(Measured(group.flat, row, column, defense, setting, values, len(own), diverged))
  return found
