"""FedRecAttack, Tables VI, VII and IX: other attacks, shares of malicious clients, no public interactions."""

from collections.abc import Mapping

from experiments.recipes.recipe import Figure, Recipe

_PAPER = "Rong et al., FedRecAttack: Model Poisoning Attack to Federated Recommendation, 2022"
# The paper's settings where it states them, else those of its published code: the L2 term, which fake users of shilling
# attacks leave out, and the server's bound on every row (docs/fidelity_attacks.md).
_SETTINGS = {
  "model": "mf",
  "train.preset": "fedrecattack",
  "defense": "norm_bound",
  "norm_bound.max_norm": "1.0",
  "norm_bound.scope": "row",
  "attacker.membership": "added",
  "attacker.public_share": "0.01",
  "eval.preset": "fedrecattack",
  "eval.every": "10",
}
_METRICS = ("er@5", "er@10", "target_ndcg@10")

# Table VII: ER@5, ER@10 and NDCG@10 of the target at 3, 5 and 10 % of malicious clients.
_SHARES = ("0.03", "0.05", "0.1")
_TABLE7 = {
  "ml-100k": {
    "random": ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0), (0.0011, 0.0011, 0.0004)),
    "bandwagon": ((0.0011, 0.0011, 0.0011), (0.0, 0.0021, 0.0006), (0.0, 0.0, 0.0)),
    "popular": ((0.0011, 0.0011, 0.0005), (0.0011, 0.0011, 0.0011), (0.0032, 0.0075, 0.0035)),
    "fedrecattack": ((0.6988, 0.7449, 0.6702), (0.94, 0.9475, 0.9411), (0.9507, 0.9528, 0.9455)),
  },
  "steam-200k": {
    "random": ((0.0027, 0.0037, 0.0022), (0.0024, 0.0029, 0.0025), (0.0029, 0.0032, 0.0027)),
    "bandwagon": ((0.0133, 0.0157, 0.0121), (0.0702, 0.0952, 0.0669), (0.8829, 0.8944, 0.8774)),
    "popular": ((0.2067, 0.3129, 0.1994), (0.7165, 0.7639, 0.6908), (0.8349, 0.848, 0.8246)),
    "fedrecattack": ((0.9843, 0.9848, 0.9833), (0.9835, 0.9848, 0.9831), (0.9864, 0.9869, 0.9852)),
  },
}


def _figure(values: tuple[float, float, float], where: Mapping[str, str | float]) -> Figure:
  return Figure({"model": "mf", "defense": "norm_bound", **where}, dict(zip(_METRICS, values, strict=True)))


FEDRECATTACK_TABLE7 = Recipe(
  title="FedRecAttack Table VII, MF on ML-100K and Steam-200K",
  reference=f"{_PAPER}, Table VII",
  settings=(
    {**_SETTINGS, "dataset": "ml-100k,steam-200k", "attack": "none", "seed": "0-2"},
    {
      **_SETTINGS, "dataset": "ml-100k,steam-200k", "attack": "random,bandwagon,popular,fedrecattack",
      "attacker.malicious_ratio": ",".join(_SHARES), "seed": "0-2",
    },
  ),
  metrics=(*_METRICS, "hr@10"),
  figures=(
    *(_figure((0.0, 0.0, 0.0), {"dataset": dataset, "attack": "none"}) for dataset in _TABLE7),
    *(
      _figure(values, {"dataset": dataset, "attack": attack, "attacker.malicious_ratio": float(share)})
      for dataset, attacks in _TABLE7.items()
      for attack, printed in attacks.items()
      for share, values in zip(_SHARES, printed, strict=True)
    ),
  ),
)

# Table VI prints ER@10 alone.
_TABLE6 = {
  "mf_poison": (0.0001, 0.0002, 0.0014, 0.0033),
  "dl_poison": (0.0007, 0.0019, 0.0111, 0.0206),
  "fedrecattack": (0.0, 0.0011, 0.7449, 0.9475),
}
_TABLE6_SHARES = ("0.005", "0.01", "0.03", "0.05")
FEDRECATTACK_TABLE6 = Recipe(
  title="FedRecAttack Table VI, data poisoning with full knowledge on ML-100K (stand-ins for P1 and P2)",
  reference=f"{_PAPER}, Table VI",
  settings=(
    {
      **_SETTINGS, "dataset": "ml-100k", "attack": ",".join(_TABLE6),
      "attacker.malicious_ratio": ",".join(_TABLE6_SHARES), "seed": "0-2",
    },
  ),
  metrics=("er@10", "hr@10"),
  figures=tuple(
    Figure(
      {"dataset": "ml-100k", "model": "mf", "attack": attack, "attacker.malicious_ratio": float(share)},
      {"er@10": value},
    )
    for attack, printed in _TABLE6.items()
    for share, value in zip(_TABLE6_SHARES, printed, strict=True)
  ),
)

_TABLE9 = {
  "ml-100k": {"0.01": (0.94, 0.9475, 0.9411), "0.0": (0.0, 0.0, 0.0)},
  "steam-200k": {"0.01": (0.9835, 0.9848, 0.9831), "0.0": (0.0, 0.0, 0.0)},
}
FEDRECATTACK_TABLE9 = Recipe(
  title="FedRecAttack Table IX, with and without public interactions",
  reference=f"{_PAPER}, Table IX",
  settings=(
    {
      **_SETTINGS, "dataset": "ml-100k,steam-200k", "attack": "fedrecattack", "attacker.malicious_ratio": "0.05",
      "attacker.public_share": "0.01,0.0", "seed": "0-2",
    },
  ),
  metrics=(*_METRICS, "hr@10"),
  figures=tuple(
    _figure(values, {"dataset": dataset, "attack": "fedrecattack", "attacker.public_share": float(share)})
    for dataset, shares in _TABLE9.items()
    for share, values in shares.items()
  ),
)
