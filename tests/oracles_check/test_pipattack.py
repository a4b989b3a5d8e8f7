"""Oracle of PipAttack: levels, a network and a projection by hand, gradients by differences."""

import math

import numpy as np
import pytest

from tests.oracles import pipattack
from tests.oracles_check.numerical import central_difference

# Two inputs, one hidden unit x - y, logits (h, 0, 0).
LAYERS = [
  (np.array([[1.0], [-1.0]]), np.zeros(1)),
  (np.array([[1.0, 0.0, 0.0]]), np.zeros(3)),
]


def test_levels_by_hand():
  # Ten items: one in the top tenth, 5.5 in both together, rounded up.
  popularity = np.array([3, 3, 9, 0, 1, 7, 0, 5, 4, 2])
  # In order: 2, 5, 7, 8, 0, 1, 9, 4, 3, 6.
  assert pipattack.levels(popularity, 0.1, 0.45) == [1, 1, 0, 2, 2, 1, 2, 1, 1, 2]
  assert pipattack.levels(np.array([1, 1, 1]), 0.1, 0.45) == [0, 1, 2]


def test_a_network_by_hand():
  # h = ln 2: probabilities 2/4, 1/4, 1/4. A hidden sum below zero leaves thirds.
  row = np.array([math.log(2), 0.0])
  np.testing.assert_allclose(pipattack.forward(row, LAYERS)[-1], [0.5, 0.25, 0.25])
  np.testing.assert_allclose(pipattack.forward(-row, LAYERS)[-1], [1 / 3] * 3)
  rows = np.array([row, -row])
  loss = pipattack.cross_entropy(rows, [0, 1], LAYERS)
  assert loss == pytest.approx((math.log(2) + math.log(3)) / 2)
  # d/dh = 0.5 - 1, over two rows; to the inputs as 1 and -1. The second row's unit is off.
  of_rows, of_layers = pipattack.cross_entropy_gradients(rows, [0, 1], LAYERS)
  np.testing.assert_allclose(of_rows, [[-0.25, 0.25], [0.0, 0.0]])
  np.testing.assert_allclose(of_layers[0][1], [-0.25])
  np.testing.assert_allclose(of_layers[1][1], [-0.25 + 1 / 6, 0.125 - 1 / 3, 0.125 + 1 / 6])


def test_gradients_by_differences():
  random = np.random.default_rng(1)
  layers = [
    (random.normal(size=(3, 4)), random.normal(size=4)),
    (random.normal(size=(4, 2)), random.normal(size=2)),
    (random.normal(size=(2, 3)), random.normal(size=3)),
  ]
  rows, classes = random.normal(size=(5, 3)), [0, 2, 1, 0, 2]
  of_rows, of_layers = pipattack.cross_entropy_gradients(rows, classes, layers)
  np.testing.assert_allclose(
    of_rows,
    central_difference(lambda some: pipattack.cross_entropy(some, classes, layers), rows),
    atol=1e-7,
  )
  for index, (weights, bias) in enumerate(layers):

    def changed(weights, bias, index=index):
      others = [*layers[:index], (weights, bias), *layers[index + 1 :]]
      return pipattack.cross_entropy(rows, classes, others)

    slope = central_difference(lambda one, b=bias, f=changed: f(one, b), weights)
    np.testing.assert_allclose(of_layers[index][0], slope, atol=1e-7)
    slope = central_difference(lambda one, w=weights, f=changed: f(w, one), bias)
    np.testing.assert_allclose(of_layers[index][1], slope, atol=1e-7)


def test_training_goes_on_where_it_stopped_and_leaves_targets_out():
  table = np.random.default_rng(2).normal(size=(6, 2))
  classes = [0, 1, 2, 1, 0, 2]
  once, twice = pipattack.Estimator(LAYERS), pipattack.Estimator(LAYERS)
  once.train(table, classes, [4], steps=3, rate=0.1)
  for steps in (1, 2):
    twice.train(table, classes, [4], steps=steps, rate=0.1)
  np.testing.assert_array_equal(once.layers[0][0], twice.layers[0][0])
  moved = table.copy()
  moved[4] = 100.0
  other = pipattack.Estimator(LAYERS)
  other.train(moved, classes, [4], steps=3, rate=0.1)
  np.testing.assert_array_equal(once.layers[0][0], other.layers[0][0])
  # The first step of Adam is the sign of the gradient times the rate.
  first = pipattack.Estimator(LAYERS)
  first.train(table[:1], [0], [], steps=1, rate=0.1)
  sign = np.sign(pipattack.cross_entropy_gradients(table[:1], [0], LAYERS)[1][1][1])
  np.testing.assert_allclose(first.layers[1][1], -0.1 * sign, atol=1e-7)


def test_the_obfuscation_is_towards_level_0():
  estimator = pipattack.Estimator(LAYERS)
  row = np.array([[math.log(2), 0.0]])
  np.testing.assert_allclose(estimator.obfuscation(row), [[-0.5, 0.5]])


def test_parts_are_added_up():
  rows = pipattack.client_rows(
    {0: np.array([1.0])}, {0: np.array([2.0])}, {0: np.array([4.0]), 1: np.array([6.0])},
    alpha=10.0, weight=0.5,
  )
  assert rows[0][0] == 23.0 and rows[1][0] == 3.0


def test_within_a_distance_by_hand():
  center = np.array([[1.0], [0.0], [9.0]])
  rows = {0: np.array([4.0]), 1: np.array([4.0])}  # at (3, 4), hence 5
  assert pipattack.within(rows, center, 5.0) is rows
  near = pipattack.within(rows, center, 2.5)
  assert near[0][0] == pytest.approx(2.5) and near[1][0] == pytest.approx(2.0)
