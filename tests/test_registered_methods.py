"""One table of every attack and every defence, and the properties that all of them have."""

import dataclasses
import math
import typing

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedrecjax import attacks, defenses
from fedrecjax.config import (
  REGISTRIES,
  AttackerConfig,
  ConfigError,
  MethodConfig,
  TrainConfig,
  from_flat,
  owner_of,
)
from tests.support.lockstep import make_run, permuted, round_input, step
from tests.support.small_images import seeing_run, uploaded

# Hyperparameters small enough for the small data set (30 items); the defaults are those of real
# sets.
ATTACKS = {
  "none": {},
  "random": {"max_rows": 12},
  "bandwagon": {"max_rows": 12, "popular_share": 0.4},
  "popular": {"max_rows": 12},
  "explicit_boosting": {},
  "a_ra": {"init_std": 0.5},
  "a_hum": {"init_std": 0.5, "steps": 3},
  "pieck_ipe": {"num_popular": 5, "mining_differences": 1},
  "pieck_uea": {"num_popular": 5, "mining_differences": 1},
  "cluster": {"max_clusters": 8},
  "cluster_cl": {"max_clusters": 8, "num_contrastive": 3},
  "spattack_od": {},
  "spattack_ld": {},
  "spattack_os": {"max_items": 12},
  "spattack_ls": {"max_items": 12},
  "label_flip": {},
  "fedattack": {},
  "gaussian": {"pool": 3},
  "lie": {"pool": 3},
  "fang": {"pool": 3},
  "lie_targeted": {"pool": 3},
  # A client's share of an update depends on the size of a round, which includes empty places.
  "pipattack": {"estimator_steps": 3, "tau": 0.5, "last_update": "whole"},
  "psmu": {"num_items": 5, "inner_steps": 3, "alternatives": 2},
  "boosted_targeted": {"stealth": 0.5},
  "fedrecattack": {"max_rows": 8, "list_length": 4, "batch": 7},
  "mf_poison": {"max_rows": 12, "dim": 2, "steps": 3},
  "dl_poison": {"max_rows": 12, "dim": 2, "first_steps": 3, "steps": 2},
  "psmu_v": {"num_items": 5, "inner_steps": 3, "steps": 2},
  "psmu_pp": {"num_items": 5, "inner_steps": 3, "steps": 2},
  "image_popularity": {"steps": 2},
}
DEFENSES = {
  "none": {},
  "norm_bound": {"max_norm": 0.1},
  "median": {},
  "trimmed_mean": {"f": 0.25},
  "krum": {"f": 0.25},
  "multi_krum": {"f": 0.15},
  "bulyan": {"f": 0.15},
  "fl_wbc": {"scale": 0.02},
  "hics": {"row_norm": 0.05, "kept_share": 0.3},
  "pieck_reg": {"num_popular": 5, "mining_differences": 1},
  "union": {"num_sampled": 10, "num_contrastive": 3},
  "gdmpd": {"start": 200, "respacing": 20},
  "gdmpd_unguided": {"start": 200, "respacing": 20},
}
# Attacks whose pictures are made for synthetic users, and the defences that meet one of them.
LED_BY_USERS = ("psmu_v", "psmu_pp", "gdmpd", "gdmpd_unguided")
METHODS = [("attack", name) for name in ATTACKS] + [("defense", name) for name in DEFENSES]
# Rounds of six clients are those of the tests below.
SETTINGS = {
  "one client per round, converted, three targets": {
    "clients_per_round": 1, "membership": "converted", "num_targets": 3,
  },
  "everybody in one round": {"clients_per_round": 100},
  "nobody malicious": {"malicious_ratio": 0.0},
}


def test_the_table_is_complete():
  assert set(ATTACKS) == set(attacks.ATTACKS.names())
  assert set(DEFENSES) == set(defenses.DEFENSES.names())


def run_of(small, kind, name, *, images=False, **changes):
  """A run with one method: defences meet explicit boosting, those of images PSMU++; attacks meet plain sums."""
  if kind == "attack":
    attack, defense = attacks.ATTACKS[name].constructor(**ATTACKS[name]), defenses.none()
  else:
    defense = defenses.DEFENSES[name].constructor(**DEFENSES[name])
    attack = attacks.psmu_pp(**ATTACKS["psmu_pp"]) if defense.images else attacks.explicit_boosting()
  attacker = AttackerConfig(
    **(
      {"malicious_ratio": 0.25, "own_items": 6}
      | {
        field: changes.pop(field)
        for field in (
          "membership", "num_targets", "malicious_ratio", "colluding", "start_epoch",
        )
        if field in changes
      }
    )
  )
  train = TrainConfig(**({"epochs": 2, "clients_per_round": 6, "learning_rate": 0.5} | changes))
  build = seeing_run if images or attack.images is not None else make_run
  return build(small, attack=attack, defense=defense, attacker=attacker, train=train)


def trained(run, change_input=None, structure=None):
  """Every array that lives between rounds, after the run's rounds and the image steps between them."""
  state, images = run.state, None
  for number in range(len(run.rounds.clients)):
    epoch, place = divmod(number, run.rounds.per_epoch)
    if run.images is not None and place == 0 and run.images.start <= epoch < run.images.stop:
      state, images, report = uploaded(run, state, images, epoch)
      assert not report["impossible"].any()
    inputs = round_input(run, number)
    inputs = inputs if change_input is None else change_input(inputs, number)
    state, report = step(structure or run.structure, run.constants, state, inputs)
    assert math.isfinite(float(report.loss)) and not report.outside.any()
  return state


