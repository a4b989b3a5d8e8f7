"""Oracle of Adam, against arithmetic by hand."""

import math

import numpy as np
import pytest

from tests.oracles.adam import Adam


def test_the_first_step_is_one_in_the_direction_of_the_gradient():
  # Both corrections cancel: g / (|g| + epsilon), whatever the size of g, and 0 for g = 0.
  direction = Adam((3,)).direction(np.array([4.0, -0.01, 0.0]))
  np.testing.assert_allclose(direction, [1.0, -1.0, 0.0], atol=2e-6)


def test_the_second_step():
  # Gradients 1 and 2. First moment 0.1 and 0.9 * 0.1 + 0.1 * 2 = 0.29, over 1 - 0.81 = 0.19; second
  # 0.001 and 0.999 * 0.001 + 0.001 * 4 = 0.004999, over 1 - 0.998001 = 0.001999.
  adam = Adam((1,))
  adam.direction(np.array([1.0]))
  expected = (0.29 / 0.19) / math.sqrt(0.004999 / 0.001999)
  assert adam.direction(np.array([2.0]))[0] == pytest.approx(expected, rel=1e-7)


def test_a_parameter_without_gradient_moves_on():
  # First moment 0.1, then 0.09, over 0.19; second 0.001, then 0.000999, over 0.001999.
  adam = Adam((1,))
  adam.direction(np.array([1.0]))
  expected = (0.09 / 0.19) / math.sqrt(0.000999 / 0.001999)
  assert adam.direction(np.array([0.0]))[0] == pytest.approx(expected, rel=1e-7)


def test_epsilon_counts_beside_tiny_gradients():
  # g / (g + epsilon) with g = epsilon.
  assert Adam((1,), epsilon=1e-3).direction(np.array([1e-3]))[0] == pytest.approx(0.5)
