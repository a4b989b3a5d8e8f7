"""Every table and figure of results of the five papers, and what makes it."""

from __future__ import annotations

from typing import NamedTuple

PAPERS = {
  "cluster": "ClusterAttack and UNION (Yu et al., 2023)",
  "fedrecattack": "FedRecAttack (Rong et al., 2022)",
  "pieck": "PIECK (Zhang et al., 2024)",
  "spattack": "Spattack (AAAI 2025)",
  "gdmpd": "PSMU(V), PSMU++ and GDMPD (Yuan et al., 2023)",
}
_STATISTICS = "python -m experiments.data"
_POPULARITY = "python -m experiments.popularity"
_IMAGE_REPORT = "python -m experiments.image_report"


class Item(NamedTuple):
  """A table or a figure of a paper.

  Attributes:
    paper: one of `PAPERS`.
    number: as the paper has it.
    recipes: names of those that make it, or parts of it.
    command: what else makes it.
    missing: what of it nothing makes yet; what cannot be had at all is with the recipes.
  """

  paper: str
  number: str
  recipes: tuple[str, ...] = ()
  command: str = ""
  missing: str = ""

  @property
  def name(self) -> str:
    """Of the item, as files and pages have it: `pieck_table3`."""
    kind, _, number = self.number.partition(" ")
    return f"{self.paper}_{kind.lower()}{_arabic(number)}"


def _arabic(number: str) -> str:
  """A number in figures; the papers of one publisher have Roman ones.

  >>> _arabic("IX"), _arabic("7")
  ('9', '7')
  """
  roman = ("I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI")
  return str(roman.index(number) + 1) if number in roman else number


ITEMS: tuple[Item, ...] = (
  Item("cluster", "Table 1", ("cluster_table1", "cluster_table1_gowalla")),
  Item("cluster", "Table 2", command=_STATISTICS),
  Item("cluster", "Table 3", ("cluster_table3",)),
  Item("cluster", "Table 4", ("cluster_table4",)),
  Item("cluster", "Table 5", ("cluster_table5",)),
  Item("cluster", "Figure 2", ("cluster_figure2",)),
  Item("cluster", "Figure 3", ("cluster_figure3",)),
  Item("cluster", "Figure 4", command="python -m experiments.gradients"),
  Item("fedrecattack", "Table II", command=_STATISTICS),
  Item("fedrecattack", "Table III", ("fedrecattack_table3",)),
  Item("fedrecattack", "Table IV", ("fedrecattack_table4",)),
  Item("fedrecattack", "Table V", ("fedrecattack_table5",)),
  Item("fedrecattack", "Table VI", ("fedrecattack_table6",)),
  Item("fedrecattack", "Table VII", ("fedrecattack_table7", "fedrecattack_table7_ml1m")),
  Item("fedrecattack", "Table VIII", ("fedrecattack_table8",)),
  Item("fedrecattack", "Table IX", ("fedrecattack_table9", "fedrecattack_table9_ml1m")),
  Item("fedrecattack", "Figure 3", ("fedrecattack_figure3",)),
  Item("pieck", "Table II", command=_POPULARITY),
  Item("pieck", "Table III", (
    "pieck_table3", "pieck_table3_ncf", "pieck_table3_fedreca", "pieck_table3_ml1m", "pieck_table3_amazon",
  )),
  Item("pieck", "Table IV", ("pieck_table4", "pieck_table4_ncf")),
  Item("pieck", "Table V", ("pieck_table5",)),
  Item("pieck", "Table VI", ("pieck_table6",)),
  Item("pieck", "Table VII", ("pieck_table7",)),
  Item("pieck", "Table VIII", command=_STATISTICS),
  Item("pieck", "Table IX", ("pieck_table9",)),
  Item("pieck", "Table X", ("pieck_table10",)),
  Item("pieck", "Table XI", ("pieck_table11",)),
  Item("pieck", "Figure 3", command=_STATISTICS),
  Item("pieck", "Figure 4", command=_POPULARITY),
  Item("pieck", "Figure 5", ("pieck_figure5",)),
  Item("pieck", "Figure 6", ("pieck_table3_ml1m",), command="python -m experiments.attack_costs"),
  Item("pieck", "Figure 7", ("pieck_figure7",)),
  Item("spattack", "Table 2", command=_STATISTICS),
  Item("spattack", "Table 3", ("spattack_table3", "spattack_table3_ml1m", "spattack_table3_steam")),
  Item("spattack", "Figure 3", ("spattack_figure3",)),
  Item("spattack", "Figure 4", ("spattack_figure4",)),
  Item("spattack", "Figure 5", ("spattack_figure5",)),
  Item("spattack", "Proposition 2", command="python -m experiments.breakdown"),
  Item("gdmpd", "Table 1", command=_STATISTICS),
  Item("gdmpd", "Table 2", ("gdmpd_table2",)),
  Item("gdmpd", "Table 3", command=_IMAGE_REPORT),
  Item("gdmpd", "Table 4", ("gdmpd_table4",), missing="the highest exposure of all epochs as a column of the results"),
  Item("gdmpd", "Figure 3", ("gdmpd_figure3",)),
  Item("gdmpd", "Figure 4", ("gdmpd_figure4", "visual_shares_ml100k")),
  Item("gdmpd", "Figure 5", ("gdmpd_figure5", "gdmpd_ml100k")),
  Item("gdmpd", "Figure 6", command=_IMAGE_REPORT),
  Item("gdmpd", "Figure 7", ("gdmpd_figure7", "gdmpd_ml100k")),
  Item("gdmpd", "Figure 8", command=_IMAGE_REPORT),
)
