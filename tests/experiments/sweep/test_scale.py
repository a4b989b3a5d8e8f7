"""Recipes at the quick scale: small cells, every value of every setting, and no figure of a paper beside them."""

import polars as pl
import pytest

from experiments.errors import UsageError
from experiments.grid import expand
from experiments.recipes import GROUPS, RECIPES
from experiments.results.report import recipe_table
from experiments.sweep.command import main
from experiments.sweep.flags import parse_command_line
from experiments.sweep.recipe_cells import blocks_of, cells_of_recipe
from experiments.sweep.scale import covering, quick_blocks


def options_of(*arguments):
  return parse_command_line(["sweep", *arguments])


def cells_of(recipe, *arguments):
  return cells_of_recipe(recipe, options_of(f"--recipe={recipe}", *arguments))


@pytest.mark.parametrize("name", GROUPS["all"])
def test_a_quick_recipe_is_small(name):
  quick = cells_of(name, "--scale=quick")
  assert 0 < len(quick) <= 36 and {cell.config.dataset for cell in quick} == {"synthetic"}
  assert {cell.config.seed for cell in quick} == {0, 1} and {cell.config.train.epochs for cell in quick} == {4}
  for cell in quick:
    if cell.flat["attack"] != "none":
      # Of 200 users or more somebody is malicious, and attacks while there is training.
      assert cell.config.attacker.malicious_ratio >= 0.005 and cell.config.attacker.start_epoch < 4
  full = expand(RECIPES[name].settings, {})
  for field in ("model", "attack", "defense"):
    assert {cell.flat[field] for cell in quick} == {cell.flat[field] for cell in full}


def test_rows_that_cover_every_value():
  cells = expand([{}], {"attack": "none,random,popular", "defense": "none,median,krum", "seed": "0-1"})
  kept = covering(cells)
  assert [cell for cell in cells if cell in kept] == kept and len(kept) == 6
  for field in cells[0].flat:
    assert {repr(cell.flat.get(field)) for cell in cells} == {repr(cell.flat.get(field)) for cell in kept}
  assert covering(kept) == kept and covering([]) == []


def test_blocks_keep_what_is_not_about_size():
  (block,) = quick_blocks([{"attack": "pieck_uea", "attacker.start_epoch": "0,20,40", "images.source": "posters"}])
  assert (block["attack"], block["attacker.start_epoch"], block["images.source"]) == ("pieck_uea", "0,1", "covers")


def test_flags_change_the_quick_scale_too():
  cells = cells_of("pieck_table4", "--scale=quick", "--train.epochs=2", "--seed=7")
  assert {(cell.config.train.epochs, cell.config.seed) for cell in cells} == {(2, 7)}
  cells = cells_of("pieck_table4", "--scale=quick", "--dataset=ml-100k")
  assert {cell.config.dataset for cell in cells} == {"ml-100k"}


def test_without_the_flag_a_recipe_is_the_papers():
  options = options_of("--recipe=pieck_table5,pieck_table6")
  cells = expand(*blocks_of(options))
  of_each = {cell.hash for name in options.recipes for cell in cells_of_recipe(name, options)}
  assert {cell.hash for cell in cells} == of_each and {cell.config.train.epochs for cell in cells} == {300}


def test_a_flag_may_concern_some_of_the_recipes():
  options = options_of("--recipe=pieck_table5,cluster_table3", "--pieck_uea.num_popular=7")
  assert cells_of_recipe("cluster_table3", options)
  assert {cell.flat["pieck_uea.num_popular"] for cell in cells_of_recipe("pieck_table5", options)
          if cell.flat["attack"] == "pieck_uea"} == {7}


def test_no_figure_stands_beside_quick_rows():
  recipe = RECIPES["pieck_table3"]
  cells = cells_of("pieck_table3", "--scale=quick")
  results = pl.DataFrame({"config_hash": [cell.hash for cell in cells], "er@10": [0.5] * len(cells),
                          "hr@10": [0.5] * len(cells), "wall_s": [1.0] * len(cells)})
  table = recipe_table(recipe, cells, results, {}, ["Quick"])
  assert not any("paper" in column or "verdict" in column for column in table.header)
  assert "Quick." in table.notes


def test_the_scale_is_of_recipes():
  with pytest.raises(UsageError, match="--scale goes with --recipe"):
    options_of("--scale=quick", "--attack=none")
  with pytest.raises(UsageError, match="scale"):
    options_of("--scale=middling", "--recipe=demo")


def test_a_paper_is_asked_for_by_name(capsys):
  options = options_of("--recipe=spattack", "--scale=quick")
  assert options.recipes == GROUPS["spattack"] and str(options.out_dir) == "results/spattack"
  assert options_of("--recipe=pieck,pieck_table3").recipes == GROUPS["pieck"]
  assert main(["sweep", "--recipe=spattack", "--scale=quick", "--list"]) == 0
  assert "finished in results/spattack" in capsys.readouterr().out
