"""ClusterAttack, Table 1: matrix factorisation on MovieLens-1M with 1 % malicious users and no defence."""

from experiments.recipes.recipe import Figure, Recipe

_CLUSTER = (
  "Yu et al., Untargeted Attack against Federated Recommendation Systems via Poisonous Item Embeddings and the"
  " Defense, AAAI 2023"
)
_SETTINGS = {
  "dataset": "ml-1m",
  "model": "mf",
  "train.preset": "cluster_union",
  "attack": "none,cluster",
  "attacker.malicious_ratio": "0.01",
  "attacker.membership": "converted",
  "defense": "none",
  "eval.preset": "cluster_union",
  "eval.every": "5",
  "seed": "0-4",
}
_PRINTED = {"none": (0.03549, 0.02226), "cluster": (0.02451, 0.01545)}

CLUSTER_ML1M = Recipe(
  title="ClusterAttack Table 1, MF on ML-1M",
  reference=f"{_CLUSTER}, Table 1",
  settings=(_SETTINGS,),
  metrics=("hr@5", "ndcg@5"),
  figures=tuple(
    Figure(
      {"dataset": "ml-1m", "model": "mf", "attack": attack, "defense": "none"}, {"hr@5": hits, "ndcg@5": gain}
    )
    for attack, (hits, gain) in _PRINTED.items()
  ),
)
