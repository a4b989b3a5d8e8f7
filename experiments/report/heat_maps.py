"""Grids of attacks and defenses, a metric each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from experiments.report.measured import Measured

_LEAST_FILLED = 0.5


class Square(NamedTuple):
  """One configuration of a heat map.

  Attributes:
    text: its mean.
    share: of the scale, 0 to 1.
    detail: what is shown where a reader points.
  """

  text: str
  share: float
  detail: str


class HeatMap(NamedTuple):
  """A metric of all attacks and defenses.

  Attributes:
    metric: a column of the results.
    meaning: in words, and which end is good for whom.
    kind: "exposure" or "utility", which have colors of their own.
    columns: defenses and whatever else varies.
    rows: attacks, with a square per column; None where nothing was measured.
  """

  metric: str
  meaning: str
  kind: str
  columns: tuple[str, ...]
  rows: tuple[tuple[str, tuple[Square | None, ...]], ...]

  @property
  def upper(self) -> float:
    """The value at full color."""
    return max((float(square.text) for _, row in self.rows for square in row if square is not None), default=1.0)


def heat_map(groups: Sequence[Measured], metric: str, meaning: str, kind: str) -> HeatMap | None:
  """The grid of a metric; None where there are no two attacks and two defenses, or most of the grid is empty.

  Args:
    groups: configurations.
    metric: of them.
    meaning: in words.
    kind: "exposure" or "utility".
  """
  rows = tuple(dict.fromkeys(group.row for group in groups))
  columns = tuple(dict.fromkeys(group.column for group in groups))
  found = {(group.row, group.column): group for group in groups if group.values[metric]}
  if len(rows) < 2 or len(columns) < 2 or len(found) < _LEAST_FILLED * len(rows) * len(columns):
    return None
  # A sweep of tiny rates is told apart by its own scale.
  upper = max(max(mean for group in found.values() if (mean := group.mean(metric)) is not None), 1e-9)
  return HeatMap(metric, meaning, kind, columns, tuple(
    (row, tuple(_square(found.get((row, column)), metric, upper) for column in columns)) for row in rows
  ))


def _square(group: Measured | None, metric: str, upper: float) -> Square | None:
  if group is None:
    return None
  mean = group.mean(metric)
  assert mean is not None
  seeds = ", ".join(f"{value:.4f}" for value in group.values[metric])
  return Square(f"{mean:.3f}", mean / upper, f"{group.row} against {group.column}: seeds {seeds}")
