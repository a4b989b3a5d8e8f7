"""Spattack, Figures 3, 4 and 5: rules and shares, FedGNN, start epochs. None of them prints numbers."""

from experiments.recipes.drawing import EPOCH, Drawing
from experiments.recipes.models_ml100k import SPATTACK
from experiments.recipes.recipe import Recipe
from experiments.recipes.spattack import (
  DENSE,
  KRUM,
  NORM_BOUND,
  SPARSE,
  SPATTACK_METRICS,
  SPATTACK_SETTINGS,
  SPATTACK_SETTINGS_FROM,
  TRIMMED_MEAN,
)

# With full knowledge, and without.
_SHARES = {"o": "0.01,0.03,0.05", "l": "0.05,0.1,0.15"}
_FOR_ALL = ({"defense": "none"}, {"defense": "median"}, NORM_BOUND)
_FOR_DENSE = (TRIMMED_MEAN, KRUM)

SPATTACK_FIGURE3 = Recipe(
  title="Spattack Figure 3, rules against shares of malicious clients, MF on ML-100K",
  reference=f"{SPATTACK}, Figure 3, which prints no numbers",
  settings=(
    *({**SPATTACK_SETTINGS, "attack": "none", **rule} for rule in (*_FOR_ALL, *_FOR_DENSE)),
    *(
      {**SPATTACK_SETTINGS, "attack": f"spattack_{kind}d,spattack_{kind}s", "attacker.malicious_ratio": shares, **rule}
      for kind, shares in _SHARES.items()
      for rule in _FOR_ALL
    ),
    *(
      {**SPATTACK_SETTINGS, "attack": f"spattack_{kind}d", "attacker.malicious_ratio": shares, **rule}
      for kind, shares in _SHARES.items()
      for rule in _FOR_DENSE
    ),
  ),
  metrics=SPATTACK_METRICS,
  settings_from=SPATTACK_SETTINGS_FROM,
  drawings=(
    Drawing(
      "spattack_figure3", "rules against shares of malicious clients", "bars", ("defense",),
      ("attacker.malicious_ratio",), ("hr@10", "ndcg@10"), panels_by=("attack",), everywhere={"attack": "none"},
    ),
  ),
)

_TEN_PERCENT = {
  **SPATTACK_SETTINGS, "attack": f"none,{DENSE},{SPARSE}", "attacker.malicious_ratio": "0.1", "defense": "none",
}
SPATTACK_FIGURE4 = Recipe(
  title="Spattack Figure 4, FedGNN, mean and median, ML-100K",
  reference=f"{SPATTACK}, Figure 4, which prints no numbers",
  settings=({**_TEN_PERCENT, "model": "fedgnn", "defense": "none,median"},),
  metrics=SPATTACK_METRICS,
  settings_from=(*SPATTACK_SETTINGS_FROM, "Section RQ3 (10 %); FedGNN trained as MF is our reading"),
  drawings=(
    Drawing("spattack_figure4", "FedGNN, mean and median", "bars", ("defense",), ("attack",), ("hr@10", "ndcg@10")),
  ),
)
SPATTACK_FIGURE5 = Recipe(
  title="Spattack Figure 5, start epochs, MF on Steam-200K",
  reference=f"{SPATTACK}, Figure 5, which prints no numbers",
  settings=(
    {**_TEN_PERCENT, "dataset": "steam-200k", "attack": "none"},
    {
      **_TEN_PERCENT, "dataset": "steam-200k", "attack": f"{DENSE},{SPARSE}", "attacker.start_epoch": "0,20,40,60",
    },
  ),
  metrics=SPATTACK_METRICS,
  settings_from=(*SPATTACK_SETTINGS_FROM, "Section RQ4 (10 %, mean)"),
  drawings=(
    Drawing(
      "spattack_figure5", "start epochs", "lines", (EPOCH,), ("attacker.start_epoch",), ("hr@10", "ndcg@10"),
      panels_by=("attack",), everywhere={"attack": "none"},
    ),
  ),
)
