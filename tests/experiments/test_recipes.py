"""Every recipe is a grid that can be run, with figures that belong to its rows; every item of the papers has a name."""

import pytest

from experiments.grid import expand
from experiments.recipes import GROUPS, ITEMS, PAPERS, RECIPES
from experiments.results.report import group_by_seed
from fedrecjax.config import with_unset

# The tables and figures of results of the five papers.
NAMES = {
  "cluster": "table1 table2 table3 table4 table5 figure2 figure3 figure4",
  "fedrecattack": "table2 table3 table4 table5 table6 table7 table8 table9 figure3",
  "pieck": "table2 table3 table4 table5 table6 table7 table8 table9 table10 table11"
           " figure3 figure4 figure5 figure6 figure7",
  "spattack": "table2 table3 figure3 figure4 figure5 proposition2",
  "gdmpd": "table1 table2 table3 table4 figure3 figure4 figure5 figure6 figure7 figure8",
}
# Recipes of earlier days, some of which are part of another one; they stay as they were.
FORMER = {
  "cluster_ml1m": 10, "demo": 24, "gdmpd_ml100k": 36, "images_demo": 12, "models_ml100k": 42,
  "pieck_table3_published": 20, "psmu_ml1m": 12, "visual_shares_ml100k": 72,
}


def test_every_item_has_a_recipe_or_a_command_or_says_what_is_missing():
  assert {item.name for item in ITEMS} == {f"{paper}_{one}" for paper, text in NAMES.items() for one in text.split()}
  assert len(ITEMS) == len({item.name for item in ITEMS}) == 48 and list(NAMES) == list(PAPERS)
  for item in ITEMS:
    assert item.recipes or item.command or item.missing, item.name
    assert set(item.recipes) <= set(RECIPES)
    if item.recipes:
      assert item.recipes[0].startswith(item.name) or item.name == "pieck_figure6"


def test_a_papers_name_stands_for_all_its_recipes():
  assert set(GROUPS) == {*PAPERS, "all"} and not set(GROUPS) & set(RECIPES)
  assert sorted(GROUPS["all"]) == sorted({name for paper in PAPERS for name in GROUPS[paper]})
  parts = {"pieck_table3_published", "pieck_table4_published", "cluster_ml1m", "psmu_ml1m"}
  assert set(RECIPES) - set(GROUPS["all"]) == parts | {"demo", "images_demo", "matrix", "models_ml100k"}
  assert all(len(GROUPS[paper]) > 3 for paper in PAPERS)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_a_grid_with_a_source(name):
  recipe = RECIPES[name]
  cells = expand(recipe.settings, {})
  assert cells and recipe.title and recipe.metrics
  assert len({cell.hash for cell in cells}) == len(cells)
  if name in GROUPS["all"] and name not in FORMER:
    assert recipe.reference and recipe.settings_from
    assert {cell.config.seed for cell in cells} == {0, 1, 2, 3, 4}
  if recipe.figures:
    assert recipe.reference
  for line in (*recipe.settings_from, *recipe.missing):
    assert line and not line.endswith(".")


@pytest.mark.parametrize("name", [name for name, recipe in RECIPES.items() if recipe.figures])
def test_every_figure_belongs_to_one_row_and_one_field(name):
  recipe = RECIPES[name]
  rows = [with_unset(group.flat) for group in group_by_seed(expand(recipe.settings, {}))]
  taken = set()
  for figure in recipe.figures:
    (place,) = [
      number for number, flat in enumerate(rows)
      if all(field in flat and flat[field] == value for field, value in figure.where.items())
    ]
    assert figure.values
    for metric, value in figure.values.items():
      assert metric in recipe.metrics and 0 <= value <= 1
      assert (place, metric) not in taken
      taken.add((place, metric))
      kind, _, length = metric.partition("@")
      assert kind in ("er", "hr", "ndcg", "target_ndcg") and int(length) in rows[place]["eval.ks"]


@pytest.mark.parametrize(("name", "count"), FORMER.items())
def test_former_recipes_have_as_many_cells_as_they_had(name, count):
  assert len(expand(RECIPES[name].settings, {})) == count


def test_a_former_recipe_is_part_of_the_whole_table():
  def hashes(name):
    return {cell.hash for cell in expand(RECIPES[name].settings, {})}

  assert hashes("cluster_ml1m") < hashes("cluster_table1")


def test_what_cannot_be_had_is_said():
  (gowalla,) = RECIPES["cluster_table1_gowalla"].missing
  assert "1,585,043" in gowalla and "1,027,370" in gowalla
  for name in GROUPS["gdmpd"]:
    if name.startswith("gdmpd_") and name != "gdmpd_ml100k":
      assert any("Amazon" in line for line in RECIPES[name].missing)
  figures = RECIPES["cluster_table1_gowalla"].figures
  assert all("without repeats and time" in figure.not_comparable for figure in figures)


def test_figures_as_their_tables_print_them():
  """Some from each paper, read once more: a whole row, a corner, a figure that is printed twice."""
  expected = {
    ("pieck_table3_amazon", "pieck_uea", "mf"): (0.7211, 0.2409),
    ("pieck_table3_ml1m", "a_hum", "ncf"): (1.0, 0.4733),
    ("cluster_table1", "fang", "sasrec"): (0.08964, 0.05909),
    ("cluster_table1_gowalla", "cluster", "mf"): (0.01664, 0.01117),
    ("spattack_table3_steam", "fang", "mf"): (0.0278, 0.0160, 0.0619, 0.0269),
  }
  for (name, attack, model), values in expected.items():
    (figure,) = [
      one for one in RECIPES[name].figures if (one.where["attack"], one.where["model"]) == (attack, model)]
    assert tuple(figure.values.values()) == values
  (of_table9,) = [
    one for one in RECIPES["pieck_table9"].figures
    if one.where.get("pieck_uea.strategy") == "copy" and one.where["attacker.num_targets"] == 5
    and one.where["defense"] == "none"]
  assert of_table9.values == {"er@10": 0.9765, "hr@10": 0.5769}
