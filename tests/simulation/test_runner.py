"""Whole runs: programs compiled, reproducibility, evaluation points, errors."""

import dataclasses
import typing

import jax
import numpy as np
import pytest

from fedrecjax import attacks, defenses, models
from fedrecjax.config import (
  REGISTRIES,
  AttackerConfig,
  ConfigError,
  EvalConfig,
  TrainConfig,
  from_flat,
  owner_of,
)
from fedrecjax.datasets import Dataset, ItemLists
from fedrecjax.simulation.results import DivergedError
from fedrecjax.simulation.runner import simulate, simulate_config
from fedrecjax.types import Attack
from tests.support.lockstep import EVALUATION
from tests.support.traces import at_most_one_trace

SMALL_RUN = {
  "train.epochs": 2,
  "train.clients_per_round": 6,
  "train.row_clip": 1.0,
  "train.upload_noise": 0.01,
  "train.privacy_clip": 1e-4,
  "train.privacy_noise": 1e-5,
  "train.l2": 0.1,
  "train.dropout": 0.2,
  "train.client_learning_rate": 0.5,
  "eval.ks": (5,),
  "mf.dim": 4,
  "attacker.malicious_ratio": 0.25,
}
# One run with every number there is, and others for methods that cannot stand together.
COMBINATIONS = {
  "ipe": {
    "attack": "pieck_ipe",
    "defense": "trimmed_mean",
    "trimmed_mean.f": 0.4,
    "pieck_ipe.num_popular": 5,
    "pieck_ipe.mining_differences": 1,
  },
  "uea": {
    "attack": "pieck_uea",
    "defense": "median",
    "pieck_uea.num_popular": 5,
    "pieck_uea.mining_differences": 1,
  },
  "boosting": {"attack": "explicit_boosting", "defense": "norm_bound+median"},
  "bandwagon": {"attack": "bandwagon", "bandwagon.max_rows": 12, "bandwagon.popular_share": 0.2},
}
# Other values where half of the default changes nothing, or changes how much data there is.
OTHER = {"bandwagon.popular_share": 0.21}


def floats_of(values):
  """Every field of a run that is a number and not absent, with another value for it."""
  flat = from_flat(values).flat()
  hints = {f"train.{name}": hint for name, hint in typing.get_type_hints(TrainConfig).items()}
  for kind, names in (
    ("model", flat["model"]),
    ("attack", flat["attack"]),
    ("defense", flat["defense"]),
  ):
    for name in names.split("+"):
      config = REGISTRIES[kind][name].config
      hints |= {
        f"{owner_of(kind, name)}.{field}": hint
        for field, hint in typing.get_type_hints(config).items()
      }
  for name, hint in hints.items():
    if (hint is float or float in typing.get_args(hint)) and flat[name] is not None:
      yield name, OTHER.get(name, flat[name] / 2)


@pytest.mark.parametrize("name", COMBINATIONS)
def test_changing_a_number_compiles_nothing(small, name, monkeypatch):
  at_most_one_trace(monkeypatch)
  values = SMALL_RUN | COMBINATIONS[name]
  results = [simulate_config(from_flat(values), small)]
  changes = list(floats_of(values))
  assert len(changes) >= 5
  for field, value in changes:
    results.append(simulate_config(from_flat(values | {field: value}), small))
  # Each of these numbers matters: else it would have been compiled in or lost.
  first = np.asarray(results[0].state.server.public.items)
  for (field, _), result in zip(changes, results[1:], strict=True):
    if field != "bandwagon.popular_share":  # the same number of items of five
      assert (np.asarray(result.state.server.public.items) != first).any(), field


def test_other_seeds_share_the_program(small, monkeypatch):
  at_most_one_trace(monkeypatch)
  # Sizes planned from the rounds drawn are rounded up so that this holds.
  values = SMALL_RUN | COMBINATIONS["boosting"]
  for seed in (0, 1, 2):
    simulate_config(from_flat(values | {"seed": seed}), small)


def test_another_size_is_traced_again(small, monkeypatch):
  at_most_one_trace(monkeypatch)
  values = SMALL_RUN | COMBINATIONS["boosting"]
  simulate_config(from_flat(values), small)
  with pytest.raises(AssertionError, match="'train_rounds' is traced > 1 times"):
    simulate_config(from_flat(values | {"train.num_negatives": 2}), small)


def bits(result):
  arrays = [*jax.tree.leaves(result.state), *result.per_user.values()]
  arrays += [values for name, values in result.metrics.items() if name != "wall_s"]
  return [np.asarray(array).tobytes() for array in arrays]


@pytest.mark.parametrize("name", ["ipe", "bandwagon"])
def test_same_seed_same_bits(small, name):
  config = from_flat(SMALL_RUN | COMBINATIONS[name])
  first, second = (simulate_config(config, small) for _ in range(2))
  assert bits(first) == bits(second)
  other = simulate_config(dataclasses.replace(config, seed=1), small)
  assert bits(first) != bits(other)


