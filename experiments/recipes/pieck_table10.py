"""PIECK, Table X: clients whose step size is not the server's, MF on MovieLens-100K."""

from experiments.recipes.pieck import PIECK, PIECK_ML100K, PIECK_SETTINGS_FROM, percents
from experiments.recipes.pieck_table3 import EXPOSURE_AND_HITS
from experiments.recipes.recipe import Figure, Recipe

_ATTACKS = ("none", "pieck_ipe", "pieck_uea")
_COMMON = {**PIECK_ML100K, "attack": ",".join(_ATTACKS), "defense": "none", "seed": "0-4"}
_RATE, _RATES = "train.client_learning_rate", "train.client_learning_rates"


def _row(where: dict[str, str | float | None], printed: tuple[tuple[float, float], ...], why: str = "") -> list[Figure]:
  return [
    percents({"attack": attack, **where}, EXPOSURE_AND_HITS, pair, why)
    for attack, pair in zip(_ATTACKS, printed, strict=True)
  ]


PIECK_TABLE10 = Recipe(
  title="PIECK Table X, step sizes of clients, MF on ML-100K",
  reference=f"{PIECK}, Table X",
  settings=(_COMMON, {**_COMMON, _RATE: "0.01"}, {**_COMMON, _RATE: "0.01", _RATES: "log_uniform"}),
  metrics=EXPOSURE_AND_HITS,
  figures=(
    *_row({_RATE: None}, ((0.23, 57.16), (87.47, 57.69), (93.39, 57.69))),
    *_row({_RATE: 0.01, _RATES: "fixed"}, ((0.00, 49.31), (98.06, 48.99), (95.56, 48.36))),
    *_row(
      {_RATES: "log_uniform"}, ((0.00, 21.74), (55.13, 22.16), (55.69, 21.95)),
      "the paper does not say how and when clients draw their step sizes",
    ),
  ),
  settings_from=(*PIECK_SETTINGS_FROM, "supplement D; one draw a client, evenly in the logarithm, is our reading"),
)
