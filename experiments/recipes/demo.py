"""The demo: four attacks against three defences on embedded data, in about a minute on two cores."""

from experiments.recipes.recipe import Recipe

DEMO = Recipe(
  title="four attacks against three defenses on embedded data, about a minute",
  reference="",
  settings=(
    {
      "dataset": "synthetic",
      "model": "mf",
      "attack": "none,explicit_boosting,pieck_ipe,pieck_uea",
      "defense": "none,norm_bound,median",
      "seed": "0,1",
      "train.epochs": "40",
      # One cold item with 17 interactions for all seeds: exposure depends on the target's popularity more than on
      # anything else, and random targets would make its intervals as wide as the plot.
      "attacker.targets": "given",
      "attacker.target_items": "1469",
      "eval.candidates": "sampled",
    },
  ),
  metrics=("hr@10", "er@10"),
)
