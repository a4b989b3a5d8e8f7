"""Oracle of P3, by hand."""

import math

import numpy as np
import pytest

from tests.oracles import targeted
from tests.oracles_check.numerical import central_difference

LOG3 = math.log(3.0)


def test_the_malicious_gradient_by_hand():
  # Scores ln 3 and 0: slopes -1/4 and -1/2, halved as a mean over two targets.
  table = np.array([[LOG3, 4.0], [9.0, 9.0], [0.0, 1.0]])
  rows, layers = targeted.malicious_gradients(np.array([1.0, 0.0]), table, [0, 2], None)
  assert layers == []
  np.testing.assert_allclose(rows[0], [-0.125, 0.0])
  np.testing.assert_allclose(rows[2], [-0.25, 0.0])


def test_a_network_gets_its_gradient_too():
  random = np.random.default_rng(0)
  layers = [
    (random.normal(size=(4, 3)), random.normal(size=3)),
    (random.normal(size=(3, 1)), np.ones(1)),
  ]
  user, table = random.normal(size=2), random.normal(size=(3, 2))
  rows, of_layers = targeted.malicious_gradients(user, table, [2], layers)

  def loss(row):
    return targeted.interaction.label_loss(user, row[None], layers, 1)

  np.testing.assert_allclose(rows[2], central_difference(loss, table[2]), atol=1e-7)
  assert of_layers[0][0].shape == (4, 3)


def case(**changes):
  # Item 0: 2 * 3 + 0.5 * 2 = 7, item 1: 0.5 * 4 = 2; delta = -0.1 * these = -0.7 and -0.2.
  options = {"boost": 2.0, "stealth": 0.5, "rho": 10.0, "learning_rate": 0.1, "distance": "norm"}
  return targeted.stealthy_rows(
    {0: np.array([3.0])}, {0: np.array([2.0]), 1: np.array([4.0])},
    changes.pop("change", np.array([[-1.0], [0.2], [5.0]])), **(options | changes),
  )


def test_the_distance_by_hand():
  # Gaps -0.7 + 1.0 = 0.3 and -0.2 - 0.2 = -0.4 of length 0.5; item 2 is not uploaded.
  rows = case()
  assert set(rows) == {0, 1}
  assert rows[0][0] == pytest.approx(7 + 5 * 0.6) and rows[1][0] == pytest.approx(2 - 5 * 0.8)
  squared = case(distance="squared")
  assert squared[0][0] == pytest.approx(7 + 5 * 0.3) and squared[1][0] == pytest.approx(2 - 5 * 0.4)


def test_without_a_change_or_at_it_nothing_is_added():
  assert case(change=None)[0][0] == 7.0
  # In powers of two, so that the gap is exactly zero: delta = -3.5 and -1.
  still = case(change=np.array([[-3.5], [-1.0], [0.0]]), learning_rate=0.5)
  assert still[0][0] == 7.0 and still[1][0] == 2.0
