"""Evaluation protocols of the papers, as fields that others override, from the library and the shell."""

import pytest

from experiments.grid import expand, field_values, varying_fields
from experiments.recipes import RECIPES
from experiments.sweep.flags import parse_command_line
from fedrecjax.config import ConfigError, from_flat
from fedrecjax.config.presets import PRESETS, PROTOCOL_FIELDS

SAMPLED = {"eval.candidates": "sampled", "eval.num_negatives": 99, "eval.held_out_negative": False}
# What docs/evaluation.md says of each.
EXPECTED = {
  "pieck": SAMPLED | {
    "data.split": "default",
    "eval.held_out_negative": True,
    "eval.exposure_among": "not_trained",
    "eval.left_out": 0.0,
    "eval.ks": [5, 10, 20],
  },
  "fedrecattack": SAMPLED | {
    "data.split": "default",
    "eval.exposure_among": "unseen",
    "eval.left_out": 0.0,
    "eval.ks": [5, 10],
  },
  "cluster_union": {
    "data.split": "last_two",
    "eval.candidates": "all",
    "eval.exposure_among": "not_trained",
    "eval.left_out": 0.05,
    "eval.ks": [5, 10, 20],
  },
  "spattack": SAMPLED | {
    "data.split": "default",
    "eval.num_negatives": 100,
    "eval.exposure_among": "not_trained",
    "eval.left_out": 0.0,
    "eval.ks": [5, 10],
  },
  "psmu": {
    "data.split": "ratio",
    "data.test_ratio": 0.2,
    "eval.candidates": "all",
    "eval.exposure_among": "not_trained",
    "eval.left_out": 0.0,
    "eval.ks": [5, 20],
  },
}


def test_every_preset_is_described():
  assert list(EXPECTED) == list(PRESETS)
  assert {field.partition(".")[0] for field in PROTOCOL_FIELDS} == {"data", "eval"}


@pytest.mark.parametrize("name", EXPECTED)
def test_fields_of_a_preset(name):
  found = from_flat({"eval.preset": name}).flat()
  assert {field: found[field] for field in EXPECTED[name]} == EXPECTED[name]
  # Everything else has its default.
  default = from_flat({}).flat()
  assert {field for field in found if found[field] != default[field]} <= set(EXPECTED[name])
  assert "eval.preset" not in found


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_a_spelling_of_its_fields(name):
  spelt, short = from_flat(PRESETS[name]), from_flat({"eval.preset": name})
  assert spelt == short and spelt.hash() == short.hash()
  assert from_flat(short.flat()) == short


def test_explicit_fields_override():
  values = {"eval.num_negatives": 7, "eval.preset": "pieck", "data.split": "random", "eval.every": 3}
  for order in (values, dict(reversed(values.items()))):
    found = from_flat(order)
    assert (found.eval.num_negatives, found.data.split, found.eval.every) == (7, "random", 3)
    assert found.eval.candidates == "sampled" and found.eval.held_out_negative


def test_a_preset_leaves_the_callers_values_and_itself_alone():
  values = {"eval.preset": "psmu", "eval.ks": [3]}
  before = {name: dict(preset) for name, preset in PRESETS.items()}
  from_flat(values)
  assert values == {"eval.preset": "psmu", "eval.ks": [3]} and before == PRESETS


@pytest.mark.parametrize("name", ["piek", "", "pieck+psmu", 3])
def test_an_unknown_preset_is_one_line(name):
  message = r"^eval\.preset must be one of pieck, fedrecattack, cluster_union, spattack, psmu, got "
  with pytest.raises(ConfigError, match=message) as caught:
    from_flat({"eval.preset": name})
  assert "\n" not in str(caught.value) and repr(name) in str(caught.value)


def test_no_preset_is_none():
  assert from_flat({"eval.preset": None}) == from_flat({})


def test_presets_are_an_axis():
  assert field_values("eval.preset", "pieck, spattack") == ["pieck", "spattack"]
  cells = expand([{}], {"attack": "none,random", "eval.preset": "pieck,spattack", "eval.ks": "3"})
  found = [(cell.flat["attack"], cell.flat["eval.num_negatives"]) for cell in cells]
  assert sorted(found) == [("none", 99), ("none", 100), ("random", 99), ("random", 100)]
  assert all(cell.config.eval.ks == (3,) for cell in cells)
  assert varying_fields(cells) == ["attack", "eval.num_negatives", "eval.held_out_negative"]
  assert {cell.hash for cell in cells} == {from_flat(cell.flat).hash() for cell in cells}


def test_a_preset_and_its_fields_are_one_cell():
  presets = expand([{}], {"eval.preset": "spattack,spattack"})
  spelt = expand([{}], {
    "data.split": "default", "eval.candidates": "sampled", "eval.num_negatives": "100", "eval.ks": "5+10"})
  assert [cell.hash for cell in presets] == [cell.hash for cell in spelt]


def test_a_preset_of_the_command_line_replaces_the_protocol_of_a_recipe():
  blocks = RECIPES["pieck_table3"].settings
  assert any("eval.held_out_negative" in block for block in blocks)
  cells = expand(blocks, {"eval.preset": "cluster_union", "eval.left_out": "0.1", "seed": "1"})
  expected = EXPECTED["cluster_union"] | {"eval.left_out": 0.1, "eval.held_out_negative": False}
  for cell in cells:
    assert {field: cell.flat[field] for field in expected} == expected
  plain = expand(blocks, {"seed": "1"})
  assert len(plain) == len(cells)
  assert [cell.config.train for cell in plain] == [cell.config.train for cell in cells]


def test_the_command_line_knows_the_flag():
  options = parse_command_line(["sweep", "--eval.preset=pieck,spattack", "--eval.num_negatives=9"])
  assert options.settings == {"eval.preset": "pieck,spattack", "eval.num_negatives": "9"}
  cells = expand([{}], options.settings)
  assert [cell.config.eval.num_negatives for cell in cells] == [9, 9]
  with pytest.raises(ConfigError, match=r"eval\.preset must be one of pieck"):
    expand([{}], {"eval.preset": "pieck,,spattack"})
