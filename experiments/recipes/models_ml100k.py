"""Every base recommender on MovieLens-100K without attack, in its paper's setting, under both candidate protocols."""

from collections.abc import Mapping

from experiments.recipes.pieck import PIECK, PIECK_ML100K
from experiments.recipes.recipe import Figure, Recipe

SPATTACK = "Spattack (AAAI 2025)"
_COMMON = {
  "dataset": "ml-100k", "attack": "none", "defense": "none", "eval.every": "10", "eval.ks": "10", "seed": "0-2",
}
_TRAIN_PIECK = {
  name: value for name, value in PIECK_ML100K.items() if name.startswith("train.") and name != "train.epochs"
}
# Plain gradients of sums, one mean per item, all clients in every round, an L2 term on every copy.
TRAIN_SPATTACK = {
  "train.epochs": "200", "train.clients_per_round": "943", "train.loss": "bpr", "train.reduction": "sum",
  "train.learning_rate": "0.01", "train.l2": "0.1", "train.l2_rows": "copies", "none.scale": "mean",
}
# 950 rounds visit every user as often as the paper's 6,000 on MovieLens-1M.
TRAIN_CLUSTER = {
  "train.epochs": "50", "train.clients_per_round": "50", "train.participation": "uniform", "train.loss": "bpr",
  "train.reduction": "mean", "train.server_optimizer": "adam", "train.l2": "1e-5", "train.l2_rows": "table",
  "none.scale": "mean", "none.scope": "client", "none.weights": "samples",
}
_SETTINGS: tuple[Mapping[str, str], ...] = (
  {**_TRAIN_PIECK, "model": "mf", "mf.dim": "32", "train.epochs": "300"},
  {**TRAIN_SPATTACK, "model": "mf", "mf.dim": "32"},
  {
    **TRAIN_CLUSTER, "model": "mf", "mf.dim": "64", "train.learning_rate": "0.002",
    "train.client_optimizer": "adam_table", "train.dropout": "0.2",
  },
  {
    **_TRAIN_PIECK, "model": "ncf", "ncf.dim": "8", "ncf.hidden": "8+8", "train.epochs": "60",
    "train.learning_rate": "0.005",
  },
  {
    "model": "lightgcn", "lightgcn.dim": "32", "lightgcn.hidden": "32+16", "train.epochs": "100",
    "train.clients_per_round": "256", "train.loss": "bce", "train.reduction": "mean", "train.num_negatives": "4",
    "train.server_optimizer": "adam", "train.client_optimizer": "adam", "train.learning_rate": "0.001",
  },
  {**TRAIN_SPATTACK, "model": "fedgnn", "fedgnn.dim": "32"},
  {**TRAIN_CLUSTER, "model": "sasrec", "sasrec.length": "100", "train.learning_rate": "0.001"},
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
