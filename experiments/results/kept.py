"""Results that are kept beside the docs: a small CSV of each recipe, one line per cell."""

from __future__ import annotations

import functools
import hashlib
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import polars as pl

from experiments.atomic_files import new_file
from experiments.errors import UsageError
from experiments.grid import AXES, Cell, cell_name, expand, varying_fields
from experiments.recipes import RECIPES, Recipe
from experiments.results.cell_files import gather_results
from experiments.results.paths import finished_config, finished_dirs
from fedrecjax.config import from_flat
from fedrecjax.datasets import DataError

_DIGITS = 6
_DIVERGED = "diverged_at_epoch"
_TEXTS = ("cell", "settings", "config_hash", "version")


class Kept(NamedTuple):
  """The kept results of a recipe.

  Attributes:
    cells: of the recipe, those that have results.
    results: one row per cell, in their order, as :func:`experiments.results.report.summarise` takes them.
  """

  cells: list[Cell]
  results: pl.DataFrame


def settings_digest(flat: Mapping[str, Any]) -> str:
  """What a cell's settings are known by: a digest of the fields that do not have their defaults, and of the axes.

  Unlike the hash of a configuration it stays when a method gains a field whose default leaves it as it was.

  Args:
    flat: the configuration by dotted name.
  """
  axes = {name: flat[name] for name in AXES}
  defaults = _defaults(*(flat[name] for name in AXES[:-1]))
  chosen = {name: value for name, value in flat.items() if name in axes or value != defaults.get(name)}
  return hashlib.sha256(json.dumps(chosen, sort_keys=True).encode()).hexdigest()[:16]


@functools.lru_cache(maxsize=10_000)
def _defaults(dataset: str, model: str, attack: str, defense: str) -> dict[str, Any]:
  """The configuration of these axes alone, whatever the seed."""
  return from_flat({"dataset": dataset, "model": model, "attack": attack, "defense": defense}).flat()


def keep(recipe_name: str, out_dir: pathlib.Path, file: pathlib.Path) -> int:
  """Writes the finished cells of a recipe as a CSV.

  Args:
    recipe_name: of the recipe, whose own settings count, not what flags made of them.
    out_dir: folder of a sweep.
    file: to write.

  Returns:
    Number of the recipe's cells that are kept.

  Raises:
    UsageError: if none of them is finished there.
  """
  recipe = RECIPES[recipe_name]
  measured = {row["config_hash"]: row for row in gather_results(out_dir).iter_rows(named=True)}
  cells = expand(recipe.settings, {})
  varying = varying_fields(cells)
  rows = [_row(cell, measured[found], recipe, varying) for cell, found in finished_in(out_dir, cells)]
  if not rows:
    raise UsageError(f"--keep={recipe_name}: none of its {len(cells)} cells is finished in {out_dir}")
  schema = {name: pl.String for name in _TEXTS} | {"seed": pl.Int64, _DIVERGED: pl.Int64}
  file.parent.mkdir(parents=True, exist_ok=True)
  with new_file(file) as temporary:
    pl.DataFrame(rows, schema_overrides=schema).write_csv(temporary)
  return len(rows)


def finished_in(out_dir: pathlib.Path, cells: Sequence[Cell]) -> list[tuple[Cell, str]]:
  """The cells that are finished in a sweep's folder, with the names of their folders there.

  Args:
    out_dir: folder of a sweep.
    cells: of a recipe, without what their data files hold.
  """
  contents = [finished_config(folder) for folder in finished_dirs(out_dir)]
  names = {settings_digest(one["config"]): str(one["config_hash"]) for one in contents if one is not None}
  return [(cell, names[digest]) for cell in cells if (digest := settings_digest(cell.flat)) in names]


def read_kept(recipe_name: str, file: pathlib.Path) -> Kept:
  """Reads the kept results of a recipe.

  Raises:
    DataError: naming file and line, if a line is of no cell of the recipe, of one that another line is of, or holds
      no rate where one is due.
  """
  recipe = RECIPES[recipe_name]
  of_digest = {settings_digest(cell.flat): cell for cell in expand(recipe.settings, {})}
  try:
    table = pl.read_csv(file, schema_overrides={name: pl.String for name in _TEXTS})
  except (pl.exceptions.PolarsError, OSError) as error:
    raise DataError(f"{file} cannot be read: {str(error).splitlines()[0]}") from error
  missing = [name for name in (*_TEXTS, "seed", "wall_s", _DIVERGED, *recipe.metrics) if name not in table.columns]
  if missing:
    raise DataError(f"{file}, line 1: expected a column {missing[0]}, got {', '.join(table.columns)}")
  found: dict[str, dict[str, Any]] = {}
  for number, row in enumerate(table.iter_rows(named=True), start=2):
    if row["settings"] not in of_digest:
      raise DataError(f"{file}, line {number}: {row['cell']} is no cell of recipe {recipe_name} as it is now")
    if row["settings"] in found:
      raise DataError(f"{file}, line {number}: {row['cell']} stands in a line before")
    for name in recipe.metrics:
      value = row[name]
      if not (value is None or (isinstance(value, (int, float)) and 0 <= value <= 1)):
        raise DataError(f"{file}, line {number}: {name} must be between 0 and 1 or empty, got {value!r}")
    found[row["settings"]] = row
  cells = [cell for digest, cell in of_digest.items() if digest in found]
  rows = [{**found[settings_digest(cell.flat)], "config_hash": cell.hash} for cell in cells]
  return Kept(cells, pl.DataFrame(rows, schema=table.schema))


def _row(cell: Cell, measured: Mapping[str, Any], recipe: Recipe, varying: Sequence[str]) -> dict[str, Any]:
  def rounded(name: str) -> float | None:
    value = measured.get(name)
    return None if value is None else round(float(value), _DIGITS)

  return {
    "cell": cell_name(cell, varying),
    "seed": cell.config.seed,
    **{name: rounded(name) for name in recipe.metrics},
    _DIVERGED: measured.get(_DIVERGED),
    "settings": settings_digest(cell.flat),
    "config_hash": measured["config_hash"],
    "version": measured["version"],
    "wall_s": round(measured["wall_s"], 1) if measured.get("wall_s") is not None else None,
  }
