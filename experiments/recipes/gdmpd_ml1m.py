"""Attacks by images on MovieLens-1M with posters: Tables 2 and 4 and Figures 3, 4, 5 and 7 of Yuan et al. (2023)."""

from collections.abc import Mapping

from experiments.recipes.drawing import EPOCH, Drawing, Panel
from experiments.recipes.gdmpd import GDMPD, drawing_of_attacks, drawing_of_purification, drawing_of_shares
from experiments.recipes.psmu import BLIND_MODELS
from experiments.recipes.recipe import Figure, Recipe

_SETTINGS_FROM = (
  "Sections 6.1 to 6.3 (negatives, sizes, step size, start epoch, 0.1 %, bound 4, targets)",
  "not stated and ours: split, epochs, clients a round, number of targets, pictures of 32 x 32 pixels, extractor, depth"
  " of purification; docs/images.md",
)
_NO_AMAZON = "Amazon Cell Phone: the paper's subset of 13,174 users, its pictures and features cannot be had"
_OTHER_IMAGES = "other data: posters of 32 x 32 pixels, another extractor and diffusion model"
_SETTINGS: Mapping[str, str] = {
  "dataset": "ml-1m",
  "defense": "none",
  "train.preset": "psmu",
  "eval.preset": "psmu",
  # Six of 6,040 users.
  "attacker.malicious_ratio": "0.001",
  "attacker.targets": "least_popular",
  "attacker.start_epoch": "8",
  "seed": "0-4",
}
_POSTERS: Mapping[str, str] = {
  **_SETTINGS, "model": "vncf,lightvgcn", "images.source": "posters", "images.extractor": "efficientnet_lite0",
  "images.size": "32",
}
_PURIFIED: Mapping[str, str] = {
  "images.diffusion_steps": "1200", "gdmpd.respacing": "100", "gdmpd_unguided.respacing": "100",
}
_PURIFIERS = ("none", "gdmpd_unguided", "gdmpd")
_VISUAL = ("vncf", "lightvgcn")
_METRICS = ("er@5", "ndcg@20")

# NDCG@20 of original images, unguided and guided purification.
_TABLE2 = {"vncf": (0.03985, 0.04833, 0.05032), "lightvgcn": (0.03831, 0.04494, 0.04623)}
GDMPD_TABLE2 = Recipe(
  title="GDMPD Table 2, utility of purified pictures, VNCF and LightVGCN on ML-1M",
  reference=f"{GDMPD}, Table 2",
  settings=({**_POSTERS, **_PURIFIED, "attack": "none", "defense": ",".join(_PURIFIERS)},),
  metrics=("ndcg@20",),
  figures=tuple(
    Figure({"model": model, "attack": "none", "defense": defense}, {"ndcg@20": value}, _OTHER_IMAGES)
    for model, row in _TABLE2.items()
    for defense, value in zip(_PURIFIERS, row, strict=True)
  ),
  settings_from=_SETTINGS_FROM,
  missing=(_NO_AMAZON,),
)

# The highest exposure without and with GDMPD: the same for every bound and both models.
_TABLE4 = {"none": 1.0, "gdmpd": 0.0}
_BOUNDS = ("4", "8", "16", "32")
GDMPD_TABLE4 = Recipe(
  title="GDMPD Table 4, PSMU++ with larger bounds, VNCF and LightVGCN on ML-1M",
  reference=f"{GDMPD}, Table 4",
  settings=(
    {
      **_POSTERS, **_PURIFIED, "attack": "psmu_pp", "psmu_pp.bound": ",".join(_BOUNDS), "defense": ",".join(_TABLE4),
    },
  ),
  metrics=_METRICS,
  figures=tuple(
    Figure(
      {"model": model, "attack": "psmu_pp", "psmu_pp.bound": float(bound), "defense": defense}, {"er@5": value},
      f"{_OTHER_IMAGES}; the highest exposure of all epochs there, the last epoch's here",
    )
    for model in _VISUAL
    for bound in _BOUNDS
    for defense, value in _TABLE4.items()
  ),
  settings_from=_SETTINGS_FROM,
  missing=(_NO_AMAZON,),
)

