"""What a recipe is: the grid of a published table, and what the table prints."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from experiments.recipes.drawing import Drawing


@dataclasses.dataclass(frozen=True)
class Figure:
  """Numbers of one cell of a published table.

  Attributes:
    where: the configuration fields, as values, that say which row of ours it belongs to.
    values: metrics in [0, 1] by column name.
    not_comparable: why ours and the paper's are no draws of the same thing (other data, another target, a setting that
      the paper does not state); empty where they are.
  """

  where: Mapping[str, str | float | None]
  values: Mapping[str, float]
  not_comparable: str = ""


@dataclasses.dataclass(frozen=True)
class Recipe:
  """One table of a paper, or a part of it.

  Attributes:
    title: one line.
    reference: paper and table; empty for recipes that follow no paper.
    settings: grids, each a mapping from flag to comma list as on the command line; several where the table is
      not one product.
    metrics: the table's columns.
    figures: what the paper prints; none for a plot that prints no numbers.
    settings_from: where the settings are stated, a line each.
    missing: what the table has and this recipe does not, and why, a line each; it is said with the results.
    drawings: figures that are drawn of the results.
  """

  title: str
  reference: str
  settings: tuple[Mapping[str, str], ...]
  metrics: tuple[str, ...]
  figures: tuple[Figure, ...] = ()
  settings_from: tuple[str, ...] = ()
  missing: tuple[str, ...] = ()
  drawings: tuple[Drawing, ...] = ()
