"""PIECK, Tables III and IV for deep-learning recommenders: NCF on MovieLens-100K."""

from experiments.recipes.pieck import PIECK, PIECK_ML100K, PIECK_SETTINGS_FROM, percents
from experiments.recipes.pieck_table3 import EXPOSURE_AND_HITS, FEDRECA_APART, TABLE3
from experiments.recipes.recipe import Figure, Recipe

NCF_SETTINGS = {
  **PIECK_ML100K,
  "model": "ncf",
  # As in the published code for NCF, which differs from that for MF.
  "pieck_uea.reading": "mean",
  "pieck_uea.num_popular": "10",
  "pieck_ipe.lengthen_above": "0.95",
  "pieck_reg.beta": "45",
  "pieck_reg.gamma": "45",
  "norm_bound.max_norm": "0.5",
  "seed": "0-4",
}
_ATTACKS = {
  "none": (0.00, 45.6),
  "explicit_boosting": (100.00, 44.96),
  "a_ra": (100.00, 45.07),
  "a_hum": (100.00, 45.07),
  "pieck_ipe": (100.00, 45.39),
  "pieck_uea": (100.00, 45.39),
}
# Exposure and hits under a_hum, pieck_ipe and pieck_uea.
_DEFENDED = ("a_hum", "pieck_ipe", "pieck_uea")
_DEFENSES = {
  "none": ((100.00, 45.07), (100.00, 45.39), (100.00, 45.39)),
  "norm_bound": ((100.00, 45.17), (100.00, 45.60), (100.00, 45.17)),
  "median": ((100.00, 43.90), (100.00, 44.86), (100.00, 44.11)),
  "trimmed_mean": ((100.00, 45.39), (100.00, 45.28), (100.00, 45.71)),
  "krum": ((100.00, 43.58), (100.00, 43.16), (100.00, 44.11)),
  "multi_krum": ((100.00, 44.96), (100.00, 45.49), (100.00, 45.36)),
  "bulyan": ((100.00, 44.33), (100.00, 44.54), (100.00, 44.64)),
  "pieck_reg": ((0.00, 43.58), (0.00, 44.43), (0.00, 43.69)),
}


def _figure(attack: str, defense: str, printed: tuple[float, float]) -> Figure:
  return percents({"model": "ncf", "attack": attack, "defense": defense}, EXPOSURE_AND_HITS, printed)


PIECK_TABLE3_NCF = Recipe(
  title="PIECK Table III, NCF on ML-100K",
  reference=TABLE3,
  settings=({**NCF_SETTINGS, "attack": ",".join(_ATTACKS), "defense": "none"},),
  metrics=EXPOSURE_AND_HITS,
  figures=tuple(_figure(attack, "none", printed) for attack, printed in _ATTACKS.items()),
  settings_from=PIECK_SETTINGS_FROM,
  missing=FEDRECA_APART,
)
PIECK_TABLE4_NCF = Recipe(
  title="PIECK Table IV, NCF on ML-100K",
  reference=f"{PIECK}, Table IV",
  settings=({**NCF_SETTINGS, "attack": ",".join(_DEFENDED), "defense": ",".join(_DEFENSES)},),
  metrics=EXPOSURE_AND_HITS,
  figures=tuple(
    _figure(attack, defense, pair)
    for defense, printed in _DEFENSES.items()
    for attack, pair in zip(_DEFENDED, printed, strict=True)
  ),
  settings_from=PIECK_SETTINGS_FROM,
)
