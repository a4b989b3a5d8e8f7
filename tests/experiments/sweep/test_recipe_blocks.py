"""Recipes for other models and data sets, and flags that replace what their blocks have differently."""

import pytest

from experiments.errors import UsageError
from experiments.grid import expand
from experiments.recipes import RECIPES
from experiments.sweep.command import main
from experiments.sweep.recipe_blocks import fitted_blocks, multiplied


def fitted(recipe, **overrides):
  overrides = {name.replace("__", "."): text for name, text in overrides.items()}
  return fitted_blocks(recipe, RECIPES[recipe].settings, overrides)


def test_blocks_of_other_models_are_left_out():
  blocks, left = fitted("models_ml100k", model="ncf,sasrec", seed="0")
  assert [block["model"] for block in blocks] == ["ncf", "ncf", "sasrec", "sasrec"] and left == {"seed": "0"}
  assert {block["train.preset"] for block in blocks} == {"pieck", "cluster_union"}


def test_blocks_of_several_data_sets_keep_those_asked_for():
  blocks, _ = fitted("fedrecattack_table7", dataset="steam-200k")
  assert {block["dataset"] for block in blocks} == {"steam-200k"} and len(blocks) == 2


def test_without_such_flags_a_recipe_is_as_it_is():
  blocks, left = fitted("pieck_table4", train__epochs="2")
  assert blocks == [dict(block) for block in RECIPES["pieck_table4"].settings] and left == {"train.epochs": "2"}


def test_another_data_set_takes_the_settings_where_there_is_no_doubt():
  blocks, _ = fitted("pieck_table3", dataset="ml-1m,ml-100k")
  assert [block["dataset"] for block in blocks] == ["ml-1m,ml-100k"]


@pytest.mark.parametrize(
  ("recipe", "overrides", "message"),
  [
    ("pieck_table3", {"model": "fedgnn"}, "--model=fedgnn: recipe pieck_table3 has --train.learning_rate for mf"),
    ("models_ml100k", {"model": "vncf"}, "settings of its own for each of fedgnn, lightgcn, mf, ncf, sasrec, and none"),
    ("fedrecattack_table7", {"model": "ncf"}, "--train.learning_rate and --train.l2 for mf; give your own for ncf"),
  ],
)
def test_what_is_in_doubt_is_refused(recipe, overrides, message):
  with pytest.raises(UsageError, match=message):
    fitted(recipe, **overrides)


def test_another_model_with_a_step_size_of_its_own():
  blocks, left = fitted("pieck_table3", model="fedgnn", train__learning_rate="0.005")
  assert [block["model"] for block in blocks] == ["fedgnn"] and left == {"train.learning_rate": "0.005"}
  assert {cell.config.train.learning_rate for cell in expand(blocks, left)} == {0.005}


def test_another_model_that_the_paper_trains_too_has_its_step_size():
  blocks, left = fitted("pieck_table3", model="ncf", seed="0")
  assert {(cell.config.train.learning_rate, cell.config.train.epochs) for cell in expand(blocks, left)} == {(0.005, 60)}


def test_another_papers_training_replaces_the_recipes():
  blocks, left = fitted("pieck_table3", model="fedgnn", train__preset="spattack", seed="0")
  cells = expand(blocks, left)
  assert {(cell.config.train.l2, cell.config.train.duplicates) for cell in cells} == {(0.1, "sum")}


def test_flags_that_multiply_unequal_blocks_are_named(capsys):
  blocks = RECIPES["spattack_table3"].settings
  assert multiplied(blocks, {"defense": "none,median", "seed": "0-1", "train.epochs": "1,2"}) == ["defense"]
  assert multiplied(blocks, {"defense": "median"}) == []
  assert main(["sweep", "--recipe=spattack_table3", "--defense=none,median", "--list"]) == 0
  assert "--defense replaces what 6 blocks" in capsys.readouterr().err
