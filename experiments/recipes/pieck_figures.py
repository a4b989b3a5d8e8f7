"""PIECK, Figures 5 and 7: shares of malicious clients, mined items, negatives. Neither prints numbers."""

from experiments.recipes.pieck import PIECK, PIECK_ML100K, PIECK_SETTINGS_FROM
from experiments.recipes.pieck_table3 import EXPOSURE_AND_HITS
from experiments.recipes.recipe import Recipe

_AXES_ARE_OURS = "the values on the axes are ours, around those that the text names"
_COMMON = {**PIECK_ML100K, "defense": "none", "seed": "0-4"}
_BOTH = "pieck_ipe,pieck_uea"

PIECK_FIGURE5 = Recipe(
  title="PIECK Figure 5, shares of malicious clients and mined items, MF on ML-100K",
  reference=f"{PIECK}, Figure 5, which prints no numbers",
  settings=(
    {**_COMMON, "attack": _BOTH, "defense": "none,pieck_reg", "attacker.malicious_ratio": "0.01,0.02,0.05,0.1,0.2"},
    {**_COMMON, "attack": "pieck_ipe", "pieck_ipe.num_popular": "1,5,10,50,150,250"},
    {**_COMMON, "attack": "pieck_uea", "pieck_uea.num_popular": "5,10,50,150,250,500"},
    {**_COMMON, "attack": _BOTH, "defense": "pieck_reg", "pieck_reg.num_popular": "1,5,10,50,150"},
  ),
  metrics=EXPOSURE_AND_HITS,
  settings_from=(*PIECK_SETTINGS_FROM, f"Section VI-D; {_AXES_ARE_OURS}"),
)
PIECK_FIGURE7 = Recipe(
  title="PIECK Figure 7, negatives of each positive, MF on ML-100K",
  reference=f"{PIECK}, Figure 7, which prints no numbers",
  settings=({**_COMMON, "attack": "none", "train.num_negatives": "1,2,4,6,8,10,11,12,15"},),
  metrics=("hr@10",),
  settings_from=(*PIECK_SETTINGS_FROM, f"supplement B; {_AXES_ARE_OURS}"),
)
