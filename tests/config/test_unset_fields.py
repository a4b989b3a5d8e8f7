"""Fields that joined later, which leave hashes where they are, and targets, which are names."""

import json
import typing

import pytest

from fedrecjax.config import SECTIONS, ConfigError, DataConfig, from_flat, unset_fields, with_unset
from fedrecjax.datasets import FORMATS
from tests.config.test_run import GOLDEN, GOLDEN_HASH


def test_fields_that_joined_later_leave_hashes_where_they_are():
  assert set(unset_fields()) & set(from_flat({}).flat()) == set()
  for field, default in unset_fields().items():
    if field.partition(".")[0] in SECTIONS:
      assert from_flat(GOLDEN | {field: default}).hash() == GOLDEN_HASH
  others = {
    "data.columns": "user=a+item=b", "data.format": "csv", "data.separator": "tab", "data.encoding": "latin-1",
    "data.quotes": "none", "data.ids": "names", "data.min_rating": 4.0, "data.keep_if": "a=b", "data.user_core": 5,
    "data.item_core": 5, "data.unpack_ratio": 300, "attacker.public_file": "a.csv",
    "eval.after_uploads": True,
  }
  assert set(others) == {field for field in unset_fields() if field.partition(".")[0] in SECTIONS}
  hashes = {from_flat(GOLDEN | {field: other}).hash() for field, other in others.items()}
  assert len(hashes | {GOLDEN_HASH}) == len(others) + 1
  assert from_flat(from_flat(GOLDEN | others).flat()) == from_flat(GOLDEN | others)


def test_hyperparameters_that_joined_later_leave_hashes_where_they_are():
  plain = from_flat({"attack": "pieck_ipe"})
  others = {"pieck_ipe.metric": "kl", "pieck_ipe.partition": False}
  assert set(others) == {field for field in unset_fields() if field.partition(".")[0] not in SECTIONS}
  assert plain.hash() == "acf4e9bde316ad80"
  for field, other in others.items():
    assert from_flat({"attack": "pieck_ipe", field: unset_fields()[field]}).hash() == plain.hash()
    changed = from_flat({"attack": "pieck_ipe", field: other})
    assert changed.hash() != plain.hash() and from_flat(changed.flat()) == changed
  assert with_unset(plain.flat())["pieck_ipe.partition"] is True
  assert "pieck_ipe.metric" not in with_unset(from_flat({"attack": "pieck_uea"}).flat())


@pytest.mark.parametrize(("fields", "hash"), [
  ({}, "93dd978220c39743"),
  ({"dataset": "ml-1m", "attack": "fedrecattack", "train.loss": "bpr", "attacker.public_share": 0.05,
    "attacker.num_targets": 2}, "614e3cf226a8d6e8"),
  ({"dataset": "data/own.csv", "model": "ncf", "attack": "pieck_uea", "defense": "norm_bound+median", "seed": 4,
    "data.split": "ratio", "data.repeats": "drop"}, "73a3cfc9c841d4bd"),
  ({"attack": "spattack_od", "eval.preset": "spattack", "attacker.target_items": [5, 10]}, "65e822783177e267"),
  ({"model": "lightvgcn", "attack": "psmu_pp", "images.source": "covers", "defense": "gdmpd"}, "ea4d55811aa1a754"),
])  # fmt: skip
def test_hashes_are_those_of_before_these_fields(fields, hash):
  """Of configurations that give none of them, with the defaults that all other fields had then."""
  assert from_flat(fields).hash() == hash


def test_formats_of_the_flag_are_those_that_are_read():
  assert typing.get_args(typing.get_type_hints(DataConfig)["format"]) == ("auto", *FORMATS)


def test_targets_are_names():
  config = from_flat({"attack": "random", "attacker.target_items": ["7", "007", 3, "b"]})
  assert config.attacker.target_items == (7, "007", 3, "b")
  assert from_flat(json.loads(json.dumps(config.flat()))) == config
  for wrong in ([""], [1.5], [True], ["7", 7]):
    with pytest.raises(ConfigError, match=r"attacker\.target_items must be"):
      from_flat({"attack": "random", "attacker.target_items": wrong})
