"""How the papers train, as fields that others override and that follow the model."""

import pytest

from experiments.grid import expand
from experiments.recipes import RECIPES
from experiments.sweep.flags import parse_command_line
from fedrecjax.config import ConfigError, from_flat
from fedrecjax.config.training_presets import TRAINING_FIELDS, TRAINING_PRESETS

PAIRS = [(name, model) for name, preset in TRAINING_PRESETS.items() for model in preset.models]


@pytest.mark.parametrize(("name", "model"), PAIRS)
def test_a_preset_is_a_spelling_of_its_fields(name, model):
  short = from_flat({"train.preset": name, "model": model})
  preset = TRAINING_PRESETS[name]
  fields = {**preset.common, **preset.models[model]}
  own = {field: value for field, value in fields.items() if field.partition(".")[0] in ("train", "none", model)}
  assert from_flat({"model": model, **own}) == short and from_flat(short.flat()) == short
  assert "train.preset" not in short.flat()
  default = from_flat({"model": model}).flat()
  assert {field for field, value in short.flat().items() if value != default[field]} <= set(own)


def test_settings_follow_the_model():
  rates = {pair: from_flat({"train.preset": pair[0], "model": pair[1]}).train.learning_rate for pair in PAIRS}
  assert rates["pieck", "mf"] == 1.0 and rates["pieck", "ncf"] == 0.005
  assert rates["cluster_union", "mf"] == 0.002 and rates["cluster_union", "sasrec"] == 0.001
  mf, sasrec = (from_flat({"train.preset": "cluster_union", "model": model}).train for model in ("mf", "sasrec"))
  assert (mf.client_optimizer, sasrec.client_optimizer) == ("adam_table", "sgd")


def test_a_rules_scale_follows_the_paper_where_the_rule_takes_part():
  for defense in ("none", "median", "trimmed_mean", "krum"):
    assert from_flat({"train.preset": "spattack", "defense": defense}).flat()[f"{defense}.scale"] == "mean"
  found = from_flat({"train.preset": "spattack", "defense": "norm_bound+median"}).flat()
  assert found["median.scale"] == "mean" and "none.scale" not in found
  assert from_flat({"train.preset": "pieck", "defense": "median"}).flat()["median.scale"] == "sum"


def test_explicit_fields_override():
  found = from_flat({"train.preset": "pieck", "train.epochs": 7, "mf.dim": 4, "eval.preset": "spattack"})
  assert (found.train.epochs, found.flat()["mf.dim"], found.train.duplicates) == (7, 4, "first")
  assert found.eval.num_negatives == 100


def test_a_model_without_a_step_size_of_the_paper_needs_one():
  with pytest.raises(ConfigError, match=r"has a train\.learning_rate for mf, ncf, and none for lightgcn"):
    from_flat({"train.preset": "pieck", "model": "lightgcn"})
  found = from_flat({"train.preset": "pieck", "model": "lightgcn", "train.learning_rate": 0.1})
  assert (found.train.learning_rate, found.train.duplicates) == (0.1, "first")


@pytest.mark.parametrize("name", ["piek", "", 3])
def test_an_unknown_preset_is_one_line(name):
  with pytest.raises(ConfigError, match=r"^train\.preset must be one of pieck, fedrecattack, cluster_union, "):
    from_flat({"train.preset": name})


def test_a_preset_of_the_command_line_replaces_how_a_recipe_trains():
  options = parse_command_line(["sweep", "--train.preset=spattack", "--train.epochs=3"])
  blocks = RECIPES["fedrecattack_table9"].settings
  cells = expand(blocks, options.settings)
  assert {(cell.config.train.l2_clients, cell.config.train.l2_rows, cell.config.train.epochs) for cell in cells} == {
    ("all", "copies", 3)}
  assert {cell.flat["norm_bound.max_norm"] for cell in cells} == {1.0}


def test_presets_are_an_axis():
  cells = expand([{}], {"train.preset": "pieck,spattack", "train.epochs": "2"})
  assert [cell.config.train.loss for cell in cells] == ["bce", "bpr"]
  assert {"train.loss", "mf.dim", "none.scale"} <= TRAINING_FIELDS
