"""How the papers train, as fields of the configuration."""

from __future__ import annotations

from typing import Any, NamedTuple


class TrainingPreset(NamedTuple):
  """How a paper trains.

  Attributes:
    common: fields whatever the model is; those of a rule count where the rule takes part.
    models: the fields that the paper chooses for each of its models, their sizes and the step size among them.
  """

  common: dict[str, Any]
  models: dict[str, dict[str, Any]]


_PSMU_NETWORK = {"dim": 32, "hidden": [32, 16]}

TRAINING_PRESETS: dict[str, TrainingPreset] = {
  "pieck": TrainingPreset(
    {
      "train.clients_per_round": 256, "train.loss": "bce", "train.reduction": "mean", "train.num_negatives": 1,
      "train.negatives": "once", "train.duplicates": "first",
    },
    {
      "mf": {"train.epochs": 300, "train.learning_rate": 1.0, "mf.dim": 32},
      "ncf": {"train.epochs": 60, "train.learning_rate": 0.005, "ncf.dim": 8, "ncf.hidden": [8, 8]},
    },
  ),
  # The L2 term is the published code's, whose fake users leave it out.
  "fedrecattack": TrainingPreset(
    {
      "train.epochs": 200, "train.clients_per_round": 256, "train.participation": "shuffled", "train.loss": "bpr",
      "train.reduction": "sum", "train.num_negatives": 1, "train.negatives": "once", "train.l2": 0.1,
      "train.l2_rows": "uploaded", "train.l2_clients": "benign",
    },
    {"mf": {"train.learning_rate": 0.01, "mf.dim": 32}},
  ),
  # 121 rounds an epoch on MovieLens-1M: the paper's 6,000 rounds are a little under 50 epochs.
  "cluster_union": TrainingPreset(
    {
      "train.epochs": 50, "train.clients_per_round": 50, "train.participation": "uniform", "train.loss": "bpr",
      "train.reduction": "mean", "train.server_optimizer": "adam", "train.l2": 1e-5, "train.l2_rows": "table",
      "none.scale": "mean", "none.scope": "client", "none.weights": "samples",
    },
    {
      "mf": {
        "train.learning_rate": 0.002, "train.client_optimizer": "adam_table", "train.dropout": 0.2, "mf.dim": 64,
      },
      "sasrec": {"train.learning_rate": 0.001, "sasrec.dim": 64, "sasrec.length": 200, "sasrec.dropout": 0.2},
    },
  ),
  "spattack": TrainingPreset(
    {
      "train.epochs": 200, "train.clients_per_round": "all", "train.loss": "bpr", "train.reduction": "sum",
      "train.l2": 0.1, "train.l2_rows": "copies", "none.scale": "mean", "median.scale": "mean",
      "trimmed_mean.scale": "mean", "krum.scale": "mean",
    },
    {
      "mf": {"train.learning_rate": 0.01, "mf.dim": 32},
      "fedgnn": {"train.learning_rate": 0.01, "fedgnn.dim": 32},
    },
  ),
  "psmu": TrainingPreset(
    {
      "train.epochs": 20, "train.clients_per_round": 256, "train.loss": "bce", "train.num_negatives": 4,
      "train.server_optimizer": "adam", "train.client_optimizer": "adam", "train.learning_rate": 0.001,
    },
    {
      model: {f"{model}.{name}": value for name, value in _PSMU_NETWORK.items()}
      for model in ("ncf", "lightgcn", "vncf", "lightvgcn")
    },
  ),
}
"""How the papers train (docs/training.md), as fields that others override."""

TRAINING_PRESET_FIELD = "train.preset"
TRAINING_FIELDS = frozenset(
  name
  for preset in TRAINING_PRESETS.values()
  for fields in (preset.common, *preset.models.values())
  for name in fields
)
"""The fields that make up how a paper trains."""
