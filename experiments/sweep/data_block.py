"""What a sweep says of its data before anything is trained, and keeps beside the results of each cell."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from experiments.data.block import Threat, data_lines, threat_lines, threat_of
from experiments.grid import Cell
from experiments.sweep.visuals import VisualsKey, visuals_key
from fedrecjax.analysis import Summary, summarize
from fedrecjax.config import DataConfig
from fedrecjax.datasets import Dataset
from fedrecjax.vision.visuals import Visuals

DataKey = tuple[str, DataConfig]
_MOST_THREATS = 5


def summaries_of(datasets: Mapping[DataKey, Dataset]) -> dict[DataKey, Summary]:
  """What each data set holds."""
  return {key: summarize(dataset) for key, dataset in datasets.items()}


def blocks_of(
  cells: Sequence[Cell],
  datasets: Mapping[DataKey, Dataset],
  summaries: Mapping[DataKey, Summary],
  visuals: Mapping[VisualsKey, Visuals],
) -> list[str]:
  """A block of lines for each data set, with the different threats of its cells.

  Args:
    cells: to run.
    datasets: of the cells.
    summaries: of the data sets.
    visuals: of the cells.
  """
  lines = []
  for key, summary in summaries.items():
    lines += data_lines(summary, datasets[key].reading)
    own = [cell for cell in cells if (cell.config.dataset, cell.config.data) == key and cell.flat["attack"] != "none"]
    # Threats that differ in the seed alone differ in who attacks when, and maybe in the targets.
    settings = {(cell.config.attack.name, cell.config.attacker, cell.config.train, cell.config.images): cell
                for cell in reversed(own)}
    different = list(dict.fromkeys(
      threat_of_cell(cell, datasets[key], visuals.get(visuals_key(cell))) for cell in reversed(settings.values())
    ))
    for threat in different[:_MOST_THREATS]:
      lines += threat_lines(threat)
    if len(different) > _MOST_THREATS:
      lines.append(f"  {'malicious':<14}otherwise in {len(different) - _MOST_THREATS} more settings")
  return lines


def threat_of_cell(cell: Cell, dataset: Dataset, visuals: Visuals | None) -> Threat:
  """Who attacks in a cell, and what.

  Raises:
    ConfigError: if that does not fit the data set.
  """
  config = cell.config
  return threat_of(dataset, config.attack.build(), config.attacker, config.train, config.seed, visuals)


def kept_summary(cell: Cell, summary: Summary, dataset: Dataset, visuals: Visuals | None) -> dict[str, Any]:
  """What is kept of a cell's data, their reading and the threat, ready for JSON; null where there is none."""
  threat = None if cell.flat["attack"] == "none" else threat_of_cell(cell, dataset, visuals)
  return {
    "data": summary._asdict(),
    "reading": None if dataset.reading is None else dataclasses.asdict(dataset.reading),
    "threat": None if threat is None else threat._asdict(),
  }
