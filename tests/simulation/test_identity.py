"""What tells runs apart: equal for equal things made anew, different for any other number, code or array."""

import dataclasses
import functools
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from fedrecjax import attacks, chain, defenses, models
from fedrecjax.simulation.identity import difference, digest_of_value
from tests.experiments.conftest import ROOT


def made(scale):
  def function(value, weight=2.0):
    return scale * value * weight

  return function


def recursive(number):
  def count(left):
    return number if left == 0 else count(left - 1)

  return count


@dataclasses.dataclass
class Numbers:
  one: float
  other: tuple


class Holder:
  def __init__(self, number):
    self.number = number

  def method(self, value):
    return self.number * value


PAIRS = [
  (lambda: 1, lambda: 1.0),
  (lambda: "ab", lambda: b"ab"),
  (lambda: ("ab", "c"), lambda: ("a", "bc")),
  (lambda: (1, (2, 3)), lambda: (1, 2, 3)),
  (lambda: (1, 2), lambda: [1, 2]),
  (lambda: {"a": 1, "b": 2}, lambda: {"a": 2, "b": 1}),
  (lambda: np.arange(3), lambda: np.arange(3).astype(np.float32)),
  (lambda: np.zeros((2, 3)), lambda: np.zeros((3, 2))),
  (lambda: np.array(["u1", 2], object), lambda: np.array(["u1", 3], object)),
  (lambda: jnp.float32(1), lambda: jnp.float32(2)),
  (lambda: jax.random.key(0), lambda: jax.random.key(1)),
  (lambda: made(1.0), lambda: made(2.0)),
  (lambda: recursive(1), lambda: recursive(2)),
  (lambda: (lambda value: value + 1), lambda: (lambda value: value + 2)),
  (lambda: (lambda value: value + 1), lambda: (lambda value: value - 1)),
  (lambda: (lambda value, more=1: value), lambda: (lambda value, more=2: value)),
  (lambda: functools.partial(max, 1), lambda: functools.partial(max, 2)),
  (lambda: jax.tree_util.Partial(max), lambda: jax.tree_util.Partial(min)),
  (lambda: jax.jit(made(1.0)), lambda: jax.jit(made(2.0))),
  (lambda: Holder(1).method, lambda: Holder(2).method),
  (lambda: Numbers(1.0, (2,)), lambda: Numbers(1.0, (3,))),
  (lambda: models.mf(dim=4), lambda: models.mf(dim=8)),
  (lambda: models.mf(init_std=0.1), lambda: models.mf(init_std=0.2)),
  (lambda: models.ncf(dim=4), lambda: models.ncf(dim=4, hidden=(8, 4))),
  (lambda: attacks.pieck_uea(scale=1.0), lambda: attacks.pieck_uea(scale=2.0)),
  (lambda: attacks.pieck_uea(), lambda: attacks.pieck_ipe()),
  (lambda: chain(defenses.norm_bound(), defenses.median()), lambda: chain(defenses.norm_bound(), defenses.krum())),
  (
    lambda: chain(defenses.norm_bound(max_norm=1.0), defenses.median()),
    lambda: chain(defenses.norm_bound(max_norm=2.0), defenses.median()),
  ),
  (lambda: optax.adam(1e-2), lambda: optax.adam(1e-3)),
  (lambda: optax.adam(1e-2), lambda: optax.yogi(1e-2)),
  (lambda: optax.chain(optax.clip(1.0), optax.sgd(0.1)), lambda: optax.chain(optax.clip(2.0), optax.sgd(0.1))),
]


@pytest.mark.parametrize("pair", PAIRS)
def test_equal_things_are_equal_and_others_are_not(pair):
  first, second = pair
  assert digest_of_value(first()) == digest_of_value(first())
  assert digest_of_value(first()) != digest_of_value(second())


def test_what_is_part_of_itself_has_a_digest():
  one: list = [1]
  one.append(one)
  assert digest_of_value(one) == digest_of_value(one)


METHODS = """
import optax
from fedrecjax import attacks, chain, defenses, models
from fedrecjax.simulation.identity import digest_of_value
parts = [models.ncf(), models.lightgcn(), attacks.fedrecattack(), chain(defenses.norm_bound(), defenses.krum()),
         optax.adamw(1e-2), optax.warmup_cosine_decay_schedule(0.0, 1.0, 3, 9), {"b", "a", "c"}]
print(" ".join(map(digest_of_value, parts)))
"""


def test_another_process_finds_the_same():
  """Neither addresses nor the order of sets are part of it."""
  found = {
    subprocess.run([sys.executable, "-c", METHODS], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for _ in range(2)
  }
  assert len(found) == 1 and len(found.pop().split()) == 7


def test_the_first_difference_is_named():
  assert difference({"seed": 1}, {"seed": 1}) is None
  assert difference({"seed": 1, "train.row_clip": None}, {"seed": 1, "train.row_clip": 0.5}) == (
    "train.row_clip is null there and 0.5 here"
  )
  assert difference({"seed": 1, "gone": 3}, {"seed": 1}) == "gone is 3 there and null here"
