"""Configurations: the flat form, the hash, parsing, errors."""

import json
from typing import Literal

import pytest

from fedrecjax.config import AttackerConfig, ConfigError, EvalConfig, TrainConfig, from_flat, parse

# Every field is given, so that a changed default does not change the hash.
GOLDEN = {
  "dataset": "ml-100k",
  "model": "mf",
  "attack": "pieck_ipe",
  "defense": "norm_bound+median",
  "seed": 3,
  "data.split": "last",
  "data.test_ratio": 0.2,
  "data.repeats": "keep",
  "data.too_few": "drop",
  "data.seed": 0,
  "train.epochs": 300,
  "train.clients_per_round": 256,
  "train.participation": "shuffled",
  "train.loss": "bce",
  "train.reduction": "mean",
  "train.num_negatives": 1,
  "train.negatives": "once",
  "train.negatives_outside": "training",
  "train.duplicates": "sum",
  "train.learning_rate": 1.0,
  "train.client_learning_rate": None,
  "train.client_learning_rates": "fixed",
  "train.client_optimizer": "sgd",
  "train.local_steps": 1,
  "train.server_optimizer": "sgd",
  "train.l2": 0.0,
  "train.l2_rows": "uploaded",
  "train.l2_clients": "all",
  "train.dropout": 0.0,
  "train.row_clip": None,
  "train.upload_noise": 0.0,
  "train.pseudo_items": 0,
  "train.privacy_clip": None,
  "train.privacy_noise": 0.0,
  "attacker.malicious_ratio": 0.05,
  "attacker.ratio_of": "users",
  "attacker.membership": "added",
  "attacker.targets": "given",
  "attacker.num_targets": 1,
  "attacker.target_items": [5, 10],
  "attacker.start_epoch": 0,
  "attacker.stop_epoch": None,
  "attacker.colluding": True,
  "attacker.own_items": 30,
  "attacker.public_share": 0.01,
  "eval.every": 10,
  "eval.candidates": "sampled",
  "eval.num_negatives": 99,
  "eval.held_out_negative": True,
  "eval.exposure_among": "not_trained",
  "eval.left_out": 0.0,
  "eval.ks": [5, 10],
  "mf.dim": 32,
  "mf.init_std": 0.01,
  "pieck_ipe.num_popular": 10,
  "pieck_ipe.strength": 0.9,
  "pieck_ipe.weighting": "subset",
  "pieck_ipe.mining_differences": 2,
  "pieck_ipe.before_mined": "wait",
  "pieck_ipe.strategy": "together",
  "pieck_ipe.lengthen_above": None,
  "pieck_ipe.scale": 1.0,
  "norm_bound.max_norm": 1e-3,
  "norm_bound.scope": "row",
  "median.scale": "sum",
  "median.scope": "item",
  "median.dense_zeros": False,
  "median.shared": "rule",
}
GOLDEN_HASH = "338ad41f772c3543"


def test_the_hash_of_a_fixed_configuration():
  """Results are kept under these hashes: a change here orphans every finished cell, so it has to be
  meant.
  """
  config = from_flat(GOLDEN)
  assert config.flat() == GOLDEN
  assert config.hash() == GOLDEN_HASH


def test_the_hash_does_not_depend_on_the_order_of_fields():
  assert from_flat(dict(reversed(GOLDEN.items()))).hash() == GOLDEN_HASH


# What a field needs beside it to be anything but its default.
NEEDED = {
  "train.upload_noise": {"train.row_clip": 1.0},
  "train.privacy_noise": {"train.privacy_clip": 1.0},
  "train.client_learning_rates": {"train.client_learning_rate": 0.5},
}


# A share strictly between 0 and 1 has no whole value.
@pytest.mark.parametrize(
  "field",
  [
    name for name, value in GOLDEN.items() if isinstance(value, float) and name != "data.test_ratio"
  ],
)
def test_the_hash_does_not_depend_on_the_spelling_of_a_number(field):
  # A whole number where there can be one: 1 and 1.0 are the same step size.
  below_one = ("train.dropout", "attacker.malicious_ratio", "eval.left_out")
  whole = 0 if field in (*below_one, *NEEDED) else 1
  as_int, as_float = (from_flat(GOLDEN | {field: value}).hash() for value in (whole, float(whole)))
  assert as_int == as_float


