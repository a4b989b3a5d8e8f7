"""Oracle of the shilling profiles and of explicit boosting, against arithmetic by hand."""

import math

import numpy as np
import pytest

from tests.oracles import shilling
from tests.oracles_check.numerical import central_difference

LOG3 = math.log(3.0)


def test_filler_count():
  # kappa = 60: 30 interactions, 29 beside one target. 61 rows leave room for no more.
  assert shilling.filler_count(60, 1) == 29
  assert shilling.filler_count(61, 1) == 29
  assert shilling.filler_count(60, 3) == 27
  assert shilling.filler_count(2, 1) == 0
  with pytest.raises(ValueError, match="do not fit"):
    shilling.filler_count(2, 2)


def test_popular_profile():
  popularity = np.array([5, 9, 5, 7, 9])
  # Others than item 3 in order: 1 and 4 (9 each), 0 and 2 (5 each).
  assert shilling.popular_profile(popularity, [3], 3) == [3, 1, 4, 0]
  # A popular target stands once.
  assert shilling.popular_profile(popularity, [4], 2) == [4, 1, 3]
  assert shilling.popular_profile(popularity, [4], 0) == [4]


def test_bandwagon_pool():
  # 25 items: the pool has two. Item 24 is the most popular one, but a target.
  popularity = np.arange(25)
  assert shilling.bandwagon_pool(popularity, [0]) == [24, 23]
  assert shilling.bandwagon_pool(popularity, [24]) == [23, 22]


def test_bandwagon_counts():
  # kappa = 60: 3 + 26 beside one target. kappa = 30: 15 interactions, 1 + 13.
  assert shilling.bandwagon_counts(60, 1) == (3, 26)
  assert shilling.bandwagon_counts(30, 1) == (1, 13)
  # Ten interactions, all of them targets.
  assert shilling.bandwagon_counts(20, 10) == (0, 0)


def test_explicit_boosting_by_hand():
  # Scores ln 3 and -ln 3: losses ln(4/3) and ln 4, slopes -1/4 and -3/4.
  # User gradient: -1/4 (ln 3, 4) - 3/4 (-ln 3, 0) = (ln 3 / 2, -1).
  user = np.array([1.0, 0.0])
  targets = np.array([[LOG3, 4.0], [-LOG3, 0.0]])
  loss, user_gradient, rows = shilling.explicit_boosting_gradient(user, targets, reduction="sum")
  assert loss == pytest.approx(math.log(16 / 3))
  np.testing.assert_allclose(user_gradient, [LOG3 / 2, -1.0])
  np.testing.assert_allclose(rows, [[-0.25, 0.0], [-0.75, 0.0]])
  loss, user_gradient, rows = shilling.explicit_boosting_gradient(user, targets)
  assert loss == pytest.approx(math.log(16 / 3) / 2)
  np.testing.assert_allclose(user_gradient, [LOG3 / 4, -0.5])
  np.testing.assert_allclose(rows, [[-0.125, 0.0], [-0.375, 0.0]])


@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_explicit_boosting_gradients_are_slopes(reduction):
  generator = np.random.default_rng(0)
  user = generator.normal(size=3)
  targets = generator.normal(size=(2, 3))

  def loss(some_user, some_targets):
    return shilling.explicit_boosting_gradient(some_user, some_targets, reduction=reduction)[0]

  _, user_gradient, rows = shilling.explicit_boosting_gradient(user, targets, reduction=reduction)
  numerical = central_difference(lambda point: loss(point, targets), user)
  np.testing.assert_allclose(user_gradient, numerical, atol=1e-8)
  numerical = central_difference(lambda point: loss(user, point), targets)
  np.testing.assert_allclose(rows, numerical, atol=1e-8)
