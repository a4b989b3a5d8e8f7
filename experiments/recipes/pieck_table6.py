"""PIECK, Table VI: the parts of PIECK-IPE's loss and the two terms of the defense apart, MF on MovieLens-100K."""

from experiments.recipes.pieck import PIECK, PIECK_ML100K, PIECK_SETTINGS_FROM, percents
from experiments.recipes.pieck_table3 import EXPOSURE_AND_HITS
from experiments.recipes.recipe import Recipe

_COMMON = {**PIECK_ML100K, "attack": "pieck_ipe,pieck_uea", "seed": "0-4"}
_ATTACKS = ("pieck_ipe", "pieck_uea")
_NO_DEFENSE = ((87.47, 57.69), (93.39, 57.69))
# Weights of Re1 and Re2, then exposure and hits under the two attacks.
_TERMS = {
  (1.0, 0.0): ((26.2, 55.46), (0.00, 54.19)),
  (0.0, 1.0): ((49.2, 56.63), (69.36, 56.73)),
  (1.0, 1.0): ((1.25, 56.31), (0.00, 55.89)),
}
# Metric, kappa and subsets, then exposure and hits. The last row of the left half is the attack without defense.
_PARTS = {
  ("kl", "ones", False): (39.75, 57.48),
  ("cosine", "ones", False): (46.01, 56.95),
  ("cosine", "subset", False): (71.41, 57.58),
}

PIECK_TABLE6 = Recipe(
  title="PIECK Table VI, parts of the attack's loss and terms of the defense, MF on ML-100K",
  reference=f"{PIECK}, Table VI",
  settings=(
    *(
      {
        **_COMMON, "attack": "pieck_ipe", "defense": "none", "pieck_ipe.metric": metric,
        "pieck_ipe.weighting": weighting, "pieck_ipe.partition": str(partition).lower(),
      }
      for metric, weighting, partition in _PARTS
    ),
    {**_COMMON, "defense": "none"},
    *(
      {**_COMMON, "defense": "pieck_reg", "pieck_reg.beta": str(beta), "pieck_reg.gamma": str(gamma)}
      for beta, gamma in _TERMS
    ),
  ),
  metrics=EXPOSURE_AND_HITS,
  figures=(
    *(
      percents(
        {
          "attack": "pieck_ipe", "defense": "none", "pieck_ipe.metric": metric, "pieck_ipe.weighting": weighting,
          "pieck_ipe.partition": partition,
        },
        EXPOSURE_AND_HITS, pair,
      )
      for (metric, weighting, partition), pair in _PARTS.items()
    ),
    percents(
      {"attack": "pieck_ipe", "defense": "none", "pieck_ipe.partition": True}, EXPOSURE_AND_HITS, _NO_DEFENSE[0]
    ),
    percents({"attack": "pieck_uea", "defense": "none"}, EXPOSURE_AND_HITS, _NO_DEFENSE[1]),
    *(
      percents({"attack": attack, "pieck_reg.beta": beta, "pieck_reg.gamma": gamma}, EXPOSURE_AND_HITS, pair)
      for (beta, gamma), printed in _TERMS.items()
      for attack, pair in zip(_ATTACKS, printed, strict=True)
    ),
  ),
  settings_from=(
    *PIECK_SETTINGS_FROM,
    "published code: both weights 1",
    "Section VI-E and Eq. 9: without subsets and kappa the mean over all mined items; that kappa is left out, and not"
    " replaced by 1 / N, is a reading (docs/fidelity.md)",
  ),
)
