"""PIECK, Tables V, VII, IX and XI: list lengths, negatives, several targets, losses; MF on MovieLens-100K."""

import dataclasses
from collections.abc import Iterator, Sequence

from experiments.recipes.pieck import PIECK, PIECK_SETTINGS_FROM, blocks_of_rows, figures_of_rows
from experiments.recipes.pieck_table3 import EXPOSURE_AND_HITS
from experiments.recipes.recipe import Figure, Recipe

_AT_OTHER_LENGTHS = ("er@5", "hr@5", "er@20", "hr@20")

PIECK_TABLE5 = Recipe(
  title="PIECK Table V, list lengths, MF on ML-100K",
  reference=f"{PIECK}, Table V",
  settings=blocks_of_rows({}),
  metrics=_AT_OTHER_LENGTHS,
  figures=figures_of_rows({}, _AT_OTHER_LENGTHS, (
    (0.00, 38.92, 0.46, 76.78),
    (85.99, 39.34, 90.21, 76.88),
    (0.46, 39.34, 6.95, 77.52),
    (93.62, 38.71, 93.51, 77.52),
    (0.00, 39.66, 0.68, 75.93),
  )),
  settings_from=PIECK_SETTINGS_FROM,
)

_TEN_NEGATIVES = {"train.num_negatives": "10", "pieck_ipe.num_popular": "10", "pieck_uea.num_popular": "15"}


def _targets(count: str, strategy: str) -> dict[str, str]:
  """Several targets; N as supplement C has it for the strategy."""
  of_ipe, of_uea = {"together": ("5", "50"), "copy": ("15", "250")}[strategy]
  return {
    "attacker.num_targets": count,
    "pieck_ipe.strategy": strategy, "pieck_ipe.num_popular": of_ipe,
    "pieck_uea.strategy": strategy, "pieck_uea.num_popular": of_uea,
  }


_COPIED = (
  (0.23, 57.16),
  (59.16, 57.26),
  (0.21, 57.58),
  (93.93, 57.90),
  (0.50, 58.43),
)
PIECK_TABLE7 = Recipe(
  title="PIECK Table VII, ten negatives and three targets, MF on ML-100K",
  reference=f"{PIECK}, Table VII",
  settings=(*blocks_of_rows(_TEN_NEGATIVES), *blocks_of_rows(_targets("3", "copy"))),
  metrics=EXPOSURE_AND_HITS,
  figures=(
    *figures_of_rows({"train.num_negatives": 10}, EXPOSURE_AND_HITS, (
      (0.00, 57.26),
      (30.75, 57.58),
      (1.03, 55.99),
      (89.86, 57.79),
      (0.68, 54.51),
    )),
    *figures_of_rows({"attacker.num_targets": 3}, EXPOSURE_AND_HITS, _COPIED),
  ),
  settings_from=(*PIECK_SETTINGS_FROM, "Section VI-G (N with ten negatives), supplement C (N of copies)"),
)

_TOGETHER = {
  2: ((0.00, 57.26), (75.61, 57.58), (0.80, 57.48), (92.72, 57.05), (0.00, 56.2)),
  3: ((0.23, 57.16), (57.09, 57.48), (0.46, 58.01), (87.33, 57.05), (0.00, 57.69)),
  4: ((0.23, 57.16), (39.55, 57.16), (0.05, 57.90), (85.24, 56.73), (0.00, 58.11)),
  5: ((0.23, 57.16), (32.70, 56.84), (0.02, 58.22), (81.84, 56.31), (0.13, 58.22)),
}
_COPIES = {
  3: _COPIED,
  5: ((0.23, 57.16), (54.76, 56.73), (2.33, 58.01), (97.65, 57.69), (0.34, 58.32)),
}


def _figures_of_targets(count: int, strategy: str, rows: Sequence[Sequence[float]]) -> Iterator[Figure]:
  for figure in figures_of_rows({"attacker.num_targets": count}, EXPOSURE_AND_HITS, rows):
    attack = figure.where["attack"]
    if attack != "none":
      yield dataclasses.replace(figure, where={**figure.where, f"{attack}.strategy": strategy})
    elif strategy == "together":
      # The row without attack stands in both halves of the table, and is one run.
      yield figure


PIECK_TABLE9 = Recipe(
  title="PIECK Table IX, several targets, MF on ML-100K",
  reference=f"{PIECK}, Table IX",
  settings=(
    *blocks_of_rows(_targets(",".join(map(str, _TOGETHER)), "together")),
    *blocks_of_rows(_targets(",".join(map(str, _COPIES)), "copy")),
  ),
  metrics=EXPOSURE_AND_HITS,
  figures=tuple(
    figure
    for strategy, columns in (("together", _TOGETHER), ("copy", _COPIES))
    for count, rows in columns.items()
    for figure in _figures_of_targets(count, strategy, rows)
  ),
  settings_from=(*PIECK_SETTINGS_FROM, "supplement C (N for either strategy)"),
)

PIECK_TABLE11 = Recipe(
  title="PIECK Table XI, losses, MF on ML-100K",
  reference=f"{PIECK}, Table XI",
  settings=blocks_of_rows({"train.loss": "bce,bpr"}),
  metrics=EXPOSURE_AND_HITS,
  figures=(
    *figures_of_rows({"train.loss": "bce"}, EXPOSURE_AND_HITS, (
      (0.23, 57.16),
      (87.47, 57.69),
      (1.25, 56.31),
      (93.39, 57.69),
      (0.00, 55.89),
    )),
    *figures_of_rows({"train.loss": "bpr"}, EXPOSURE_AND_HITS, (
      (0.00, 57.26),
      (83.14, 57.48),
      (4.67, 54.08),
      (90.21, 56.95),
      (0.00, 53.45),
    )),
  ),
  settings_from=(*PIECK_SETTINGS_FROM, "supplement E; the step size with BPR is not stated, and is that with BCE here"),
)
