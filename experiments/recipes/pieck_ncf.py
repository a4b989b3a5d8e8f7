"""PIECK, Tables III and IV for deep-learning recommenders: NCF on MovieLens-100K."""

from experiments.recipes.pieck import PIECK, PIECK_ML100K
from experiments.recipes.recipe import Figure, Recipe

_SETTINGS = {
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
_ATTACKS = {"none": (0.0, 0.456), "explicit_boosting": (1.0, 0.4496), "a_ra": (1.0, 0.4507), "a_hum": (1.0, 0.4507),
            "pieck_ipe": (1.0, 0.4539), "pieck_uea": (1.0, 0.4539)}
# Exposure and hits under a_hum, pieck_ipe and pieck_uea.
_DEFENDED = ("a_hum", "pieck_ipe", "pieck_uea")
_DEFENSES = {
  "none": ((1.0, 0.4507), (1.0, 0.4539), (1.0, 0.4539)),
  "norm_bound": ((1.0, 0.4517), (1.0, 0.456), (1.0, 0.4517)),
  "median": ((1.0, 0.439), (1.0, 0.4486), (1.0, 0.4411)),
  "trimmed_mean": ((1.0, 0.4539), (1.0, 0.4528), (1.0, 0.4571)),
  "krum": ((1.0, 0.4358), (1.0, 0.4316), (1.0, 0.4411)),
  "multi_krum": ((1.0, 0.4496), (1.0, 0.4549), (1.0, 0.4536)),
  "bulyan": ((1.0, 0.4433), (1.0, 0.4454), (1.0, 0.4464)),
  "pieck_reg": ((0.0, 0.4358), (0.0, 0.4443), (0.0, 0.4369)),
}


def _figure(attack: str, defense: str, printed: tuple[float, float]) -> Figure:
  where = {"dataset": "ml-100k", "model": "ncf", "attack": attack, "defense": defense}
  return Figure(where, dict(zip(("er@10", "hr@10"), printed, strict=True)))


PIECK_TABLE3_NCF = Recipe(
  title="PIECK Table III, NCF on ML-100K",
  reference=f"{PIECK}, Table III",
  settings=({**_SETTINGS, "attack": ",".join(_ATTACKS), "defense": "none"},),
  metrics=("er@10", "hr@10"),
  figures=tuple(_figure(attack, "none", printed) for attack, printed in _ATTACKS.items()),
)
PIECK_TABLE4_NCF = Recipe(
  title="PIECK Table IV, NCF on ML-100K",
  reference=f"{PIECK}, Table IV",
  settings=({**_SETTINGS, "attack": ",".join(_DEFENDED), "defense": ",".join(_DEFENSES)},),
  metrics=("er@10", "hr@10"),
  figures=tuple(
    _figure(attack, defense, pair)
    for defense, printed in _DEFENSES.items()
    for attack, pair in zip(_DEFENDED, printed, strict=True)
  ),
)