# Another model, attack or choice of targets changes which fields there are.
@pytest.mark.parametrize(
  "field", [name for name in GOLDEN if name not in ("model", "attack", "attacker.targets")]
)
def test_the_hash_depends_on_every_field(field):
  value = GOLDEN[field]
  other = {
    "dataset": "ml-1m",
    "attacker.ratio_of": "all",
    "defense": "median+norm_bound",
    "data.split": "random",
    "data.repeats": "drop",
    "data.too_few": "error",
    "train.participation": "uniform",
    "train.loss": "bpr",
    "train.reduction": "sum",
    "train.negatives": "every_round",
    "train.negatives_outside": "interacted",
    "train.duplicates": "first",
    "train.client_learning_rate": 0.5,
    "train.client_learning_rates": "uniform",
    "train.client_optimizer": "adam",
    "train.server_optimizer": "adam",
    "train.l2": 0.1,
    "train.l2_rows": "copies",
    "train.l2_clients": "benign",
    "train.dropout": 0.2,
    "train.row_clip": 1.0,
    "train.privacy_clip": 1.0,
    "train.privacy_noise": 0.1,
    "attacker.membership": "converted",
    "attacker.stop_epoch": 7,
    "attacker.colluding": False,
    "norm_bound.scope": "client",
    "median.scope": "client",
    "median.dense_zeros": True,
    "median.shared": "sum",
    "attacker.target_items": [5, 11],
    "eval.candidates": "all",
    "eval.held_out_negative": False,
    "eval.exposure_among": "unseen",
    "eval.left_out": 0.05,
    "eval.ks": [10, 5],
    "pieck_ipe.weighting": "list",
    "pieck_ipe.before_mined": "arbitrary",
    "pieck_ipe.strategy": "copy",
    "pieck_ipe.lengthen_above": 0.95,
    "median.scale": "mean",
    "train.upload_noise": 0.1,
  }.get(
    field,
    value * 0.5 if isinstance(value, float) else value + 1 if isinstance(value, int) else None,
  )
  beside = GOLDEN | NEEDED.get(field, {})
  assert from_flat(beside | {field: other}).hash() != from_flat(beside).hash()


def test_json_round_trip():
  config = from_flat(GOLDEN)
  again = from_flat(json.loads(json.dumps(config.flat())))
  assert again == config and again.hash() == config.hash()
  assert again.eval.ks == (5, 10)


def test_defaults_are_a_configuration():
  config = from_flat({})
  assert config.dataset == "synthetic" and config.model.name == "mf"
  assert from_flat(config.flat()) == config


def test_without_an_attack_nobody_is_malicious():
  first = from_flat({
    "attacker.malicious_ratio": 0.3, "attacker.membership": "converted", "attacker.start_epoch": 5,
    "attacker.colluding": False,
  })
  assert first.attacker.malicious_ratio == 0
  assert first.hash() == from_flat({}).hash()


