"""What FedRecAttack's tables have in common."""

from collections.abc import Mapping, Sequence

from experiments.recipes.recipe import Figure

FEDRECATTACK = "Rong et al., FedRecAttack: Model Poisoning Attack to Federated Recommendation, 2022"
FEDRECATTACK_SETTINGS_FROM = (
  "Section V-A (sizes, step size, epochs, rows of an upload, bound)",
  "published code: the L2 term, which fake users leave out, the bound at the server, HR@10; docs/fidelity_attacks.md",
)
# The paper's settings where it states them, else those of its published code: the L2 term, which fake users of shilling
# attacks leave out, and the server's bound on every row (docs/fidelity_attacks.md).
FEDRECATTACK_SETTINGS = {
  "model": "mf",
  "train.preset": "fedrecattack",
  "defense": "norm_bound",
  "norm_bound.max_norm": "1.0",
  "norm_bound.scope": "row",
  "attacker.membership": "added",
  "attacker.public_share": "0.01",
  "eval.preset": "fedrecattack",
  "eval.every": "10",
  "seed": "0-4",
}
FEDRECATTACK_METRICS = ("er@5", "er@10", "target_ndcg@10")


def figure_of_target(values: Sequence[float], where: Mapping[str, str | float | None]) -> Figure:
  """ER@5, ER@10 and NDCG@10 of the target of one row."""
  return Figure({"model": "mf", **where}, dict(zip(FEDRECATTACK_METRICS, values, strict=True)))
