"""How a figure is drawn, as data: what its axes are, what stands in which panel, and which settings are lines."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Literal

Kind = Literal["bars", "lines", "box", "scatter"]
Value = str | float | bool | None
Chosen = Mapping[str, Value | tuple[Value, ...]]
"""Values of configuration fields by dotted name, any of several where there is a tuple; None for a field that does not
apply."""

EPOCH = "epoch"


@dataclasses.dataclass(frozen=True)
class Panel:
  """One of the panels that stand beside each other.

  Attributes:
    title: what stands above it.
    where: the runs that it shows.
    x: the fields of its x axis; empty for those of the drawing.
  """

  title: str
  where: Chosen = dataclasses.field(default_factory=dict)
  x: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Drawing:
  """A figure: a row of panels for each metric, and in each panel values over x, apart by what lines are.

  Attributes:
    name: of its files.
    title: one line.
    kind: "lines" are means over seeds with their 95 % intervals, "bars" the same, side by side at each x; "box" are
      quartiles and extremes of all runs at each x; "scatter" has a dot for each configuration, with both intervals.
    x: the fields of the x axis, of which the first that a run has counts; `EPOCH` for the course of runs; for "scatter"
      a metric. Numbers stand in their order, words as they come, and all of them at equal distances but for epochs.
    lines: fields whose values are lines, or bars of one color.
    metrics: a row of panels for each.
    where: the runs that take part.
    panels: panels beside each other.
    panels_by: fields that tell further panels apart, one for each value that occurs.
    everywhere: runs that stand in each panel, whatever its own choice: those without attack, say. None: no such runs.
    dashed: runs that are a dashed line across each panel instead, at their mean. None: there is none.
  """

  name: str
  title: str
  kind: Kind
  x: tuple[str, ...]
  lines: tuple[str, ...]
  metrics: tuple[str, ...]
  where: Chosen = dataclasses.field(default_factory=dict)
  panels: tuple[Panel, ...] = (Panel(""),)
  panels_by: tuple[str, ...] = ()
  everywhere: Chosen | None = None
  dashed: Chosen | None = None
