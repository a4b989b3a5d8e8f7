"""Where `jax_enable_x64` is set, as research code does, everything is computed in 32 bits all the same."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedrecjax import attacks, defenses, models
from fedrecjax.config import AttackerConfig, EvalConfig, TrainConfig
from fedrecjax.datasets import ItemLists
from fedrecjax.simulation.evaluation import evaluate
from fedrecjax.simulation.evaluation_points import received
from fedrecjax.simulation.image_step import upload_images
from fedrecjax.simulation.planning import round_inputs
from fedrecjax.simulation.round import train_rounds
from fedrecjax.simulation.runner import execute
from fedrecjax.types import Attack, ClientUpdates
from tests.support.lockstep import make_run
from tests.support.small_images import seeing_run
from tests.support.wide_numbers import wide_leaves, wide_numbers
from tests.test_registered_methods import METHODS, run_of

MODELS = [("model", name) for name in models.MODELS.names()]
TRAINING = {
  "several local steps": {"local_steps": 3, "l2": 0.1, "l2_rows": "copies"},
  "Adam": {"server_optimizer": "adam", "client_optimizer": "adam"},
  "one Adam for all": {"server_optimizer": "lazy_adam", "client_optimizer": "adam_table"},
  "mean of BPR with dropout": {"loss": "bpr", "reduction": "mean", "dropout": 0.3, "l2": 0.1, "l2_rows": "table"},
  "noise and pseudo-items": {"privacy_clip": 0.1, "privacy_noise": 0.1, "row_clip": 1.0, "upload_noise": 0.1,
                             "pseudo_items": 3},
  "rates of their own": {"client_learning_rate": 0.1, "client_learning_rates": "log_uniform"},
}
# These stay in the quick suite: one of each kind.
FIRST = [("attack", "fedrecattack"), ("defense", "union"), ("model", "ncf"), ("defense", "krum")]
RUNS = [*FIRST, *(one for one in [*MODELS, *METHODS, *(("training", name) for name in TRAINING)] if one not in FIRST)]


def planned(small, kind, name):
  """A run with one method, model or way of training."""
  if kind not in ("model", "training"):
    return run_of(small, kind, name)
  model = models.MODELS[name].constructor(dim=4) if kind == "model" else models.mf(dim=4)
  build = make_run if model.project is None else seeing_run
  train = TrainConfig(**{"epochs": 2, "clients_per_round": 6} | TRAINING.get(name, {}))
  return build(small, model=model, attack=attacks.explicit_boosting(), attacker=AttackerConfig(malicious_ratio=0.25),
               train=train)


@pytest.mark.parametrize(("kind", "name"), RUNS)
def test_no_program_computes_in_64_bits(small, kind, name):
  with jax.enable_x64(True):
    run = planned(small, kind, name)
    assert not wide_leaves((run.state, run.constants, run.images and (run.images.constants, run.images.state)))
    rounds = round_inputs(run.rounds, slice(0, 2))
    train = functools.partial(train_rounds, run.structure)
    assert not wide_numbers(train, run.constants, run.state, rounds)
    measure = functools.partial(evaluate, config=run.evaluation, num_users=run.structure.num_benign)
    data, key = run.constants.data, run.constants.keys.evaluation
    of_evaluation = (run.constants.parts.model, received(run.state), run.state.private, data.evaluation, key,
                     data.training.neighbors)
    assert not wide_numbers(measure, *of_evaluation)
    if run.images is not None:
      step = functools.partial(upload_images, run.images.structure)
      of_images = (run.images.constants, run.constants.parts, run.state, run.images.state, jnp.int32(0))
      assert not wide_numbers(step, *of_images)


def results_of(small, kind, name):
  """Everything that a run of two epochs tells, but for how long it took."""
  result = execute(planned(small, kind, name), epochs=2, every=1)
  assert not wide_leaves((result.state, result.pictures))
  metrics = {name: values for name, values in result.metrics.items() if name != "wall_s"}
  told = (result.state, result.per_user, result.detection, result.stealth, result.images, result.pictures)
  return jax.tree.map(np.asarray, (metrics, *told))


# Programs without a number of 64 bits compute the same but for rounding, since XLA fuses them otherwise; the test above
# looks at all of them.
@pytest.mark.parametrize(("kind", "name"), RUNS[::8])
def test_results_are_those_without_it(small, kind, name):
  without = results_of(small, kind, name)
  with jax.enable_x64(True):
    within = results_of(small, kind, name)
  jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6), within, without)


def counting() -> Attack:
  """An attack that leaves all types to JAX and NumPy."""

  def init(key, context):
    return {"rounds": 0, "sums": np.zeros(context.dim), "drawn": jax.random.normal(key, (context.dim,)) > 0}

  def poison(state, uploads, view, key):
    del uploads, key
    attackers, targets, dim = view.slot.shape[0], view.targets.shape[0], view.public.items.shape[1]
    place = jnp.arange(attackers * targets)
    item = jnp.where(view.active[place // targets], view.targets[place % targets], view.public.items.shape[0])
    row = jnp.ones((attackers * targets, dim)) * 0.1 + jnp.zeros(dim) + state["rounds"]
    after = {**state, "rounds": state["rounds"] + 1, "sums": state["sums"] + jnp.sum(row, axis=0)}
    return ClientUpdates(view.slot[place // targets] + jnp.zeros_like(place), item + 0 * place, row), after

  return Attack(poison, init)


def test_an_attack_of_ones_own_may_make_numbers_of_64_bits(small):
  def result():
    run = make_run(small, attack=counting(), attacker=AttackerConfig(malicious_ratio=0.25), defense=defenses.median())
    return execute(run, epochs=2, every=1)

  without = result()
  with jax.enable_x64(True):
    within = result()
  assert not wide_leaves(within.state) and int(within.state.attack["rounds"]) == int(without.state.attack["rounds"])
  np.testing.assert_array_equal(within.state.server.public.items, without.state.server.public.items)


def test_sampled_candidates_are_those_without_it(small):
  evaluation = EvalConfig(ks=(5,), candidates="sampled", num_negatives=5)
  held_out = ItemLists.from_lists([small.test.of(user)[:1] for user in range(small.num_users)])
  one_each = dataclasses.replace(small, test=held_out)
  first = execute(make_run(one_each, evaluation=evaluation), epochs=2, every=2)
  with jax.enable_x64(True):
    second = execute(make_run(one_each, evaluation=evaluation), epochs=2, every=2)
  np.testing.assert_array_equal(first.per_user["hr@5"], second.per_user["hr@5"])
