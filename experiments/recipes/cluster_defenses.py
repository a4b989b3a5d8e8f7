"""ClusterAttack, Tables 3, 4 and 5 and Figures 2 and 3: rules, UNION, shares of malicious users, K; MF on ML-1M."""

from collections.abc import Mapping

from experiments.recipes.cluster import CLUSTER, CLUSTER_SETTINGS, CLUSTER_SETTINGS_FROM
from experiments.recipes.drawing import Drawing
from experiments.recipes.recipe import Figure, Recipe

_METRICS = ("hr@5", "ndcg@5")


def _rules(share: str) -> dict[str, Mapping[str, str]]:
  """Rules over whole uploads, told the share of malicious users, by what they are joined with."""
  told = {"scope": "client", "f_rule": "per_round", "f": share, "scale": "mean"}
  selecting = {f"multi_krum.{name}": value for name, value in told.items()}
  return {
    "trimmed_mean": {f"trimmed_mean.{name}": value for name, value in told.items()},
    "krum": {f"krum.{name}": value for name, value in told.items()},
    "multi_krum": {**selecting, "multi_krum.reading": "drop", "multi_krum.weights": "samples"},
    "norm_bound": {"norm_bound.scope": "client", "norm_bound.max_norm": "0.1"},
  }


def _defended(defense: str, share: str) -> dict[str, str]:
  rules = _rules(share)
  own = {name: value for part in defense.split("+") for name, value in rules.get(part, {}).items()}
  return {**CLUSTER_SETTINGS, "attacker.malicious_ratio": share, "defense": defense, **own}


def _hits(attack: str, defense: str, value: float, share: float | None = None) -> Figure:
  where: dict[str, str | float | None] = {"dataset": "ml-1m", "model": "mf", "attack": attack, "defense": defense}
  return Figure(where if share is None else {**where, "attacker.malicious_ratio": share}, {"hr@5": value})


_CHAINS = ("union+multi_krum", "union+norm_bound")
_TABLE3 = {
  "union+multi_krum": {"cluster": 0.03378, "cluster_cl": 0.03525},
  "union+norm_bound": {"cluster": 0.03449, "cluster_cl": 0.03566},
}
CLUSTER_TABLE3 = Recipe(
  title="ClusterAttack Table 3, ClusterAttack+CL against UNION, MF on ML-1M",
  reference=f"{CLUSTER}, Table 3",
  settings=tuple({**_defended(defense, "0.01"), "attack": "none,cluster,cluster_cl"} for defense in _CHAINS),
  metrics=_METRICS,
  figures=tuple(
    _hits(attack, defense, value) for defense, row in _TABLE3.items() for attack, value in row.items()
  ),
  settings_from=CLUSTER_SETTINGS_FROM,
)

_TABLE4 = {
  "fedattack": (0.03491, 0.03358),
  "lie": (0.03465, 0.03259),
  "fang": (0.03426, 0.03038),
  "cluster": (0.03001, 0.02451),
}
CLUSTER_TABLE4 = Recipe(
  title="ClusterAttack Table 4, half a percent and one percent of malicious users, MF on ML-1M",
  reference=f"{CLUSTER}, Table 4",
  settings=(
    {**CLUSTER_SETTINGS, "attack": "none"},
    {**CLUSTER_SETTINGS, "attack": ",".join(_TABLE4), "attacker.malicious_ratio": "0.005,0.01"},
  ),
  metrics=_METRICS,
  figures=(
    # Printed twice, once for each share.
    _hits("none", "none", 0.03549),
    *(
      _hits(attack, "none", value, share)
      for attack, row in _TABLE4.items()
      for share, value in zip((0.005, 0.01), row, strict=True)
    ),
  ),
  settings_from=CLUSTER_SETTINGS_FROM,
)

_FOUR = ("fedattack", "lie", "fang", "cluster")
_TABLE5 = {
  "none": (0.03195, 0.03147, 0.02793, 0.01950),
  "union+multi_krum": (0.03438, 0.03447, 0.03454, 0.03291),
  "union+norm_bound": (0.03490, 0.03464, 0.03464, 0.03351),
}
CLUSTER_TABLE5 = Recipe(
  title="ClusterAttack Table 5, UNION against 5 % malicious users, MF on ML-1M",
  reference=f"{CLUSTER}, Table 5",
  settings=tuple({**_defended(defense, "0.05"), "attack": f"none,{','.join(_FOUR)}"} for defense in _TABLE5),
  metrics=_METRICS,
  figures=tuple(
    _hits(attack, defense, value)
    for defense, row in _TABLE5.items()
    for attack, value in zip(_FOUR, row, strict=True)
  ),
  settings_from=CLUSTER_SETTINGS_FROM,
)

_GROUPS = ("none", "trimmed_mean", "krum", "multi_krum", "norm_bound", "fl_wbc", *_CHAINS)
CLUSTER_FIGURE2 = Recipe(
  title="ClusterAttack Figure 2, attacks against eight groups of defenses, MF on ML-1M",
  reference=f"{CLUSTER}, Figure 2, which prints no numbers",
  settings=tuple(
    {**_defended(defense, "0.01"), "attack": "none,label_flip,fedattack,gaussian,lie,fang,cluster"}
    for defense in _GROUPS
  ),
  metrics=_METRICS,
  settings_from=(*CLUSTER_SETTINGS_FROM, "the scale of FL-WBC's noise is not stated: its published code's"),
  drawings=(
    Drawing(
      "cluster_figure2", "attacks against groups of defenses", "bars", ("defense",), ("attack",), ("hr@5",),
      dashed={"attack": "none", "defense": "none"},
    ),
  ),
)

CLUSTER_FIGURE3 = Recipe(
  title="ClusterAttack Figure 3, first K with and without adaptive clustering, MF on ML-1M",
  reference=f"{CLUSTER}, Figure 3, which prints no numbers",
  settings=(
    {**CLUSTER_SETTINGS, "attack": "none"},
    {
      **CLUSTER_SETTINGS, "attack": "cluster", "cluster.initial_clusters": "1,2,4,8,16",
      "cluster.adaptive": "true,false",
    },
  ),
  metrics=(*_METRICS, "attack_clusters", "attack_loss"),
  settings_from=CLUSTER_SETTINGS_FROM,
  drawings=(
    Drawing(
      "cluster_figure3", "adaptive clustering by the first number of clusters", "lines",
      ("cluster.initial_clusters",), ("cluster.adaptive",), ("hr@5",), dashed={"attack": "none"},
    ),
  ),
)
