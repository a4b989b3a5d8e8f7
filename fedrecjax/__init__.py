"""A laboratory for poisoning attacks on federated recommenders, and for defences against them.

A run is planned on the host and trained by one jitted program: all clients of a round by vmapped pure functions,
uploads aggregated per item, attacks and defences as NamedTuples of pure functions. Start with :func:`simulate`.
"""

from fedrecjax import attacks, datasets, defenses, models
from fedrecjax.attacks import a_hum, a_ra, bandwagon, explicit_boosting, pieck_ipe, pieck_uea
from fedrecjax.config import AttackerConfig, ConfigError, DataConfig, EvalConfig, RunConfig, TrainConfig, from_flat
from fedrecjax.datasets import DataError, Dataset, Interactions, load
from fedrecjax.debugging import DebugError
from fedrecjax.defenses import (
  bulyan,
  chain,
  fl_wbc,
  hics,
  krum,
  median,
  multi_krum,
  norm_bound,
  pieck_reg,
  trimmed_mean,
  union,
)
from fedrecjax.hyperparameters import traced
from fedrecjax.models import fedgnn, lightgcn, mf, ncf, sasrec
from fedrecjax.runner import DivergedError, Result, simulate, simulate_config
from fedrecjax.types import (
  Attack,
  AttackContext,
  AttackView,
  ClientTerm,
  ClientUpdates,
  ClientView,
  Defense,
  DefenseContext,
  DefenseView,
  ItemRows,
  Loss,
  Model,
  Public,
  Samples,
  Update,
)
from fedrecjax.uploads import item_rows, keep_clients
from fedrecjax.version import __version__

__all__ = [
  "Attack",
  "AttackContext",
  "AttackView",
  "AttackerConfig",
  "ClientTerm",
  "ClientUpdates",
  "ClientView",
  "ConfigError",
  "DataConfig",
  "DataError",
  "Dataset",
  "DebugError",
  "Defense",
  "DefenseContext",
  "DefenseView",
  "DivergedError",
  "EvalConfig",
  "Interactions",
  "ItemRows",
  "Loss",
  "Model",
  "Public",
  "Result",
  "RunConfig",
  "Samples",
  "TrainConfig",
  "Update",
  "__version__",
  "a_hum",
  "a_ra",
  "attacks",
  "bandwagon",
  "bulyan",
  "chain",
  "datasets",
  "defenses",
  "explicit_boosting",
  "fedgnn",
  "fl_wbc",
  "from_flat",
  "hics",
  "item_rows",
  "keep_clients",
  "krum",
  "lightgcn",
  "load",
  "median",
  "mf",
  "models",
  "multi_krum",
  "ncf",
  "norm_bound",
  "pieck_ipe",
  "pieck_reg",
  "pieck_uea",
  "sasrec",
  "simulate",
  "simulate_config",
  "traced",
  "trimmed_mean",
  "union",
]