def assert_close(first, second):
  chex.assert_trees_all_close(first, second, rtol=1e-7, atol=1e-5)


def assert_moved(run, after):
  """Vectors and the item table are finite, and the table is not what it was."""
  chex.assert_tree_all_finite((after.private, after.server.public.items))
  assert (np.asarray(after.server.public.items) != np.asarray(run.state.server.public.items)).any()


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize(("kind", "name"), METHODS)
def test_rounds_stay_finite_and_move_the_model(small, kind, name, setting):
  if setting == "nobody malicious" and name in LED_BY_USERS:
    with pytest.raises(ConfigError, match=r"attacker\.malicious_ratio leaves no synthetic user"):
      run_of(small, kind, name, **SETTINGS[setting])
    return
  run = run_of(small, kind, name, **SETTINGS[setting])
  by_images_alone = run.images is not None and run.constants.parts.poison is None
  nobody = setting == "nobody malicious" or (kind, name) == ("attack", "none") or by_images_alone
  assert (run.population.num_malicious == 0) == nobody
  after = trained(run)
  assert_moved(run, after)
  if setting == "nobody malicious" and kind == "attack":
    honest = trained(run_of(small, "attack", "none", images=run.images is not None, malicious_ratio=0.0))
    # Pictures can be made to look popular without anybody's help.
    if name == "image_popularity":
      assert not np.array_equal(after.server.features, honest.server.features)
    else:
      assert_close(after.server.public, honest.server.public)


BUILT = {name: attacks.ATTACKS[name].constructor(**ATTACKS[name]) for name in ATTACKS}
# Clients that work with the targets' provider cannot act alone.
COLLUDING = [name for name, attack in BUILT.items() if attack.colludes and attack.images is None]


@pytest.mark.parametrize("name", COLLUDING)
def test_clients_that_collude_can_also_act_alone(small, name):
  """From the second epoch on, each for itself."""
  everybody = {"start_epoch": 1, "clients_per_round": 100}
  alone = run_of(small, "attack", name, colluding=False, **everybody)
  after = trained(alone)
  assert np.isfinite(after.server.public.items).all()
  states = jax.tree.leaves(after.attack)
  assert all(len(leaf) == alone.population.num_malicious == 3 for leaf in states)
  together = trained(run_of(small, "attack", name, **everybody))
  same = np.array_equal(after.server.public.items, together.server.public.items)
  # What its clients share is the table of the last attacked round, and here is one such round.
  assert same == (name == "boosted_targeted")


@pytest.mark.parametrize(("kind", "name"), METHODS)
def test_order_of_clients_does_not_matter(small, kind, name):
  run = run_of(small, kind, name)
  after = trained(run)
  assert_moved(run, after)
  assert_close(after, trained(run, permuted))


def padded(inputs, number):
  """Five more empty places for clients, eight more for malicious ones."""
  clients = jnp.concatenate([inputs.clients, jnp.full(5, 10**6, jnp.int32)])
  return inputs._replace(
    clients=clients,
    malicious=jnp.pad(inputs.malicious, (0, 8), constant_values=-1),
    slot=jnp.pad(inputs.slot, (0, 8)),
  )


@pytest.mark.parametrize(("kind", "name"), METHODS)
def test_padding_does_not_matter(small, kind, name):
  run = run_of(small, kind, name)

  def with_padding(inputs, number):
    inputs = padded(inputs, number)
    return inputs._replace(clients=jnp.minimum(inputs.clients, run.structure.num_clients))

  wider = run.structure._replace(capacity=run.structure.capacity + 77)
  assert_close(trained(run), trained(run, with_padding, wider))


@pytest.mark.parametrize(("kind", "name"), [("model", "mf"), *METHODS])
def test_defaults_build_and_survive_json(kind, name):
  method = REGISTRIES[kind][name]
  config = MethodConfig(kind, name, method.config())
  assert config.build() is not None
  flat = from_flat({kind: name}).flat()
  assert from_flat(flat) == from_flat({kind: name})
  assert from_flat(flat).hash() == from_flat({kind: name}).hash()


def impossible_values(kind, name):
  """(field, value) for every field: numbers out of every range, and names of nothing."""
  for field in dataclasses.fields(REGISTRIES[kind][name].config):
    hint = typing.get_type_hints(REGISTRIES[kind][name].config)[field.name]
    if typing.get_origin(hint) is typing.Literal:
      yield field.name, "no such rule"
    elif hint in (int, float):
      yield field.name, float("nan") if hint is float else -1


IMPOSSIBLE = [
  (kind, name, field, value)
  for kind, name in [("model", "mf"), *METHODS]
  for field, value in impossible_values(kind, name)
]


@pytest.mark.parametrize(("kind", "name", "field", "value"), IMPOSSIBLE, ids=lambda one: str(one))
def test_impossible_values_name_the_field(kind, name, field, value):
  with pytest.raises(ValueError, match=field) as caught:
    from_flat({kind: name, f"{owner_of(kind, name)}.{field}": value})
    REGISTRIES[kind][name].constructor(**{field: value})
  assert isinstance(caught.value, (ConfigError, ValueError))


@pytest.mark.parametrize(("kind", "name"), [("model", "mf"), *METHODS])
def test_numbers_are_leaves_and_the_rest_is_structure(kind, name):
  constructor = REGISTRIES[kind][name].constructor
  fields = dataclasses.fields(REGISTRIES[kind][name].config)
  floats = [field.name for field in fields if isinstance(field.default, float)]
  for function in constructor():
    if callable(function):
      assert len(jax.tree.leaves(function)) == len(floats)
