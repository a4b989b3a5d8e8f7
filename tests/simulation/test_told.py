"""What an attack tells of every round: kept beside the metrics, and of no consequence for the run."""

import dataclasses

import chex
import jax.numpy as jnp
import numpy as np
import pytest

import fedrecjax as frj
from fedrecjax.config import AttackerConfig, EvalConfig, TrainConfig
from fedrecjax.simulation.records import Reports, joined
from fedrecjax.simulation.runner import simulate

# Twelve users, four malicious clients: in each epoch after the first everybody takes part once, in four rounds.
ATTACKER = AttackerConfig(malicious_ratio=0.35, start_epoch=1)
TRAIN = TrainConfig(epochs=4, clients_per_round=4, learning_rate=0.5)


def counting(tells=None, *, colludes=False):
  """Pulls targets to the origin, and counts the rounds in which it took part and its clients in the last of them."""

  def poison(state, uploads, view, key):
    del uploads, key
    table = view.public.items
    rows = jnp.broadcast_to(table[view.targets], (view.slot.size, len(view.targets), table.shape[1]))
    present = jnp.sum(view.active, dtype=jnp.int32)
    sent = frj.item_rows(view.slot, view.active, view.targets, rows, table.shape[0])
    return sent, {"rounds": state["rounds"] + (present > 0), "clients": present}

  def init(key, context):
    del key, context
    return {"rounds": jnp.int32(0), "clients": jnp.int32(0)}

  return frj.Attack(poison, init, colludes=colludes, tells=tells)


def numbers(state, view):
  return {"rounds": state["rounds"].astype(jnp.float32), "step": view.learning_rate * state["clients"]}


def run_of(small, attack, *, attacker=ATTACKER, **options):
  return simulate(
    small, model=frj.mf(dim=4), attack=attack, attacker=attacker, train=TRAIN, evaluation=EvalConfig(ks=(5,), every=2),
    seed=3, **options,
  )


def test_every_round_and_every_point(small):
  result = run_of(small, counting(numbers))
  present = result.stealth["malicious_clients"]
  assert set(result.told) == {"rounds", "step"} and (present[:4] == 0).all() and present.sum() == 12
  np.testing.assert_array_equal(result.told["step"], np.where(present > 0, 0.5 * present, np.nan))
  np.testing.assert_array_equal(result.told["rounds"], np.where(present > 0, np.cumsum(present > 0), np.nan))
  for name, told in result.told.items():
    means = [np.nanmean(told[:8]), np.nanmean(told[8:])]
    np.testing.assert_allclose(result.metrics[f"attack_{name}"], means, rtol=1e-6)


def test_a_point_before_the_attack_has_no_mean(small):
  result = run_of(small, counting(numbers), attacker=dataclasses.replace(ATTACKER, start_epoch=2))
  assert np.isnan(result.metrics["attack_rounds"][0]) and result.metrics["attack_rounds"][1] > 0


def test_nothing_in_the_run_depends_on_it(small):
  telling, silent = run_of(small, counting(numbers)), run_of(small, counting())
  chex.assert_trees_all_equal(telling.state.server.public, silent.state.server.public)
  assert silent.told is None and set(telling.metrics) - set(silent.metrics) == {"attack_rounds", "attack_step"}
  for name in set(silent.metrics) - {"wall_s"}:
    np.testing.assert_array_equal(telling.metrics[name], silent.metrics[name])
  nobody = run_of(small, counting(numbers), attacker=dataclasses.replace(ATTACKER, malicious_ratio=0.0))
  assert nobody.told is None


def test_of_clients_alone_the_mean_of_those_that_take_part(small):
  """Each has counted its own participations, one an epoch from the second on."""
  alone = dataclasses.replace(ATTACKER, colluding=False)
  told = run_of(small, counting(numbers, colludes=True), attacker=alone).told
  epochs = told["rounds"].reshape(4, 4)
  assert np.isnan(epochs[0]).all()
  for epoch in (1, 2, 3):
    known = epochs[epoch][~np.isnan(epochs[epoch])]
    assert known.size and (known == epoch).all()
  assert set(told["step"][~np.isnan(told["step"])]) == {0.5}


def test_round_by_round_without_compilation(small):
  compiled, debugged = (run_of(small, counting(numbers), debug=debug).told for debug in (False, True))
  for name in compiled:
    np.testing.assert_array_equal(compiled[name], debugged[name])


@pytest.mark.parametrize(("tells", "message"), [
  (lambda state, view: state["rounds"], "tells returned an object of type .*, expected dict"),
  (lambda state, view: state, "tells returned .* of type int32, expected float32"),
  (lambda state, view: {"rows": view.public.items}, r"tells returned rows of shape .*, expected \[\]"),
])  # fmt: skip
def test_what_is_told_is_numbers_by_name(small, tells, message):
  with pytest.raises(frj.ContractError, match=message):
    run_of(small, counting(tells))


def test_parts_of_a_stretch_are_put_together():
  parts = [
    Reports(
      jnp.float32([1.0]), jnp.int32([1]), None, None, jnp.zeros(2, jnp.int32), jnp.int32([0]), None,
      {"loss": jnp.float32([number])},
    )
    for number in range(3)
  ]
  assert joined(parts).told["loss"].tolist() == [0.0, 1.0, 2.0]
