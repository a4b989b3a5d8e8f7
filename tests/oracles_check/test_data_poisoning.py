"""Oracle of optimised fake profiles, by hand."""

import math

import numpy as np
import pytest

from tests.oracles import data_poisoning


def test_least_squares_by_hand():
  # (2 * 3 + 1 * 1) / (4 + 1 + ridge).
  factors = np.array([[2.0], [1.0]])
  found = data_poisoning.least_squares(np.array([[3.0, 1.0]]), factors, 2.0)
  assert found.tolist() == [[1.0]]


def test_a_sweep_by_hand():
  # One user with item 0 of two, no fakes, ridge 1, items (1, 1): user 1 / 3. Items: 1 / 3 over
  # 1 / 9 + 1, which is 0.3, and 0. User again: 0.3 / 1.09.
  real, nobody = np.array([[1.0, 0.0]]), np.zeros((0, 2))
  scores = data_poisoning.predicted(real, nobody, np.ones((2, 1)), 1.0, 1)
  assert scores[0].tolist() == pytest.approx([0.3 * 0.3 / 1.09, 0.0])
  assert data_poisoning.promotion(real, nobody, np.ones((2, 1)), [1, 0], 1.0, 1) == 0.0


def test_a_fake_user_that_holds_both_items_lifts_the_other():
  real, nobody = np.array([[1.0, 0.0]]), np.zeros((0, 2))
  fake = np.array([[1.0, 1.0]])
  arguments = (np.array([[1.0], [0.5]]), [1], 1.0, 2)
  without = data_poisoning.promotion(real, nobody, *arguments)
  assert data_poisoning.promotion(real, fake, *arguments) > without + 0.01


@pytest.mark.parametrize(
  ("profile", "budget", "expected"),
  [
    ([0.5, -1.0, 0.2], 1.0, [0.5, 0.0, 0.2]),
    ([3.0, -1.0, 0.2], 2.0, [1.0, 0.0, 0.2]),
    # 0.9 - s + 0.7 - s = 1.
    ([0.9, 0.7, 0.1], 1.0, [0.6, 0.4, 0.0]),
    # The first stays at 1 after the shift.
    ([2.0, 0.7, 0.5], 1.8, [1.0, 0.5, 0.3]),
    ([0.4, 0.4], 0.0, [0.0, 0.0]),
  ],
)
def test_projections_by_hand(profile, budget, expected):
  found = data_poisoning.nearest_profile(np.array(profile), budget)
  assert found == pytest.approx(expected)


def test_a_penalty_by_hand():
  log_half, log_y = math.log(0.5), -math.log(1 + math.exp(-2.0))
  scores = np.array([[2.0, 0.0, -2.0]])
  # A list of one holds item 0. Target 1 is behind by log y(2) - log y(0).
  assert data_poisoning.penalty(scores, [[]], [1], 1, 9.0) == pytest.approx(log_y - log_half)
  # Without item 0 the list holds item 1, and the target is ahead of nothing but itself.
  assert data_poisoning.penalty(scores, [[0]], [1], 1, 9.0) == 0.0
  assert data_poisoning.penalty(scores, [[1]], [1], 1, 9.0) == 0.0
  # Target 0 is ahead of the worst of three by log y(2) - log y(-2) = 2.
  assert data_poisoning.penalty(scores, [[]], [0], 3, 9.0) == pytest.approx(-2.0)
  assert data_poisoning.penalty(scores, [[]], [0], 3, 0.5) == -0.5


def test_fillers_by_hand():
  scores = [0.9, 0.8, 0.7, 0.99]
  chosen, chance = data_poisoning.fill(scores, [1.0] * 4, [3], 2, 0.5)
  assert chosen == [0, 1] and chance == [0.5, 0.5, 1.0, 1.0]
  chosen, chance = data_poisoning.fill(scores, chance, [3], 2, 0.5)
  # 0.45, 0.4 and 0.7; then all but the target have been chosen.
  assert chosen == [2, 0] and chance == [1.0] * 4
