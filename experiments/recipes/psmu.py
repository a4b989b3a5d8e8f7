"""PSMU without images on MovieLens-1M: whether it lifts the least popular item onto every list within a few epochs."""

from collections.abc import Mapping

from experiments.recipes.recipe import Figure, Recipe

PSMU = "PSMU (Yuan et al., 2023)"
_SETTINGS: Mapping[str, str] = {
  "dataset": "ml-1m",
  "defense": "none",
  "eval.preset": "psmu",
  "train.epochs": "16",
  "train.clients_per_round": "256",
  "train.loss": "bce",
  "train.num_negatives": "4",
  "train.learning_rate": "0.001",
  "train.server_optimizer": "adam",
  "train.client_optimizer": "adam",
  "attack": "none,psmu",
  "attacker.malicious_ratio": "0.001",
  "attacker.targets": "least_popular",
  "attacker.start_epoch": "8",
  "seed": "0-2",
}
BLIND_MODELS: tuple[Mapping[str, str], ...] = (
  {"model": "ncf", "ncf.dim": "32", "ncf.hidden": "32+16"},
  {"model": "lightgcn", "lightgcn.dim": "32", "lightgcn.layers": "1", "lightgcn.hidden": "32+16"},
)

PSMU_ML1M = Recipe(
  title="PSMU without images, NCF and LightGCN on ML-1M",
  reference=f"{PSMU}, Figure 3 as its text tells it",
  settings=tuple({**_SETTINGS, **model} for model in BLIND_MODELS),
  metrics=("er@5", "ndcg@20"),
  figures=tuple(
    Figure({"dataset": "ml-1m", "model": model["model"], "attack": "psmu"}, {"er@5": 1.0}) for model in BLIND_MODELS
  ),
)