@pytest.mark.parametrize(
  ("values", "message"),
  [
    ({"model": "nmf"}, "unknown model 'nmf'; known: .*mf"),
    ({"attack": "pieck"}, "unknown attack 'pieck'; known: "),
    ({"defense": "median+krumm"}, "unknown defense 'krumm'; known: "),
    ({"defense": "median+median"}, "names a part twice"),
    ({"train.speed": 1}, r"unknown field train\.speed; known: .*learning_rate"),
    ({"pieck_uea.scale": 1.0}, r"pieck_uea\.scale belongs to no part of this run"),
    ({"color": 1}, "color.* belongs to no part"),
    ({"seed": -1}, "seed must be an integer"),
    ({"seed": 1.5}, "seed must be an integer"),
    ({"seed": 2**31}, "seed must be an integer"),
    ({"train.epochs": 0}, r"train\.epochs must be positive, got 0"),
    ({"train.epochs": 2.5}, r"train\.epochs must be"),
    ({"train.learning_rate": 0.0}, r"train\.learning_rate must be positive"),
    ({"train.learning_rate": float("nan")}, r"train\.learning_rate must be a finite number"),
    ({"train.learning_rate": float("inf")}, r"train\.learning_rate must be"),
    ({"train.learning_rate": "fast"}, r"train\.learning_rate must be"),
    ({"train.client_learning_rate": -1.0}, r"train\.client_learning_rate must be positive or none"),
    ({"train.row_clip": 0.0}, r"train\.row_clip must be positive or none"),
    ({"train.upload_noise": -0.1}, r"train\.upload_noise must be 0 or more"),
    ({"train.upload_noise": 0.1}, r"train\.row_clip must be set where train\.upload_noise is"),
    ({"train.privacy_noise": 0.1}, r"train\.privacy_clip must be set where train\.privacy_noise is"),
    ({"train.privacy_clip": 0.0}, r"train\.privacy_clip must be positive or none"),
    ({"train.privacy_noise": -1.0}, r"train\.privacy_noise must be 0 or more"),
    ({"train.l2": -0.1}, r"train\.l2 must be 0 or more"),
    ({"train.l2_rows": "all"}, r"train\.l2_rows must be"),
    ({"train.dropout": 1.0}, r"train\.dropout must be at least 0 and below 1"),
    ({"train.pseudo_items": -1}, r"train\.pseudo_items must be 0 or more"),
    ({"train.local_steps": 0}, r"train\.local_steps must be positive"),
    ({"train.client_optimizer": "lazy_adam"}, r"train\.client_optimizer must be"),
    ({"train.server_optimizer": "adam_table"}, r"train\.server_optimizer must be"),
    (
      {"train.client_learning_rates": "uniform"},
      r"train\.client_learning_rate must be set where train\.client_learning_rates draws",
    ),
    (
      {
        "train.client_optimizer": "adam_table",
        "train.client_learning_rates": "uniform",
        "train.client_learning_rate": 0.1,
      },
      r"train\.client_learning_rates must be fixed where train\.client_optimizer=adam_table",
    ),
    (
      {"train.local_steps": 2, "train.client_optimizer": "adam"},
      r"train\.client_optimizer must be sgd where train\.local_steps is above 1",
    ),
    (
      {"train.local_steps": 2, "train.pseudo_items": 3},
      r"train\.pseudo_items must be 0 where train\.local_steps is above 1",
    ),
    (
      {"train.local_steps": 2, "train.duplicates": "first"},
      r"train\.duplicates must be sum where train\.local_steps is above 1",
    ),
    ({"eval.exposure_among": "all"}, r"eval\.exposure_among must be"),
    ({"eval.left_out": 1.0}, r"eval\.left_out must be at least 0 and below 1"),
    (
      {"train.duplicates": "first", "train.negatives": "every_round"},
      r"train\.negatives must be once",
    ),
    ({"train.loss": "hinge"}, r"train\.loss must be"),
    ({"train.reduction": "total"}, r"train\.reduction must be"),
    ({"train.participation": "all"}, r"train\.participation must be"),
    ({"data.test_ratio": 1.0}, r"data\.test_ratio must be between 0 and 1"),
    ({"data.split": "first"}, r"data\.split must be"),
    ({"data.seed": -1}, r"data\.seed must be 0 or more"),
    (
      {"attacker.malicious_ratio": 1.0},
      r"attacker\.malicious_ratio must be at least 0 and below 1",
    ),
    ({"attacker.num_targets": 0}, r"attacker\.num_targets must be positive"),
    ({"attacker.targets": "given"}, r"attacker\.target_items must be set where"),
    ({"attacker.targets": "random", "attacker.target_items": [1]}, r"attacker\.target_items must be set where"),
    ({"attacker.targets": "894"}, r"attacker\.targets must be .*; items by id go in attacker\.target_items$"),
    (
      {"attacker.targets": "given", "attacker.target_items": [1, 1]},
      r"attacker\.target_items must be different",
    ),
    ({"attacker.membership": "taken"}, r"attacker\.membership must be"),
    ({"eval.every": 0}, r"eval\.every must be positive"),
    ({"eval.ks": []}, r"eval\.ks must be positive list lengths"),
    ({"eval.ks": [0]}, r"eval\.ks must be positive list lengths"),
    ({"eval.ks": [5, 10, 5]}, r"eval\.ks must be different list lengths"),
    ({"eval.num_negatives": 0}, r"eval\.num_negatives must be positive"),
    ({"eval.candidates": "some"}, r"eval\.candidates must be"),
    (
      {"defense": "norm_bound", "norm_bound.max_norm": -1.0},
      r"norm_bound\.max_norm must be positive",
    ),
  ],
  ids=lambda one: str(one)[:60],
)
def test_impossible_configurations_say_what_was_expected(values, message):
  with pytest.raises(ConfigError, match=message):
    config = from_flat(values)
    for part in (config.model, config.attack, *config.defense):
      part.build()