_BLIND_AND_SEEING = "none,a_hum,psmu"
GDMPD_FIGURE3 = Recipe(
  title="GDMPD Figure 3, model poisoning without and with pictures, four models on ML-1M",
  reference=f"{GDMPD}, Figure 3 as its text tells it",
  settings=(
    *({**_SETTINGS, **model, "attack": _BLIND_AND_SEEING} for model in BLIND_MODELS),
    {**_POSTERS, "attack": _BLIND_AND_SEEING},
  ),
  metrics=_METRICS,
  figures=(
    *(Figure({"model": model["model"], "attack": "psmu"}, {"er@5": 1.0}) for model in BLIND_MODELS),
    *(
      Figure({"model": model, "attack": attack}, {"er@5": 0.0}, _OTHER_IMAGES)
      for model in _VISUAL
      for attack in ("a_hum", "psmu")
    ),
  ),
  settings_from=_SETTINGS_FROM,
  missing=(_NO_AMAZON,),
  drawings=(
    Drawing(
      "gdmpd_figure3", "model poisoning without and with pictures", "lines", (EPOCH,), ("attack", "images.source"),
      ("er@5",), where={"attack": ("a_hum", "psmu")},
      panels=(
        Panel("NCF without and with pictures", {"model": ("ncf", "vncf")}),
        Panel("LightGCN without and with pictures", {"model": ("lightgcn", "lightvgcn")}),
      ),
    ),
  ),
)

GDMPD_FIGURE4 = Recipe(
  title="GDMPD Figure 4, shares of malicious clients that PSMU needs, VNCF and LightVGCN on ML-1M",
  reference=f"{GDMPD}, Figure 4, which prints no numbers",
  settings=(
    {**_POSTERS, "attack": "psmu", "attacker.malicious_ratio": "0.001,0.005,0.01,0.015,0.02,0.025,0.03"},
  ),
  metrics=_METRICS,
  settings_from=_SETTINGS_FROM,
  missing=(_NO_AMAZON,),
  drawings=(drawing_of_shares("gdmpd_figure4"),),
)

# The last epoch of the curves, as the text tells them.
_FIGURE5 = {"none": 0.0, "image_popularity": 0.0, "psmu_v": 1.0, "psmu_pp": 1.0}
GDMPD_FIGURE5 = Recipe(
  title="GDMPD Figure 5, attacks by pictures, VNCF and LightVGCN on ML-1M",
  reference=f"{GDMPD}, Figure 5 as its text tells it",
  settings=(
    {**_POSTERS, "attack": "none"},
    {**_POSTERS, "attack": ",".join(one for one in _FIGURE5 if one != "none"), "eval.after_uploads": "true"},
  ),
  metrics=_METRICS,
  figures=tuple(
    Figure({"model": model, "attack": attack}, {"er@5": value}, _OTHER_IMAGES)
    for model in _VISUAL
    for attack, value in _FIGURE5.items()
  ),
  settings_from=_SETTINGS_FROM,
  missing=(_NO_AMAZON,),
  drawings=(drawing_of_attacks("gdmpd_figure5"),),
)

GDMPD_FIGURE7 = Recipe(
  title="GDMPD Figure 7, PSMU++ against purification, VNCF and LightVGCN on ML-1M",
  reference=f"{GDMPD}, Figure 7 as its text tells it",
  settings=({**_POSTERS, **_PURIFIED, "attack": "psmu_pp", "defense": ",".join(_PURIFIERS)},),
  metrics=_METRICS,
  figures=tuple(
    Figure({"model": model, "defense": defense}, {"er@5": 0.0}, _OTHER_IMAGES)
    for model in _VISUAL
    for defense in _PURIFIERS[1:]
  ),
  settings_from=_SETTINGS_FROM,
  missing=(_NO_AMAZON,),
  drawings=(drawing_of_purification("gdmpd_figure7"),),
)
