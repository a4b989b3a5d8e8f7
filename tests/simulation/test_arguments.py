"""Arguments of another kind that means the same; tests/experiments/bad_inputs has those that mean nothing."""

import numpy as np
import pytest

import fedrecjax as frj
from fedrecjax.simulation.arguments import checked_seed


def test_whole_numbers_of_numpy_are_whole_numbers():
  given = {"train.epochs": np.int64(3), "seed": np.uint8(7), "mf.dim": np.int32(8), "eval.ks": [np.int64(5), 10],
           "train.learning_rate": np.float64(0.5), "attacker.colluding": np.bool_(True)}
  plain = {"train.epochs": 3, "seed": 7, "mf.dim": 8, "eval.ks": (5, 10), "train.learning_rate": 0.5,
           "attacker.colluding": True}
  assert frj.from_flat(given) == frj.from_flat(plain)
  assert frj.from_flat(given).hash() == frj.from_flat(plain).hash()


def test_sections_and_methods_take_them_too():
  train = frj.TrainConfig(epochs=np.int64(3), clients_per_round=np.int64(4), learning_rate=1, row_clip=np.float32(0.5))
  assert train == frj.TrainConfig(epochs=3, clients_per_round=4, learning_rate=1.0, row_clip=0.5)
  assert [type(one) for one in (train.epochs, train.clients_per_round, train.learning_rate, train.row_clip)] == [
    int, int, float, float]
  assert frj.EvalConfig(ks=[5, 10]) == frj.EvalConfig(ks=np.array([5, 10])) == frj.EvalConfig(ks=(5, 10))
  assert hash(frj.EvalConfig(ks=[5])) == hash(frj.EvalConfig(ks=(5,)))
  items = frj.AttackerConfig(targets="given", target_items=[np.int64(4), 2]).target_items
  assert items == (4, 2) and [type(item) for item in items] == [int, int]
  attack = frj.pieck_uea(num_popular=np.int64(10)).poison
  assert attack.static["num_popular"] == 10 and type(attack.static["num_popular"]) is int
  assert frj.ncf(hidden=[8, 4]).score.static["hidden"] == (8, 4)


@pytest.mark.parametrize("value", [np.float64(3.5), True, "3", np.array([3]), [3]])
def test_other_values_are_no_whole_numbers(value):
  with pytest.raises(frj.ConfigError, match=r"train\.epochs must be an integer"):
    frj.TrainConfig(epochs=value)


@pytest.mark.parametrize("seed", [0, 2**31, 2**32 - 1, np.int64(5), np.uint32(2**32 - 1)])
def test_seeds(seed):
  assert checked_seed(seed) == int(seed) and type(checked_seed(seed)) is int


def test_a_seed_of_numpy_is_the_same_seed(small):
  options = {"model": frj.mf(dim=4), "train": frj.TrainConfig(epochs=1, clients_per_round=8),
             "evaluation": frj.EvalConfig(ks=[3])}
  one, other = (frj.simulate(small, seed=seed, **options) for seed in (7, np.int64(7)))
  assert one.metrics["train_loss"] == other.metrics["train_loss"]
