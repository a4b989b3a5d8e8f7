"""Attacks by images and their purification: Figures 5 and 7 of Yuan et al. (2023), on drawn covers and on posters."""

from collections.abc import Mapping

from experiments.recipes.drawing import EPOCH, Drawing
from experiments.recipes.psmu import BLIND_MODELS
from experiments.recipes.recipe import Recipe

GDMPD = "Yuan et al., Manipulating Visually-aware Federated Recommender Systems and Its Countermeasures, 2023"
_SETTINGS: Mapping[str, str] = {
  "model": "vncf",
  "attack": "none,psmu,psmu_v,psmu_pp",
  "defense": "none,gdmpd_unguided,gdmpd",
  "eval.preset": "psmu",
  "train.preset": "psmu",
  # Of 943 users the paper's 0.1 % would be nobody.
  "attacker.malicious_ratio": "0.01",
  "attacker.targets": "least_popular",
  "attacker.start_epoch": "8",
  "images.size": "32",
}
_METRICS = ("er@5", "target_ndcg@10", "ndcg@20")


def drawing_of_shares(name: str) -> Drawing:
  """Figure 4: exposure by the share of malicious users, a panel for each model."""
  return Drawing(
    name, "PSMU by the share of malicious users", "lines", ("attacker.malicious_ratio",), ("attack",), ("er@5",),
    panels_by=("model",),
  )


def drawing_of_attacks(name: str) -> Drawing:
  """Figure 5: exposure over epochs under each attack by pictures, a panel for each model."""
  return Drawing(
    name, "attacks by pictures", "lines", (EPOCH,), ("attack",), ("er@5",), where={"defense": "none"},
    panels_by=("model",),
  )


def drawing_of_purification(name: str) -> Drawing:
  """Figure 7: exposure over epochs under PSMU++ with each purification, a panel for each model."""
  return Drawing(
    name, "PSMU++ against purification", "lines", (EPOCH,), ("defense",), ("er@5",), where={"attack": "psmu_pp"},
    panels_by=("model",),
  )


IMAGES_DEMO = Recipe(
  title="attacks by images and GDMPD on embedded data and drawn covers",
  reference="",
  settings=(
    {
      **_SETTINGS,
      "dataset": "synthetic",
      "data.split": "default",
      "images.source": "covers",
      # Small enough for ten minutes on two cores.
      "images.diffusion_levels": "1+1",
      "images.diffusion_steps": "300",
      "gdmpd.respacing": "25",
      "gdmpd_unguided.respacing": "25",
    },
  ),
  metrics=_METRICS,
)

GDMPD_ML100K = Recipe(
  title="attacks by images and GDMPD, VNCF on ML-100K with posters",
  reference=f"{GDMPD}, Figures 5 and 7, on another set of data",
  settings=(
    {
      **_SETTINGS,
      "dataset": "ml-100k",
      "images.source": "posters",
      "images.extractor": "efficientnet_lite0",
      "images.diffusion_steps": "1200",
      "gdmpd.respacing": "100",
      "gdmpd_unguided.respacing": "100",
      "seed": "0-2",
    },
  ),
  metrics=_METRICS,
  drawings=(drawing_of_attacks("gdmpd_figure5_ml100k"), drawing_of_purification("gdmpd_figure7_ml100k")),
)

# Of 943 users: one, two, four, nine and fourteen. Figure 4 has 0.1 to 3 % of 6,040.
_SHARES = "0.0011,0.0022,0.0043,0.01,0.015"
_PSMU: Mapping[str, str] = {
  **{name: value for name, value in _SETTINGS.items() if not name.startswith("images.")},
  "dataset": "ml-100k", "attack": "psmu", "attacker.malicious_ratio": _SHARES, "defense": "none", "seed": "0-2",
}
_POSTERS: Mapping[str, str] = {
  "images.source": "posters", "images.extractor": "efficientnet_lite0", "images.size": _SETTINGS["images.size"]
}
VISUAL_SHARES_ML100K = Recipe(
  title="shares of malicious clients that PSMU needs without and with images, ML-100K with posters",
  reference=f"{GDMPD}, Figure 4, on another set of data",
  settings=(
    *({**_PSMU, "attacker.malicious_ratio": f"{_SHARES},0.03,0.1", **model} for model in BLIND_MODELS),
    *({**_PSMU, **_POSTERS, "model": model} for model in ("vncf", "lightvgcn")),
  ),
  metrics=_METRICS,
  drawings=(drawing_of_shares("gdmpd_figure4_ml100k"),),
)
