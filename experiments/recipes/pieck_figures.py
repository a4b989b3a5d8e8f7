"""PIECK, Figures 5 and 7: shares of malicious clients, mined items, negatives. Neither prints numbers."""

from experiments.recipes.drawing import Chosen, Drawing, Panel
from experiments.recipes.pieck import PIECK, PIECK_ML100K, PIECK_SETTINGS_FROM
from experiments.recipes.pieck_table3 import EXPOSURE_AND_HITS
from experiments.recipes.recipe import Recipe

_AXES_ARE_OURS = "the values on the axes are ours, around those that the text names"
_COMMON = {**PIECK_ML100K, "defense": "none", "seed": "0-4"}
_BOTH = "pieck_ipe,pieck_uea"
_SHARE = "attacker.malicious_ratio"
_OF_ATTACKS = ("pieck_ipe.num_popular", "pieck_uea.num_popular")
_OF_DEFENSE = "pieck_reg.num_popular"
# What is not on the x axis of a panel stays as it is elsewhere; None where the method takes no part.
_ATTACKS_AS_ELSEWHERE: Chosen = {"pieck_ipe.num_popular": (10, None), "pieck_uea.num_popular": (50, None)}


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
  drawings=(
    Drawing(
      "pieck_figure5", "shares of malicious users, and numbers of mined items N", "lines", (_SHARE,), ("attack",),
      EXPOSURE_AND_HITS,
      panels=(
        Panel("(a) share, attacks", {"defense": "none", **_ATTACKS_AS_ELSEWHERE}),
        Panel("(b) share, defense", {"defense": "pieck_reg", _OF_DEFENSE: 10}),
        Panel("(c) N, attacks", {"defense": "none", _SHARE: 0.05}, _OF_ATTACKS),
        Panel("(d) N, defense", {"defense": "pieck_reg", _SHARE: 0.05}, (_OF_DEFENSE,)),
      ),
    ),
  ),
)
PIECK_FIGURE7 = Recipe(
  title="PIECK Figure 7, negatives of each positive, MF on ML-100K",
  reference=f"{PIECK}, Figure 7, which prints no numbers",
  settings=({**_COMMON, "attack": "none", "train.num_negatives": "1,2,4,6,8,10,11,12,15"},),
  metrics=("hr@10",),
  settings_from=(*PIECK_SETTINGS_FROM, f"supplement B; {_AXES_ARE_OURS}"),
  drawings=(
    Drawing("pieck_figure7", "negatives of each positive", "lines", ("train.num_negatives",), (), ("hr@10",)),
  ),
)
