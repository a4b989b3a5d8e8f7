"""PSMU without images on MovieLens-1M: whether it lifts the least popular item onto every list within a few epochs."""

from collections.abc import Mapping

from experiments.recipes.recipe import Figure, Recipe

PSMU = "PSMU (Yuan et al., 2023)"
_SETTINGS: Mapping[str, str] = {
  "dataset": "ml-1m",
  "defense": "none",
  "eval.preset": "psmu",
  "train.preset": "psmu",
  "train.epochs": "16",
  "attack": "none,psmu",
  "attacker.malicious_ratio": "0.001",
  "attacker.targets": "least_popular",
  "attacker.start_epoch": "8",
  "seed": "0-2",
}
BLIND_MODELS: tuple[Mapping[str, str], ...] = (
  {"model": "ncf"},
  {"model": "lightgcn"},
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
