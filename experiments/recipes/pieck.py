"""What PIECK's tables on MovieLens-100K have in common."""

from collections.abc import Mapping, Sequence

from experiments.recipes.recipe import Figure

PIECK = "Zhang et al., Preventing the Popular Item Embedding Based Attack in Federated Recommendations, 2024"
PIECK_SETTINGS_FROM = (
  "supplement A.2 (clients a round, step sizes), Section III (one negative, drawn before training), Section VI-B (5 %)",
  "published code: epochs, sizes, one copy of an item's gradient, candidates of HR@10; docs/fidelity.md",
)
PIECK_ML100K = {
  "dataset": "ml-100k",
  "model": "mf",
  "train.preset": "pieck",
  "attacker.malicious_ratio": "0.05",
  "eval.every": "1",
  "eval.candidates": "sampled",
  "eval.num_negatives": "99",
  "eval.held_out_negative": "true",
}
ROWS = (
  ("none", "none"), ("pieck_ipe", "none"), ("pieck_ipe", "pieck_reg"), ("pieck_uea", "none"), ("pieck_uea", "pieck_reg")
)
"""Attack and defense of the five rows that Tables V, VII, IX and XI print."""


def blocks_of_rows(settings: Mapping[str, str]) -> tuple[Mapping[str, str], ...]:
  """The grids of :data:`ROWS`, five seeds, with further settings."""
  common = {**PIECK_ML100K, "seed": "0-4", **settings}
  return (
    {**common, "attack": "none", "defense": "none"},
    {**common, "attack": "pieck_ipe,pieck_uea", "defense": "none,pieck_reg"},
  )


def figures_of_rows(
  where: Mapping[str, str | float | None], metrics: Sequence[str], rows: Sequence[Sequence[float]]
) -> tuple[Figure, ...]:
  """The figures of :data:`ROWS`, which the paper prints in percent.

  Args:
    where: fields that tell a column of the table apart.
    metrics: names of the figures in a row.
    rows: percents, a row for each of :data:`ROWS`.
  """
  return tuple(
    percents({"attack": attack, "defense": defense, **where}, metrics, row)
    for (attack, defense), row in zip(ROWS, rows, strict=True)
  )


def percents(
  where: Mapping[str, str | float | None], metrics: Sequence[str], printed: Sequence[float], not_comparable: str = ""
) -> Figure:
  """One row's figures on MovieLens-100K and matrix factorization, from percents; `where` overrides either."""
  values = {name: round(value / 100, 6) for name, value in zip(metrics, printed, strict=True)}
  return Figure({"dataset": "ml-100k", "model": "mf", **where}, values, not_comparable)
