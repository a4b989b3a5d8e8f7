"""Spattack, Table 3 and Figure 3: attacks on matrix factorisation by 3 % malicious clients, on MovieLens-100K."""

from experiments.recipes.models_ml100k import SPATTACK
from experiments.recipes.recipe import Figure, Recipe

_SETTINGS = {
  "dataset": "ml-100k",
  "model": "mf",
  "train.preset": "spattack",
  # 29 malicious clients beside 943 users.
  "attacker.malicious_ratio": "0.03",
  "attacker.ratio_of": "all",
  "eval.preset": "spattack",
  "eval.every": "10",
  "seed": "0-2",
}
_DENSE = "none,spattack_od,spattack_ld"
_ALL = f"{_DENSE},spattack_os,spattack_ls"
# Baselines work on data and on honest gradients: their clients are users taken over, with the data that they had.
_BASELINES = {
  "attack": "label_flip,fedattack,gaussian,lie,cluster,fang", "attacker.membership": "converted",
}
_METRICS = ("hr@5", "ndcg@5", "hr@10", "ndcg@10")
_PRINTED = {
  "none": (0.2513, 0.1643, 0.4051, 0.2131),
  "label_flip": (0.2517, 0.1706, 0.4083, 0.2206),
  "fedattack": (0.2550, 0.1721, 0.4094, 0.2213),
  "gaussian": (0.2550, 0.1729, 0.4116, 0.2230),
  "lie": (0.2539, 0.1724, 0.4116, 0.2229),
  "cluster": (0.2461, 0.1678, 0.3982, 0.2166),
  "fang": (0.1957, 0.1229, 0.2919, 0.1541),
  "spattack_ls": (0.1018, 0.0620, 0.2163, 0.0980),
  "spattack_ld": (0.0721, 0.0380, 0.1601, 0.0658),
  "spattack_os": (0.0594, 0.0362, 0.0997, 0.0492),
  "spattack_od": (0.0530, 0.0339, 0.0944, 0.0470),
}

SPATTACK_TABLE3 = Recipe(
  title="Spattack Table 3, MF on ML-100K",
  reference=f"{SPATTACK}, Table 3 (no defense); the other rules as in its Figure 3, which prints no numbers",
  settings=(
    {**_SETTINGS, "attack": _ALL, "defense": "none"},
    {**_SETTINGS, **_BASELINES, "defense": "none"},
    {**_SETTINGS, "attack": _ALL, "defense": "norm_bound", "norm_bound.max_norm": "1.0"},
    {**_SETTINGS, "attack": _ALL, "defense": "median"},
    # Published rules are told how many malicious clients there are.
    # The paper leaves out the sparse attacks here: the number of malicious rows differs from item to item.
    {**_SETTINGS, "attack": _DENSE, "defense": "trimmed_mean", "trimmed_mean.f_rule": "malicious",
     "trimmed_mean.f": "1", "trimmed_mean.reading": "around_median"},
    {**_SETTINGS, "attack": _DENSE, "defense": "krum", "krum.f_rule": "malicious", "krum.f": "1",
     "krum.distance": "plain", "krum.too_few": "select"},
  ),
  metrics=_METRICS,
  figures=tuple(
    Figure(
      {"dataset": "ml-100k", "model": "mf", "attack": attack, "defense": "none"},
      dict(zip(_METRICS, printed, strict=True)),
    )
    for attack, printed in _PRINTED.items()
  ),
)
