"""ClusterAttack, Table 1: six attacks by 1 % malicious users without defense, two models, two sets."""

from collections.abc import Mapping

from experiments.recipes.recipe import Figure, Recipe

CLUSTER = (
  "Yu et al., Untargeted Attack against Federated Recommendation Systems via Poisonous Item Embeddings and the"
  " Defense, AAAI 2023"
)
CLUSTER_SETTINGS_FROM = (
  "Section 5.1 and Appendix A with Table 6 (sizes, rounds, step sizes, dropout, clients a round, bounds, K)",
  "published code: one Adam over all user vectors, 5 % of users not evaluated; docs/fidelity_attacks.md",
)
CLUSTER_SETTINGS = {
  "dataset": "ml-1m",
  "model": "mf",
  "train.preset": "cluster_union",
  "attacker.malicious_ratio": "0.01",
  "attacker.membership": "converted",
  "defense": "none",
  "eval.preset": "cluster_union",
  "eval.every": "5",
  "seed": "0-4",
}
_METRICS = ("hr@5", "ndcg@5")
_ATTACKS = ("none", "label_flip", "fedattack", "gaussian", "lie", "fang", "cluster")
# Table 6 for Gowalla, and the first K of Appendix A. 598 rounds an epoch: 6,000 rounds are ten epochs.
_GOWALLA = {"dataset": "gowalla", "train.epochs": "10", "cluster.initial_clusters": "8", "eval.every": "1"}
_BLOCKS: dict[tuple[str, str], Mapping[str, str]] = {
  ("ml-1m", "mf"): {},
  ("ml-1m", "sasrec"): {"model": "sasrec"},
  ("gowalla", "mf"): {**_GOWALLA, "train.l2": "1e-6"},
  ("gowalla", "sasrec"): {**_GOWALLA, "model": "sasrec", "sasrec.length": "100"},
}
# HR@5 and NDCG@5 in the order of the attacks.
_PRINTED = {
  ("ml-1m", "mf"): (
    (0.03549, 0.02226), (0.03561, 0.02238), (0.03358, 0.02118), (0.03555, 0.02224), (0.03259, 0.02062),
    (0.03038, 0.01897), (0.02451, 0.01545),
  ),
  ("gowalla", "mf"): (
    (0.02523, 0.01697), (0.02541, 0.01711), (0.02371, 0.01585), (0.02528, 0.01701), (0.02316, 0.01571),
    (0.02131, 0.01448), (0.01664, 0.01117),
  ),
  ("ml-1m", "sasrec"): (
    (0.10810, 0.07053), (0.10857, 0.07071), (0.10013, 0.06572), (0.10769, 0.07055), (0.09677, 0.06281),
    (0.08964, 0.05909), (0.06547, 0.04130),
  ),
  ("gowalla", "sasrec"): (
    (0.03251, 0.02217), (0.03270, 0.02222), (0.03054, 0.02087), (0.03226, 0.02222), (0.03008, 0.02021),
    (0.02797, 0.01883), (0.02223, 0.01544),
  ),
}
_OTHER_DATA = "other data: Gowalla without repeats and time"


def _figures(dataset: str, model: str) -> tuple[Figure, ...]:
  return tuple(
    Figure(
      {"dataset": dataset, "model": model, "attack": attack, "defense": "none"},
      dict(zip(_METRICS, pair, strict=True)),
      _OTHER_DATA if dataset == "gowalla" else "",
    )
    for attack, pair in zip(_ATTACKS, _PRINTED[dataset, model], strict=True)
  )


def _recipe(title: str, dataset: str, missing: tuple[str, ...] = ()) -> Recipe:
  chosen = [key for key in _BLOCKS if key[0] == dataset]
  return Recipe(
    title=title,
    reference=f"{CLUSTER}, Table 1",
    settings=tuple({**CLUSTER_SETTINGS, "attack": ",".join(_ATTACKS), **_BLOCKS[key]} for key in chosen),
    metrics=_METRICS,
    figures=tuple(figure for key in chosen for figure in _figures(*key)),
    settings_from=CLUSTER_SETTINGS_FROM,
    missing=missing,
  )


CLUSTER_TABLE1 = _recipe("ClusterAttack Table 1, MF and SASRec on ML-1M", "ml-1m")
CLUSTER_TABLE1_GOWALLA = _recipe(
  "ClusterAttack Table 1, MF and SASRec on Gowalla", "gowalla",
  (
    "the paper's Gowalla of 1,585,043 check-ins with repeats and time: the set at hand has 1,027,370 different pairs,"
    " in no order of time, so that neither held-out items nor sequences are the paper's",
  ),
)
CLUSTER_ML1M = Recipe(
  title="ClusterAttack Table 1, MF on ML-1M, without and with ClusterAttack alone",
  reference=f"{CLUSTER}, Table 1",
  settings=({**CLUSTER_SETTINGS, "attack": "none,cluster"},),
  metrics=_METRICS,
  figures=tuple(figure for figure in _figures("ml-1m", "mf") if figure.where["attack"] in ("none", "cluster")),
  settings_from=CLUSTER_SETTINGS_FROM,
)
