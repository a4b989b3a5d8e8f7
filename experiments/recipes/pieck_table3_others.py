"""PIECK, Table III on MovieLens-1M and Amazon Digital Music, for both models; and FedRecA on all three sets."""

from collections.abc import Mapping

from experiments.recipes.drawing import EPOCH, Drawing
from experiments.recipes.pieck import PIECK_ML100K, PIECK_SETTINGS_FROM, percents
from experiments.recipes.pieck_ncf import NCF_SETTINGS
from experiments.recipes.pieck_table3 import EXPOSURE_AND_HITS, FEDRECA_APART, TABLE3
from experiments.recipes.recipe import Recipe

_ATTACKS = ("none", "explicit_boosting", "a_ra", "a_hum", "pieck_ipe", "pieck_uea")
# Exposure and hits in the order of the attacks.
_ML1M = {
  "mf": ((0.00, 61.32), (16.75, 61.04), (0.00, 61.18), (12.88, 61.11), (90.47, 61.21), (98.04, 61.03)),
  "ncf": ((0.00, 47.70), (100.00, 46.46), (100.00, 47.20), (100.00, 47.33), (100.00, 47.28), (100.00, 47.30)),
}
_AMAZON = {
  "mf": ((0.09, 24.25), (45.05, 24.24), (0.01, 24.18), (27.26, 24.05), (50.21, 23.93), (72.11, 24.09)),
  "ncf": ((0.00, 17.80), (100.00, 17.81), (100.00, 17.80), (100.00, 17.77), (100.00, 17.80), (100.00, 17.95)),
}
# The figures of FedRecA.
_FEDRECA = {
  ("ml-100k", "mf"): (0.23, 57.58),
  ("ml-1m", "mf"): (0.00, 61.37),
  ("amazon-digital-music", "mf"): (0.05, 24.28),
  ("ml-100k", "ncf"): (0.00, 45.28),
  ("ml-1m", "ncf"): (0.00, 47.52),
  ("amazon-digital-music", "ncf"): (0.00, 17.84),
}
_SETS: dict[str, Mapping[str, str]] = {
  "ml-100k": {},
  "ml-1m": {},
  # Two users of this set have no held-out item.
  "amazon-digital-music": {"data.too_few": "train_only"},
}


def _blocks(dataset: str) -> list[Mapping[str, str]]:
  """The grids of both models on a set."""
  both = {"dataset": dataset, "defense": "none", "seed": "0-4", **_SETS[dataset]}
  # Supplement A.2.
  of_mf = {"train.clients_per_round": "1024"} if dataset == "amazon-digital-music" else {}
  return [{**PIECK_ML100K, **both, **of_mf}, {**NCF_SETTINGS, **both}]


def _recipe(
  name: str,
  dataset: str,
  printed: Mapping[str, tuple[tuple[float, float], ...]],
  drawings: tuple[Drawing, ...] = (),
) -> Recipe:
  return Recipe(
    title=f"PIECK Table III, MF and NCF on {name}",
    reference=TABLE3,
    settings=tuple({**block, "attack": ",".join(_ATTACKS)} for block in _blocks(dataset)),
    metrics=EXPOSURE_AND_HITS,
    figures=tuple(
      percents({"dataset": dataset, "model": model, "attack": attack}, EXPOSURE_AND_HITS, pair)
      for model, rows in printed.items()
      for attack, pair in zip(_ATTACKS, rows, strict=True)
    ),
    settings_from=PIECK_SETTINGS_FROM,
    missing=FEDRECA_APART,
    drawings=drawings,
  )


PIECK_TABLE3_ML1M = _recipe("ML-1M", "ml-1m", _ML1M, (
  Drawing(
    "pieck_figure6", "(a) the course of training; (b), the costs, is python -m experiments.attack_costs", "lines",
    (EPOCH,), ("attack",), EXPOSURE_AND_HITS, where={"attack": ("none", "pieck_ipe", "pieck_uea")},
    panels_by=("model",),
  ),
))
PIECK_TABLE3_AMAZON = _recipe("Amazon Digital Music", "amazon-digital-music", _AMAZON)
PIECK_TABLE3_FEDRECA = Recipe(
  title="PIECK Table III, FedRecA without its prior knowledge, MF and NCF on three sets",
  reference=TABLE3,
  settings=tuple(
    {**block, "attack": "fedrecattack", "attacker.public_share": "0.0"}
    for dataset in _SETS
    for block in _blocks(dataset)
  ),
  metrics=EXPOSURE_AND_HITS,
  figures=tuple(
    percents({"dataset": dataset, "model": model, "attack": "fedrecattack"}, EXPOSURE_AND_HITS, pair)
    for (dataset, model), pair in _FEDRECA.items()
  ),
  settings_from=(*PIECK_SETTINGS_FROM, "supplement A.3 (interactions are masked, so that none is public)"),
)
