"""Runs that diverge: which stage is named, under which attack, and what is kept."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedrecjax import attacks, chain, defenses, models
from fedrecjax.config import AttackerConfig, EvalConfig, TrainConfig
from fedrecjax.datasets import Dataset, ItemLists
from fedrecjax.methods.hyperparameters import traced
from fedrecjax.simulation.divergence import Divergence, divergence_in
from fedrecjax.simulation.faults import Stage
from fedrecjax.simulation.planning import round_inputs
from fedrecjax.simulation.results import DivergedError
from fedrecjax.simulation.round import jitted_rounds
from fedrecjax.simulation.runner import simulate
from fedrecjax.types import Attack, Defense
from fedrecjax.uploads.rows import item_rows
from tests.support.small_images import seeing_run

EVALUATION = EvalConfig(every=1, ks=(5,))
ATTACKER = AttackerConfig(malicious_ratio=0.25)
TRAIN = TrainConfig(epochs=5, clients_per_round=100)
"""Everybody in every round: rounds are epochs."""


@traced
def exploding(*, root: float = 1e30, first: int = 0) -> Attack:
  """Rows of one number for the targets, from a round on: the square of `root`, by default infinite."""

  def poison(state, uploads, view, key):
    del uploads, key
    row = jnp.where(view.round >= first, jnp.square(jnp.float32(root)), 0.0)
    rows = jnp.full((view.slot.shape[0], view.targets.shape[0], view.public.items.shape[1]), row)
    return item_rows(view.slot, view.active, view.targets, rows, view.public.items.shape[0]), state

  return Attack(poison)


@traced
def scaling(*, root: float = 1e30, first: int = 0) -> Defense:
  """The plain sum, from a round on times the square of `root`, by default infinite."""
  plain = defenses.none()

  def aggregate(state, uploads, view):
    update, state = plain.aggregate(state, uploads, view)
    row = update.items.row * jnp.where(view.round >= first, jnp.square(jnp.float32(root)), 1.0)
    return update._replace(items=update.items._replace(row=row)), state

  return Defense(aggregate=aggregate)


@traced
def without_infinite(*, largest: float = 1e30) -> Defense:
  """A filter of rows that are no numbers."""

  def filter_rows(state, uploads, view):
    fine = jnp.all(jnp.abs(uploads.row) < largest, axis=1)
    return uploads._replace(item=jnp.where(fine, uploads.item, view.num_items)), state

  return Defense(filter=filter_rows)


def run(small, **options):
  """A run of five epochs."""
  arguments = {"model": models.mf(dim=4, init_std=0.7), "train": TRAIN, "evaluation": EVALUATION, "attacker": ATTACKER}
  return simulate(small, **(arguments | options))


HUGE_STEPS = TrainConfig(epochs=5, clients_per_round=100, learning_rate=1e30, client_learning_rate=1.0)
CASES = {
  "training": (
    {"train": TrainConfig(epochs=5, clients_per_round=100, learning_rate=1e30)},
    r"diverged at epoch [2-5] \(round [2-5]\): what clients computed from their own data is not finite;"
    r" a smaller train.learning_rate may help",
  ),
  "attack": (
    {"attack": exploding(first=2)},
    r"diverged at epoch 3 \(round 3\) under attack exploding: the attack's uploads are not finite",
  ),
  "an attack without a name": (
    {"attack": Attack(exploding(first=1).poison.__call__)},
    r"diverged at epoch 2 \(round 2\) under the attack: the attack's uploads are not finite",
  ),
  "rule": (
    {"attack": exploding(root=0.1), "defense": chain(defenses.norm_bound(), scaling(first=3))},
    r"diverged at epoch 4 \(round 4\) under attack exploding: the update by defense norm_bound\+scaling is not finite",
  ),
  "server": (
    {"defense": scaling(root=1e15, first=1), "train": HUGE_STEPS},
    r"diverged at epoch 2 \(round 2\): the server's step is not finite; a smaller train.learning_rate may help",
  ),
  "clients": (
    {
      "model": models.mf(dim=4, init_std=5.0),
      "train": TrainConfig(epochs=5, clients_per_round=100, client_learning_rate=3e38),
    },
    r"diverged at epoch 1 \(round 1\): the step of the clients' own vectors is not finite; a smaller",
  ),
  "before the attack": (
    {
      "attack": exploding(),
      "defense": scaling(first=1),
      "attacker": AttackerConfig(malicious_ratio=0.25, start_epoch=3),
    },
    r"diverged at epoch 2 \(round 2\): the update by defense scaling is not finite; a smaller train.learning_rate",
  ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_stage_that_made_the_number_is_named(small, name):
  options, words = CASES[name]
  with pytest.raises(DivergedError, match=f"^{words}") as caught:
    run(small, **options)
  error = caught.value
  assert f"diverged at epoch {error.epoch} (round {error.round})" in str(error)
  assert error.result.metrics["epoch"].tolist() == list(range(1, error.epoch))
  assert ("learning_rate" in str(error)) == ("under" not in str(error))


def test_points_before_are_those_of_a_shorter_run(small):
  with pytest.raises(DivergedError) as caught:
    run(small, attack=exploding(root=0.1), defense=scaling(first=3))
  kept = caught.value.result
  shorter = run(small, attack=exploding(root=0.1), defense=scaling(first=3),
                train=TrainConfig(epochs=3, clients_per_round=100))
  for name, values in shorter.metrics.items():
    if name != "wall_s":
      np.testing.assert_array_equal(kept.metrics[name], values, err_msg=name)
  assert len(kept.metrics["wall_s"]) == 3 and (np.diff(kept.metrics["wall_s"]) > 0).all()
  for name, values in shorter.per_user.items():
    np.testing.assert_array_equal(kept.per_user[name], values, err_msg=name)
  for name, values in shorter.stealth.items():
    np.testing.assert_array_equal(kept.stealth[name], values, err_msg=name)
  assert not np.isfinite(kept.state.server.public.items).all()


def test_a_run_that_diverges_at_once_keeps_nothing(small):
  with pytest.raises(DivergedError, match=r"epoch 1 \(round 1\)") as caught:
    run(small, attack=exploding())
  kept = caught.value.result
  assert all(len(values) == 0 for values in kept.metrics.values())
  assert all(np.isnan(values).all() and values.shape == (12,) for values in kept.per_user.values())


def test_what_a_defence_leaves_out_is_no_fault(small):
  result = run(small, attack=exploding(first=1), defense=without_infinite())
  assert np.isfinite(result.state.server.public.items).all()
  assert result.metrics["epoch"].tolist() == [1, 2, 3, 4, 5]


def test_the_first_of_several_rounds_of_a_point_is_named(small):
  with pytest.raises(DivergedError, match=r"epoch 2 \(round 5\) under attack exploding: the attack's"):
    run(small, attack=exploding(first=4), train=TrainConfig(epochs=4, clients_per_round=5),
        evaluation=EvalConfig(every=4, ks=(5,)))


def test_a_metric_without_a_value_is_no_fault():
  lists = ItemLists.from_lists([[0, 1], [0, 2], [0, 3]])
  dataset = Dataset("everybody has item 0", 3, 8, lists, ItemLists.from_lists([[4], [5], [6]]))
  result = simulate(
    dataset, model=models.mf(dim=4), attack=attacks.explicit_boosting(), evaluation=EVALUATION,
    train=TrainConfig(epochs=2, clients_per_round=2),
    attacker=AttackerConfig(malicious_ratio=0.34, targets="given", target_items=(0,)),
  )
  assert np.isnan(result.metrics["er@5"]).all() and np.isfinite(result.metrics["hr@5"]).all()


@pytest.mark.parametrize(
  ("faults", "measured", "found"),
  [
    ([0, 0], [0.5, 1.0], None),
    ([0, 0], [float("nan"), 1.0], None),
    ([0, 5], [float("nan"), 1.0], Divergence(11, Stage.SERVER)),
    ([3, 5], [0.5, 1.0], Divergence(10, Stage.ATTACK)),
    ([0, 0], [0.5, float("nan")], Divergence(11, Stage.TRAINING)),
    ([0, 0], [float("inf"), 1.0], Divergence(11, Stage.TRAINING)),
  ],
)
def test_metrics_and_losses_are_looked_at_too(faults, measured, found):
  assert divergence_in(np.array(faults), np.array(measured), 10) == found


def test_features_that_are_no_numbers_are_those_of_images(small):
  planned = seeing_run(small, attack=attacks.image_popularity(steps=1), attacker=ATTACKER)
  bad = planned.state.server.features.at[3].set(jnp.nan)
  state = planned.state._replace(server=planned.state.server._replace(features=bad))
  faults = [
    jitted_rounds(planned.structure, planned.constants, jax.tree.map(jnp.array, one),
                  round_inputs(planned.rounds, slice(0, 1)))[1].faults.tolist()
    for one in (planned.state, state)
  ]
  assert faults == [[Stage.NONE], [Stage.IMAGES]]
