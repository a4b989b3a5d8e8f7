"""The picture of a bench: what a round costs by clients, numbers in a vector, and items."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import Any

from experiments.atomic_files import new_file
from experiments.results.plots import PlotError, blank_figure

PANELS = {"clients": "clients a round", "d": "numbers in an item's vector (d)", "items": "items"}
"""What varies in a panel, and its axis."""


def series(rows: Sequence[dict[str, Any]], varied: str) -> list[tuple[float, float, float]]:
  """What one panel shows: (value, milliseconds of a round, the traffic limit's), in order of the value.

  Rows of `clients` and `d` are cases named after it (`ml-1m clients=64`); those of `items` are data sets in default
  settings.
  """
  wanted = [row for row in rows
            if (f" {varied}=" in row["case"] if varied != "items" else len(row["case"].split()) == 1)]
  return sorted((row[varied], row["epoch_ms"] / row["rounds"], row["traffic_limit_ms"] / row["rounds"])
                for row in wanted)


def plot_costs(rows: Sequence[dict[str, Any]], file: pathlib.Path) -> None:
  """Draws a panel for everything that varies in these rows.

  Args:
    rows: of measurements.
    file: the PNG to write.

  Raises:
    PlotError: if matplotlib is missing, or nothing varies.
  """
  shown = {varied: found for varied in PANELS if len(found := series(rows, varied)) > 1}
  if not shown:
    raise PlotError(f"no picture drawn: no two cases differ in {', '.join(PANELS)} alone")
  figure = blank_figure(0.4 + 3.2 * len(shown), 2.8)
  for axis, (varied, found) in zip(figure.subplots(1, len(shown), squeeze=False)[0], shown.items(), strict=True):
    values, ours, limits = zip(*found, strict=True)
    axis.plot(values, ours, "o-", color="#0072B2", label="a round")
    axis.plot(values, limits, "--", color="#000000", label="traffic limit")
    axis.set(xscale="log", yscale="log", xlabel=PANELS[varied], ylabel="ms")
    axis.set_xticks(values, [f"{value:,.0f}" for value in values])
    axis.minorticks_off()
    axis.legend(fontsize=7)
  with new_file(file) as temporary:
    figure.savefig(temporary, format="png")
