"""What a command line asks for, as its folder keeps it for reports."""

from __future__ import annotations

from collections.abc import Sequence

from experiments.grid import Cell, cell_name, varying_fields
from experiments.report.asked import Asked, AskedRecipe
from experiments.sweep.flags import Options
from experiments.sweep.recipe_cells import cells_of_recipe
from experiments.sweep.scale import QUICK_NOTE


def asked_of(options: Options, cells: Sequence[Cell]) -> Asked:
  """What a sweep is asked for.

  Args:
    options: of the command line.
    cells: of this shard.
  """
  varying = varying_fields(cells)
  notes = (QUICK_NOTE,) if options.scale == "quick" else ()
  here = {cell.without_data for cell in cells}
  recipes = {}
  for name in options.recipes:
    own = [cell.without_data for cell in cells_of_recipe(name, options)]
    recipes[name] = AskedRecipe(tuple(key for key in own if key in here), options.settings, notes)
  return Asked({cell.without_data: cell_name(cell, varying) for cell in cells}, recipes)
