"""PIECK, Table III on MovieLens-1M and Amazon Digital Music, for both models."""

from collections.abc import Mapping

from experiments.recipes.pieck import PIECK_ML100K, PIECK_SETTINGS_FROM, percents
from experiments.recipes.pieck_ncf import NCF_ATTACKS, NCF_SETTINGS
from experiments.recipes.pieck_table3 import EXPOSURE_AND_HITS, MASKED, TABLE3
from experiments.recipes.recipe import Recipe

_ATTACKS = ("none", "fedrecattack", "explicit_boosting", "a_ra", "a_hum", "pieck_ipe", "pieck_uea")
# Exposure and hits in the order of the attacks.
_ML1M = {
  "mf": ((0.00, 61.32), (0.00, 61.37), (16.75, 61.04), (0.00, 61.18), (12.88, 61.11), (90.47, 61.21), (98.04, 61.03)),
  "ncf": (
    (0.00, 47.70), (0.00, 47.52), (100.00, 46.46), (100.00, 47.20), (100.00, 47.33), (100.00, 47.28), (100.00, 47.30),
  ),
}
_AMAZON = {
  "mf": ((0.09, 24.25), (0.05, 24.28), (45.05, 24.24), (0.01, 24.18), (27.26, 24.05), (50.21, 23.93), (72.11, 24.09)),
  "ncf": (
    (0.00, 17.80), (0.00, 17.84), (100.00, 17.81), (100.00, 17.80), (100.00, 17.77), (100.00, 17.80), (100.00, 17.95),
  ),
}


def _recipe(
  name: str, dataset: str, printed: Mapping[str, tuple[tuple[float, float], ...]], changed: Mapping[str, str],
  of_mf: Mapping[str, str],
) -> Recipe:
  both = {"dataset": dataset, "defense": "none", "seed": "0-4", **changed}
  blocks = ({**PIECK_ML100K, **both, **of_mf}, {**NCF_SETTINGS, **both})
  return Recipe(
    title=f"PIECK Table III, MF and NCF on {name}",
    reference=TABLE3,
    settings=tuple({**block, **attack} for block in blocks for attack in ({"attack": NCF_ATTACKS}, MASKED)),
    metrics=EXPOSURE_AND_HITS,
    figures=tuple(
      percents({"dataset": dataset, "model": model, "attack": attack}, EXPOSURE_AND_HITS, pair)
      for model, rows in printed.items()
      for attack, pair in zip(_ATTACKS, rows, strict=True)
    ),
    settings_from=PIECK_SETTINGS_FROM,
  )


PIECK_TABLE3_ML1M = _recipe("ML-1M", "ml-1m", _ML1M, {}, {})
# Two users of this set have no held-out item. Clients a round for MF: supplement A.2.
PIECK_TABLE3_AMAZON = _recipe(
  "Amazon Digital Music", "amazon-digital-music", _AMAZON, {"data.too_few": "train_only"},
  {"train.clients_per_round": "1024"},
)
