"""Every base recommender on MovieLens-100K without attack, in its paper's setting, under both candidate protocols."""

from collections.abc import Mapping

from experiments.recipes.pieck import PIECK
from experiments.recipes.recipe import Figure, Recipe

SPATTACK = "Spattack (AAAI 2025)"
_COMMON = {
  "dataset": "ml-100k", "attack": "none", "defense": "none", "eval.every": "10", "eval.ks": "10", "seed": "0-2",
}
# 950 rounds visit every user as often as the paper's 6,000 on MovieLens-1M.
_SETTINGS: tuple[Mapping[str, str], ...] = (
  {"train.preset": "pieck", "model": "mf"},
  {"train.preset": "spattack", "model": "mf", "train.clients_per_round": "943"},
  {"train.preset": "cluster_union", "model": "mf"},
  {"train.preset": "pieck", "model": "ncf"},
  {"train.preset": "psmu", "model": "lightgcn", "train.epochs": "100"},
  {"train.preset": "spattack", "model": "fedgnn", "train.clients_per_round": "943"},
  {"train.preset": "cluster_union", "model": "sasrec", "sasrec.length": "100"},
)
_PROTOCOLS = ({"eval.candidates": "all"}, {"eval.candidates": "sampled", "eval.num_negatives": "99"})

_SAMPLED = {"dataset": "ml-100k", "eval.candidates": "sampled"}

MODELS_ML100K = Recipe(
  title="Five models on ML-100K without attack",
  reference=f"{PIECK}, Table III (MF and NCF); {SPATTACK}, Table 3 (MF with BPR, among 100)",
  settings=tuple({**_COMMON, **setting, **protocol} for setting in _SETTINGS for protocol in _PROTOCOLS),
  metrics=("hr@10", "ndcg@10"),
  figures=(
    Figure({**_SAMPLED, "model": "mf", "train.loss": "bce"}, {"hr@10": 0.5716}),
    Figure({**_SAMPLED, "model": "ncf"}, {"hr@10": 0.456}),
    Figure({**_SAMPLED, "model": "mf", "train.reduction": "sum"}, {"hr@10": 0.4051}),
  ),
)
