"""FedRecAttack, Table VIII: other model poisoning, on MovieLens-1M; and Figure 3, the course of training."""

from experiments.recipes.drawing import EPOCH, Drawing
from experiments.recipes.fedrecattack import (
  FEDRECATTACK,
  FEDRECATTACK_METRICS,
  FEDRECATTACK_SETTINGS,
  FEDRECATTACK_SETTINGS_FROM,
)
from experiments.recipes.recipe import Figure, Recipe

_SHARES = ("0.1", "0.2", "0.3", "0.4")
_METRICS = ("hr@10", "er@5")
# P3, P4, EB, PipAttack and FedRecAttack; hits and exposure at each share.
_PRINTED = {
  "boosted_targeted": ((0.4434, 0.0), (0.4430, 0.0), (0.4435, 0.0154), (0.4454, 0.0298)),
  "lie_targeted": ((0.4392, 0.0), (0.4386, 0.9625), (0.4320, 0.9016), (0.4425, 1.0)),
  "explicit_boosting": ((0.4432, 0.0), (0.4449, 1.0), (0.4363, 0.9998), (0.4432, 1.0)),
  "pipattack": ((0.4384, 0.9513), (0.4412, 1.0), (0.4401, 1.0), (0.4349, 1.0)),
  "fedrecattack": ((0.5901, 0.9689), (0.5800, 0.9735), (0.5829, 0.9733), (0.5800, 0.9786)),
}
_NOT_STATED = "the paper takes the settings of this attack from its reference 31, and states none"
_SETTINGS = {**FEDRECATTACK_SETTINGS, "dataset": "ml-1m"}

FEDRECATTACK_TABLE8 = Recipe(
  title="FedRecAttack Table VIII, model poisoning, MF on ML-1M",
  reference=f"{FEDRECATTACK}, Table VIII",
  settings=(
    {**_SETTINGS, "attack": "none"},
    {**_SETTINGS, "attack": ",".join(_PRINTED), "attacker.malicious_ratio": ",".join(_SHARES)},
  ),
  metrics=_METRICS,
  figures=(
    # Printed four times, once for each share.
    Figure({"dataset": "ml-1m", "model": "mf", "attack": "none"}, {"hr@10": 0.5940, "er@5": 0.0}),
    *(
      Figure(
        {"dataset": "ml-1m", "model": "mf", "attack": attack, "attacker.malicious_ratio": float(share)},
        dict(zip(_METRICS, pair, strict=True)),
        "" if attack == "fedrecattack" else _NOT_STATED,
      )
      for attack, printed in _PRINTED.items()
      for share, pair in zip(_SHARES, printed, strict=True)
    ),
  ),
  settings_from=FEDRECATTACK_SETTINGS_FROM,
)

_CURVES = {
  **FEDRECATTACK_SETTINGS, "dataset": "ml-100k,ml-1m,steam-200k", "eval.every": "1", "eval.candidates": "sampled,all",
}


def _curves(name: str, candidates: str, among: str) -> Drawing:
  """Loss above and hits below, a panel for each data set, a line for each share of malicious users."""
  return Drawing(
    name, f"training loss and HR@10 among {among}", "lines", (EPOCH,), ("attack", "attacker.malicious_ratio"),
    ("train_loss", "hr@10"), where={"eval.candidates": candidates}, panels_by=("dataset",),
  )


FEDRECATTACK_FIGURE3 = Recipe(
  title="FedRecAttack Figure 3, loss and HR@10 (among 100 and among all items) over epochs, MF on three sets",
  reference=f"{FEDRECATTACK}, Figure 3, which prints no numbers",
  settings=(
    {**_CURVES, "attack": "none"},
    {**_CURVES, "attack": "fedrecattack", "attacker.malicious_ratio": "0.03,0.05,0.1"},
  ),
  metrics=("hr@10", *FEDRECATTACK_METRICS, "train_loss", "train_loss_l2"),
  settings_from=FEDRECATTACK_SETTINGS_FROM,
  drawings=(
    _curves("fedrecattack_figure3", "sampled", "100 items"),
    _curves("fedrecattack_figure3_all_items", "all", "all items"),
  ),
)
