"""FedRecAttack, Tables VI, VII and IX: other attacks, shares of malicious clients, no public interactions."""

from experiments.recipes.fedrecattack import (
  FEDRECATTACK,
  FEDRECATTACK_METRICS,
  FEDRECATTACK_SETTINGS,
  FEDRECATTACK_SETTINGS_FROM,
  figure_of_target,
)
from experiments.recipes.recipe import Figure, Recipe

# Table VII: ER@5, ER@10 and NDCG@10 of the target at 3, 5 and 10 % of malicious clients.
_SHARES = ("0.03", "0.05", "0.1")
_TABLE7 = {
  "ml-100k": {
    "random": ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0), (0.0011, 0.0011, 0.0004)),
    "bandwagon": ((0.0011, 0.0011, 0.0011), (0.0, 0.0021, 0.0006), (0.0, 0.0, 0.0)),
    "popular": ((0.0011, 0.0011, 0.0005), (0.0011, 0.0011, 0.0011), (0.0032, 0.0075, 0.0035)),
    "fedrecattack": ((0.6988, 0.7449, 0.6702), (0.94, 0.9475, 0.9411), (0.9507, 0.9528, 0.9455)),
  },
  "ml-1m": {
    "random": ((0.0, 0.0, 0.0), (0.0002, 0.0002, 0.0001), (0.0002, 0.0005, 0.0002)),
    "bandwagon": ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0), (0.0010, 0.0012, 0.0008)),
    "popular": ((0.0035, 0.0056, 0.0030), (0.0393, 0.0503, 0.0349), (0.1358, 0.1598, 0.1255)),
    "fedrecattack": ((0.9722, 0.9752, 0.9684), (0.9659, 0.9704, 0.9610), (0.9689, 0.9742, 0.9646)),
  },
  "steam-200k": {
    "random": ((0.0027, 0.0037, 0.0022), (0.0024, 0.0029, 0.0025), (0.0029, 0.0032, 0.0027)),
    "bandwagon": ((0.0133, 0.0157, 0.0121), (0.0702, 0.0952, 0.0669), (0.8829, 0.8944, 0.8774)),
    "popular": ((0.2067, 0.3129, 0.1994), (0.7165, 0.7639, 0.6908), (0.8349, 0.848, 0.8246)),
    "fedrecattack": ((0.9843, 0.9848, 0.9833), (0.9835, 0.9848, 0.9831), (0.9864, 0.9869, 0.9852)),
  },
}


def _table7(title: str, datasets: tuple[str, ...]) -> Recipe:
  settings = {**FEDRECATTACK_SETTINGS, "dataset": ",".join(datasets)}
  return Recipe(
    title=title,
    reference=f"{FEDRECATTACK}, Table VII",
    settings=(
      {**settings, "attack": "none"},
      {**settings, "attack": "random,bandwagon,popular,fedrecattack", "attacker.malicious_ratio": ",".join(_SHARES)},
    ),
    metrics=(*FEDRECATTACK_METRICS, "hr@10"),
    figures=(
      # Printed three times, once for each share.
      *(figure_of_target((0.0, 0.0, 0.0), {"dataset": dataset, "attack": "none"}) for dataset in datasets),
      *(
        figure_of_target(values, {"dataset": dataset, "attack": attack, "attacker.malicious_ratio": float(share)})
        for dataset in datasets
        for attack, printed in _TABLE7[dataset].items()
        for share, values in zip(_SHARES, printed, strict=True)
      ),
    ),
    settings_from=FEDRECATTACK_SETTINGS_FROM,
  )


FEDRECATTACK_TABLE7 = _table7("FedRecAttack Table VII, MF on ML-100K and Steam-200K", ("ml-100k", "steam-200k"))
FEDRECATTACK_TABLE7_ML1M = _table7("FedRecAttack Table VII, MF on ML-1M", ("ml-1m",))

# Table VI prints ER@10 alone.
_TABLE6 = {
  "mf_poison": (0.0001, 0.0002, 0.0014, 0.0033),
  "dl_poison": (0.0007, 0.0019, 0.0111, 0.0206),
  "fedrecattack": (0.0, 0.0011, 0.7449, 0.9475),
}
_TABLE6_SHARES = ("0.005", "0.01", "0.03", "0.05")
_STAND_INS = {
  attack: f"{name} is a stand-in: the paper states no settings for it" for attack, name in
  (("mf_poison", "P1"), ("dl_poison", "P2"))
}
FEDRECATTACK_TABLE6 = Recipe(
  title="FedRecAttack Table VI, data poisoning with full knowledge on ML-100K (stand-ins for P1 and P2)",
  reference=f"{FEDRECATTACK}, Table VI",
  settings=(
    {**FEDRECATTACK_SETTINGS, "dataset": "ml-100k", "attack": "none"},
    {
      **FEDRECATTACK_SETTINGS, "dataset": "ml-100k", "attack": ",".join(_TABLE6),
      "attacker.malicious_ratio": ",".join(_TABLE6_SHARES),
    },
  ),
  metrics=("er@10", "hr@10"),
  figures=(
    # Printed four times, once for each share.
    Figure({"dataset": "ml-100k", "model": "mf", "attack": "none"}, {"er@10": 0.0}),
    *(
      Figure(
        {"dataset": "ml-100k", "model": "mf", "attack": attack, "attacker.malicious_ratio": float(share)},
        {"er@10": value},
        _STAND_INS.get(attack, ""),
      )
      for attack, printed in _TABLE6.items()
      for share, value in zip(_TABLE6_SHARES, printed, strict=True)
    ),
  ),
  settings_from=FEDRECATTACK_SETTINGS_FROM,
)

_TABLE9 = {
  "ml-100k": {"0.01": (0.94, 0.9475, 0.9411), "0.0": (0.0, 0.0, 0.0)},
  "ml-1m": {"0.01": (0.9659, 0.9704, 0.9610), "0.0": (0.0, 0.0, 0.0)},
  "steam-200k": {"0.01": (0.9835, 0.9848, 0.9831), "0.0": (0.0, 0.0, 0.0)},
}


def _table9(title: str, datasets: tuple[str, ...]) -> Recipe:
  return Recipe(
    title=title,
    reference=f"{FEDRECATTACK}, Table IX",
    settings=(
      {
        **FEDRECATTACK_SETTINGS, "dataset": ",".join(datasets), "attack": "fedrecattack",
        "attacker.malicious_ratio": "0.05", "attacker.public_share": "0.01,0.0",
      },
    ),
    metrics=(*FEDRECATTACK_METRICS, "hr@10"),
    figures=tuple(
      figure_of_target(values, {"dataset": dataset, "attack": "fedrecattack", "attacker.public_share": float(share)})
      for dataset in datasets
      for share, values in _TABLE9[dataset].items()
    ),
    settings_from=FEDRECATTACK_SETTINGS_FROM,
  )


FEDRECATTACK_TABLE9 = _table9("FedRecAttack Table IX, with and without public interactions", ("ml-100k", "steam-200k"))
FEDRECATTACK_TABLE9_ML1M = _table9("FedRecAttack Table IX, with and without public interactions, ML-1M", ("ml-1m",))