@pytest.mark.parametrize(
  ("epochs", "every", "expected"),
  [(3, 1, [1, 2, 3]), (5, 2, [2, 4, 5]), (2, 9, [2]), (4, 2, [2, 4])],
)
def test_evaluation_points(small, epochs, every, expected):
  done = []
  result = simulate(
    small,
    model=models.mf(dim=4),
    train=TrainConfig(epochs=epochs, clients_per_round=5),
    evaluation=EvalConfig(every=every, ks=(5,)),
    progress=done.append,
  )
  assert result.metrics["epoch"].tolist() == expected
  assert result.metrics["round"].tolist() == [3 * epoch for epoch in expected]
  assert done[-1] == epochs
  assert all(len(values) == len(expected) for values in result.metrics.values())
  assert (np.diff(result.metrics["wall_s"]) > 0).all()


def test_evaluating_less_often_changes_no_training(small):
  often, seldom = (
    simulate(
      small,
      model=models.mf(dim=4),
      train=TrainConfig(epochs=4, clients_per_round=5),
      evaluation=EvalConfig(every=every, ks=(5,)),
    )
    for every in (1, 4)
  )
  np.testing.assert_allclose(often.state.private, seldom.state.private, atol=1e-6)
  assert often.metrics["hr@5"][-1] == pytest.approx(seldom.metrics["hr@5"][-1])
  assert seldom.metrics["train_loss"][0] == pytest.approx(
    often.metrics["train_loss"].mean(), rel=1e-5
  )


def test_results_describe_the_benign_users(small):
  result = simulate(
    small,
    model=models.mf(dim=4),
    attack=attacks.explicit_boosting(),
    defense=defenses.norm_bound(),
    train=TrainConfig(epochs=1, clients_per_round=5),
    evaluation=EVALUATION,
    attacker=AttackerConfig(malicious_ratio=0.25, membership="converted"),
  )
  assert len(result.users) == 9
  for name, values in result.per_user.items():
    assert values.shape == (9,)
    assert np.nanmean(values) == pytest.approx(result.metrics[name][-1], abs=1e-6)
    assert ((values >= 0) & (values <= 1) | np.isnan(values)).all()
  without = [len(small.test.of(user)) == 0 for user in result.users]
  np.testing.assert_array_equal(np.isnan(result.per_user["hr@1"]), without)


def test_no_attack_by_name_is_no_attack_at_all(small):
  train = TrainConfig(epochs=1, clients_per_round=5)
  nothing, by_name = (
    simulate(small, model=models.mf(dim=4), attack=attack, train=train, evaluation=EVALUATION)
    for attack in (None, attacks.none())
  )
  # Twelve users: five percent is nobody. With converted users some would be missing.
  converted = simulate(
    small,
    model=models.mf(dim=4),
    attack=attacks.none(),
    train=train,
    evaluation=EVALUATION,
    attacker=AttackerConfig(malicious_ratio=0.25, membership="converted"),
  )
  assert bits(nothing) == bits(by_name)
  assert bits(nothing) == bits(converted)


def test_training_learns(small):
  train = TrainConfig(epochs=150, clients_per_round=100, learning_rate=5.0, reduction="mean")
  result = simulate(
    small,
    model=models.mf(dim=8, init_std=0.1),
    train=train,
    evaluation=EvalConfig(every=150, ks=(5,)),
  )
  scores = np.asarray(result.state.private) @ np.asarray(result.state.server.public.items).T
  liked = np.mean([scores[user, small.train.of(user)].mean() for user in range(12)])
  assert liked > scores.mean() + 1


def test_divergence_is_reported_with_its_epoch(small):
  train = TrainConfig(epochs=6, clients_per_round=100, learning_rate=1e30, reduction="sum")
  with pytest.raises(DivergedError, match=r"^diverged at epoch [2-6] .*; a smaller train.learning_rate"):
    simulate(small, model=models.mf(dim=4), train=train, evaluation=EVALUATION)


def test_an_attack_cannot_ask_for_more_than_there_is(small):
  attack = Attack(poison=lambda *arguments: None, requires=frozenset({"private_vectors"}))
  with pytest.raises(
    ConfigError, match="requires private_vectors; it can be granted benign_uploads, image_defense,"
  ):
    simulate(small, model=models.mf(dim=4), attack=attack)


def test_a_set_without_any_empty_user_or_held_out_item():
  dataset = Dataset(
    "plain", 3, 6, ItemLists.from_lists([[0], [1], [2]]), ItemLists.from_lists([[3], [4], [5]])
  )
  result = simulate(
    dataset,
    model=models.mf(dim=2),
    train=TrainConfig(epochs=1, clients_per_round=1),
    evaluation=EVALUATION,
  )
  assert np.isfinite(result.metrics["train_loss"]).all()


def test_a_metric_without_a_value_is_no_fault_where_jax_looks_for_nan(small):
  """As with JAX_DEBUG_NANS=1; user 2 of the small set has no held-out item."""
  with jax.debug_nans(True):
    result = simulate(
      small, model=models.mf(dim=4), attack=attacks.explicit_boosting(), defense=defenses.norm_bound(max_norm=0.1),
      train=TrainConfig(epochs=2, clients_per_round=6), attacker=AttackerConfig(malicious_ratio=0.25, start_epoch=1),
      evaluation=EvalConfig(ks=(3,)),
    )
  assert np.isnan(result.per_user["hr@3"][2]) and np.isfinite(result.metrics["hr@3"]).all()