@pytest.mark.parametrize(
  ("annotation", "text", "expected"),
  [
    (int, " 5 ", 5),
    (float, "1e-3", 1e-3),
    (float, "1", 1.0),
    (bool, "True", True),
    (bool, "0", False),
    (str, "ml-1m", "ml-1m"),
    (float | None, "None", None),
    (float | None, "2", 2.0),
    (tuple[int, ...], "5+10", (5, 10)),
    (tuple[int, ...], "", ()),
  ],
)
def test_parse(annotation, text, expected):
  found = parse(annotation, text, "owner.field")
  assert found == expected and type(found) is type(expected)


@pytest.mark.parametrize(
  ("annotation", "text", "message"),
  [
    (int, "5.5", "owner.field must be an integer, got '5.5'"),
    (float, "fast", "owner.field must be a finite number, got 'fast'"),
    (bool, "yes!", "owner.field must be true or false, got 'yes!'"),
    (float | None, "no", "owner.field must be a finite number or none, got 'no'"),
    (tuple[int, ...], "5,10", r"owner.field must be integers joined with \+, got '5,10'"),
  ],
)
def test_parse_errors(annotation, text, message):
  with pytest.raises(ConfigError, match=message):
    parse(annotation, text, "owner.field")


def test_parse_names_the_choices():
  with pytest.raises(ConfigError, match=r"owner\.field must be one of a, b, got 'c'"):
    parse(Literal["a", "b"], "c", "owner.field")


def test_sections_can_be_built_directly():
  assert TrainConfig(learning_rate=0.5).learning_rate == 0.5
  with pytest.raises(ConfigError, match=r"attacker\.num_targets"):
    AttackerConfig(num_targets=-1)
  with pytest.raises(ConfigError, match=r"eval\.every"):
    EvalConfig(every=0)


def test_fields_of_images_are_part_of_a_run_that_has_images():
  config = from_flat(GOLDEN | {"images.source": "covers", "images.size": 16})
  assert config.flat()["images.size"] == 16 and from_flat(config.flat()) == config
  assert config.hash() not in (GOLDEN_HASH, from_flat(GOLDEN | {"images.source": "covers"}).hash())


@pytest.mark.parametrize(
  ("values", "message"),
  [
    ({"images.size": 16}, "images.size must be left alone where images.source=none, got 16"),
    ({"images.source": "covers", "images.size": 30}, "images.size must be a multiple of 4 for 3"),
    ({"images.source": "covers", "images.diffusion_width": 48}, "images.diffusion_width must be a multiple of 32"),
    ({"images.source": "covers", "images.extractor": "vgg16"}, "images.extractor_weights must be set where"),
    ({"images.source": "covers", "images.extractor_steps": 0}, "images.extractor_steps must be positive"),
  ],
)
def test_impossible_images(values, message):
  with pytest.raises(ConfigError, match=message):
    from_flat(GOLDEN | values)


def test_target_items_alone_say_that_targets_are_given():
  alone = from_flat({"attack": "random", "attacker.target_items": [3, 1]})
  both = from_flat({"attack": "random", "attacker.target_items": [3, 1], "attacker.targets": "given"})
  assert alone == both and alone.attacker.targets == "given"


def test_a_defense_without_a_rule_ends_in_the_rule_none_with_the_runs_settings():
  implicit = from_flat({"defense": "norm_bound", "none.scale": "mean"})
  explicit = from_flat({"defense": "norm_bound+none", "none.scale": "mean"})
  assert implicit == explicit and implicit.hash() == explicit.hash()
  assert implicit.flat()["defense"] == "norm_bound" and implicit.flat()["none.scale"] == "mean"
  assert [part.name for part in implicit.defense] == ["norm_bound", "none"]
  assert implicit.defense[1].hyperparameters.scale == "mean"
  assert from_flat(implicit.flat()) == implicit
  with pytest.raises(ConfigError, match=r"field none\.scale belongs to no part of this run"):
    from_flat({"defense": "norm_bound+median", "none.scale": "mean"})


def test_clients_per_round_may_be_all():
  assert parse(int | Literal["all"], "all", "f") == "all" and parse(int | Literal["all"], "7", "f") == 7
  with pytest.raises(ConfigError, match="f must be an integer or all, got 'some'"):
    parse(int | Literal["all"], "some", "f")
  assert from_flat({"train.clients_per_round": "all"}).train.clients_per_round == "all"
  for bad in (0, -3, "some", 2.5):
    with pytest.raises(ConfigError, match=r"train\.clients_per_round must be"):
      from_flat({"train.clients_per_round": bad})
