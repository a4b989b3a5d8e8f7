"""On MovieLens-100K, a short run already shows what the papers show; figures of full runs are in docs/fidelity.md."""

import pytest

from fedrecjax import from_flat, load, simulate_config

SETTINGS = {"dataset": "ml-100k", "train.epochs": 60, "eval.every": 60, "train.duplicates": "first",
            "eval.candidates": "sampled", "eval.held_out_negative": True, "seed": 0}


@pytest.fixture(scope="module")
def movielens(real_data):
  return load("ml-100k", data_dir=real_data)


def last(dataset, **changes):
  names = {name.replace("__", "."): value for name, value in changes.items()}
  metrics = simulate_config(from_flat({**SETTINGS, **names}), dataset).metrics
  return float(metrics["hr@10"][-1]), float(metrics["er@10"][-1])


@pytest.fixture(scope="module")
def clean(movielens):
  return last(movielens)


def test_matrix_factorisation_learns_and_nobody_sees_the_target(clean):
  hits, exposure = clean
  assert 0.50 < hits < 0.62
  assert exposure < 0.02


@pytest.mark.parametrize("attack", ["pieck_ipe", "pieck_uea"])
def test_pieck_promotes_the_target_without_cost_to_users(movielens, clean, attack):
  hits, exposure = last(movielens, attack=attack)
  assert exposure > 0.5
  assert abs(hits - clean[0]) < 0.03


def test_popular_profiles_do_not_promote_it(movielens):
  for attack in ("random", "bandwagon", "popular"):
    _, exposure = last(movielens, attack=attack, train__epochs=30)
    assert exposure < 0.05, attack
