"""From what the command line asks for to the cells of recipes."""

from __future__ import annotations

from experiments.grid import Cell, expand
from experiments.recipes import RECIPES
from experiments.sweep.flags import Options
from experiments.sweep.recipe_blocks import fitted_blocks
from experiments.sweep.scale import covering, quick_blocks


def blocks_of(options: Options) -> tuple[list[dict[str, str]], dict[str, str]]:
  """The grids that the command line asks for, and the settings that each of them is to have.

  Raises:
    UsageError: if a recipe cannot be had for the model or the data set.
  """
  overrides = dict(options.settings)
  if not options.recipes:
    return [{}], overrides
  blocks = []
  for name in options.recipes:
    fitted, overrides = _blocks_of_recipe(name, options)
    blocks += fitted
  return blocks, overrides


def cells_of_recipe(name: str, options: Options) -> list[Cell]:
  """The cells of one of the recipes, at the scale that is asked for.

  Raises:
    UsageError: if the recipe cannot be had for the model or the data set.
  """
  cells = expand(*_blocks_of_recipe(name, options), all_concern=False)
  return covering(cells) if options.scale == "quick" else cells


def _blocks_of_recipe(name: str, options: Options) -> tuple[list[dict[str, str]], dict[str, str]]:
  settings = RECIPES[name].settings
  return fitted_blocks(name, quick_blocks(settings) if options.scale == "quick" else settings, options.settings)
