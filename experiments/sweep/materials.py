"""What cells are run on: data sets and images, loaded once, and whether they fit before anything is trained."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from experiments.data.load import load_dataset
from experiments.grid import Cell
from experiments.sweep.data_block import DataKey
from experiments.sweep.visuals import VisualsKey, visuals_key
from fedrecjax.analysis import Summary
from fedrecjax.config import ConfigError
from fedrecjax.datasets import Dataset
from fedrecjax.defenses import chain
from fedrecjax.federation.population import make_population
from fedrecjax.simulation.evaluation import evaluation_data
from fedrecjax.simulation.memory import check_memory
from fedrecjax.simulation.participants import given_public
from fedrecjax.simulation.visual_features import check_images
from fedrecjax.vision.visuals import Visuals


def load_datasets(cells: Sequence[Cell], data_dir: pathlib.Path | None) -> dict[DataKey, Dataset]:
  """The data sets of these cells, each loaded once.

  Raises:
    DataError: if one cannot be loaded.
  """
  loaded: dict[DataKey, Dataset] = {}
  for cell in cells:
    key = (cell.config.dataset, cell.config.data)
    if key not in loaded:
      loaded[key] = load_dataset(*key, data_dir)
  return loaded


def check_fit(
  cells: Sequence[Cell], datasets: dict[DataKey, Dataset], visuals: Mapping[VisualsKey, Visuals]
) -> None:
  """Checks, before anything is trained, that images, sizes, targets, what is public and evaluation fit the data sets.

  Raises:
    ConfigError: if a number or a method does not fit a data set.
    DataError: if a data set cannot be evaluated as asked.
  """
  checked: set[Any] = set()
  for cell in cells:
    config = cell.config
    key = (config.dataset, config.data)
    seen = visuals.get(visuals_key(cell))
    methods = (config.model, config.attack, config.defense, config.train)
    if (key, config.images, *methods) not in checked:
      checked.add((key, config.images, *methods))
      defense = chain(*(part.build() for part in config.defense))
      model = config.model.build()
      check_images(datasets[key], model, config.attack.build(), defense, seen)
      check_memory(datasets[key], model, config.train)
    if (key, config.images, config.attacker, config.eval) in checked:
      continue
    checked.add((key, config.images, config.attacker, config.eval))
    longest, num_items = max(config.eval.ks), datasets[key].num_items
    if longest > num_items:
      raise ConfigError(f"eval.ks must be at most the {num_items} items of {config.dataset}, got {longest}")
    given_public(datasets[key], config.attacker)
    has_image = None if seen is None else seen.images.has_image
    population = make_population(datasets[key], config.attacker, config.seed, has_image)
    evaluation_data(
      datasets[key], config.eval, population.targets, population.users,
      evaluated=population.evaluated(config.eval.left_out),
    )


class Materials(NamedTuple):
  """What a cell is run on.

  Attributes:
    dataset: of the cell.
    summary: of the data set.
    visuals: images of its items and networks that see them; None without images.
  """

  dataset: Dataset
  summary: Summary
  visuals: Visuals | None
