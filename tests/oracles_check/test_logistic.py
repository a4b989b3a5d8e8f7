"""The logistic function far from zero, where the plain formula overflows."""

import math

import pytest

from tests.oracles.logistic import negative_log_sigmoid, sigmoid


def test_values():
  assert sigmoid(0.0) == 0.5
  assert sigmoid(math.log(3.0)) == pytest.approx(0.75)
  assert negative_log_sigmoid(math.log(3.0)) == pytest.approx(math.log(4 / 3))


def test_large_scores():
  assert sigmoid(-1000.0) == 0.0
  assert sigmoid(1000.0) == 1.0
  assert negative_log_sigmoid(-1000.0) == 1000.0
  assert negative_log_sigmoid(1000.0) == 0.0
