"""Oracle of Adam, against arithmetic by hand."""

import math

import numpy as np
import pytest

from tests.oracles.adam import Adam, LazyAdam


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


def test_lazy_rows_stand_still_but_time_passes_for_them():
  lazy = LazyAdam(2, 1)
  table = lazy.step(np.array([[1.0], [1.0]]), {0: np.array([3.0])}, 0.5)
  np.testing.assert_allclose(table, [[0.5], [1.0]], atol=1e-7)
  table = lazy.step(table, {1: np.array([-2.0])}, 0.5)
  # First moment -0.2 over 1 - 0.81, second 0.004 over 1 - 0.998001: a first step in round two.
  late = 1.0 + 0.5 * (0.2 / 0.19) / math.sqrt(0.004 / 0.001999)
  np.testing.assert_allclose(table, [[0.5], [late]], atol=1e-7)
  assert lazy.first[0, 0] == pytest.approx(0.3) and lazy.second[0, 0] == pytest.approx(0.009)
