"""Recipes: one small module per table or figure of a paper, or for a few of them.

They hold settings with their source and printed figures as data, and run nothing. Each is named after its paper and
number, with the data set or the model behind it where a table is in parts; `items` says what all items of the papers
come from.
"""

from experiments.recipes.cluster import CLUSTER_ML1M, CLUSTER_TABLE1, CLUSTER_TABLE1_GOWALLA
from experiments.recipes.cluster_defenses import (
  CLUSTER_FIGURE2,
  CLUSTER_FIGURE3,
  CLUSTER_TABLE3,
  CLUSTER_TABLE4,
  CLUSTER_TABLE5,
)
from experiments.recipes.demo import DEMO
from experiments.recipes.fedrecattack_limits import FEDRECATTACK_TABLE3, FEDRECATTACK_TABLE4, FEDRECATTACK_TABLE5
from experiments.recipes.fedrecattack_others import (
  FEDRECATTACK_TABLE6,
  FEDRECATTACK_TABLE7,
  FEDRECATTACK_TABLE7_ML1M,
  FEDRECATTACK_TABLE9,
  FEDRECATTACK_TABLE9_ML1M,
)
from experiments.recipes.fedrecattack_table8 import FEDRECATTACK_FIGURE3, FEDRECATTACK_TABLE8
from experiments.recipes.gdmpd import GDMPD_ML100K, IMAGES_DEMO, VISUAL_SHARES_ML100K
from experiments.recipes.gdmpd_ml1m import (
  GDMPD_FIGURE3,
  GDMPD_FIGURE4,
  GDMPD_FIGURE5,
  GDMPD_FIGURE7,
  GDMPD_TABLE2,
  GDMPD_TABLE4,
)
from experiments.recipes.items import ITEMS, PAPERS, Item
from experiments.recipes.matrix import MATRIX
from experiments.recipes.models_ml100k import MODELS_ML100K
from experiments.recipes.pieck_figures import PIECK_FIGURE5, PIECK_FIGURE7
from experiments.recipes.pieck_ncf import PIECK_TABLE3_NCF, PIECK_TABLE4_NCF
from experiments.recipes.pieck_rows import PIECK_TABLE5, PIECK_TABLE7, PIECK_TABLE9, PIECK_TABLE11
from experiments.recipes.pieck_table3 import PIECK_TABLE3, PIECK_TABLE3_PUBLISHED
from experiments.recipes.pieck_table3_others import PIECK_TABLE3_AMAZON, PIECK_TABLE3_FEDRECA, PIECK_TABLE3_ML1M
from experiments.recipes.pieck_table4 import PIECK_TABLE4, PIECK_TABLE4_PUBLISHED
from experiments.recipes.pieck_table6 import PIECK_TABLE6
from experiments.recipes.pieck_table10 import PIECK_TABLE10
from experiments.recipes.psmu import PSMU_ML1M
from experiments.recipes.recipe import Figure, Recipe
from experiments.recipes.spattack import SPATTACK_TABLE3, SPATTACK_TABLE3_ML1M, SPATTACK_TABLE3_STEAM
from experiments.recipes.spattack_figures import SPATTACK_FIGURE3, SPATTACK_FIGURE4, SPATTACK_FIGURE5

RECIPES: dict[str, Recipe] = {
  "cluster_ml1m": CLUSTER_ML1M,
  "cluster_table1": CLUSTER_TABLE1,
  "cluster_table1_gowalla": CLUSTER_TABLE1_GOWALLA,
  "cluster_table3": CLUSTER_TABLE3,
  "cluster_table4": CLUSTER_TABLE4,
  "cluster_table5": CLUSTER_TABLE5,
  "cluster_figure2": CLUSTER_FIGURE2,
  "cluster_figure3": CLUSTER_FIGURE3,
  "demo": DEMO,
  "fedrecattack_table3": FEDRECATTACK_TABLE3,
  "fedrecattack_table4": FEDRECATTACK_TABLE4,
  "fedrecattack_table5": FEDRECATTACK_TABLE5,
  "fedrecattack_table6": FEDRECATTACK_TABLE6,
  "fedrecattack_table7": FEDRECATTACK_TABLE7,
  "fedrecattack_table7_ml1m": FEDRECATTACK_TABLE7_ML1M,
  "fedrecattack_table8": FEDRECATTACK_TABLE8,
  "fedrecattack_table9": FEDRECATTACK_TABLE9,
  "fedrecattack_table9_ml1m": FEDRECATTACK_TABLE9_ML1M,
  "fedrecattack_figure3": FEDRECATTACK_FIGURE3,
  "gdmpd_ml100k": GDMPD_ML100K,
  "gdmpd_table2": GDMPD_TABLE2,
  "gdmpd_table4": GDMPD_TABLE4,
  "gdmpd_figure3": GDMPD_FIGURE3,
  "gdmpd_figure4": GDMPD_FIGURE4,
  "gdmpd_figure5": GDMPD_FIGURE5,
  "gdmpd_figure7": GDMPD_FIGURE7,
  "images_demo": IMAGES_DEMO,
  "matrix": MATRIX,
  "models_ml100k": MODELS_ML100K,
  "pieck_table3": PIECK_TABLE3,
  "pieck_table3_amazon": PIECK_TABLE3_AMAZON,
  "pieck_table3_fedreca": PIECK_TABLE3_FEDRECA,
  "pieck_table3_ml1m": PIECK_TABLE3_ML1M,
  "pieck_table3_published": PIECK_TABLE3_PUBLISHED,
  "pieck_table3_ncf": PIECK_TABLE3_NCF,
  "pieck_table4": PIECK_TABLE4,
  "pieck_table4_ncf": PIECK_TABLE4_NCF,
  "pieck_table4_published": PIECK_TABLE4_PUBLISHED,
  "pieck_table5": PIECK_TABLE5,
  "pieck_table6": PIECK_TABLE6,
  "pieck_table7": PIECK_TABLE7,
  "pieck_table9": PIECK_TABLE9,
  "pieck_table10": PIECK_TABLE10,
  "pieck_table11": PIECK_TABLE11,
  "pieck_figure5": PIECK_FIGURE5,
  "pieck_figure7": PIECK_FIGURE7,
  "spattack_table3": SPATTACK_TABLE3,
  "spattack_table3_ml1m": SPATTACK_TABLE3_ML1M,
  "spattack_table3_steam": SPATTACK_TABLE3_STEAM,
  "spattack_figure3": SPATTACK_FIGURE3,
  "spattack_figure4": SPATTACK_FIGURE4,
  "spattack_figure5": SPATTACK_FIGURE5,
  "psmu_ml1m": PSMU_ML1M,
  "visual_shares_ml100k": VISUAL_SHARES_ML100K,
}

GROUPS: dict[str, tuple[str, ...]] = {
  **{
    paper: tuple(dict.fromkeys(name for item in ITEMS if item.paper == paper for name in item.recipes))
    for paper in PAPERS
  },
  "all": tuple(dict.fromkeys(name for item in ITEMS for name in item.recipes)),
}
"""The recipes of a paper, and of all papers, by the name that stands for them."""

__all__ = ["GROUPS", "ITEMS", "PAPERS", "RECIPES", "Figure", "Item", "Recipe"]
