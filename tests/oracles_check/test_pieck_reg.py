"""Oracle of PIECK's defence, against arithmetic by hand and finite differences."""

import math

import numpy as np
import pytest

from tests.oracles import pieck_reg
from tests.oracles_check.numerical import central_difference

LOG2, LOG3 = math.log(2.0), math.log(3.0)


def test_weights_by_hand():
  assert pieck_reg.rank_weights(3, "quadratic") == pytest.approx([9 / 14, 4 / 14, 1 / 14])
  # e^3, e^2, e over their sum: each is e times the next.
  first, second, third = pieck_reg.rank_weights(3, "exponential")
  assert first / second == pytest.approx(math.e) and second / third == pytest.approx(math.e)
  assert first + second + third == pytest.approx(1.0)
  assert pieck_reg.rank_weights(10, "exponential")[0] == pytest.approx(0.632, abs=5e-4)
  for weighting in ("exponential", "quadratic"):
    assert pieck_reg.rank_weights(1, weighting) == [1.0]


# Directions (1, 0) and (0, 1) with weights 4/5 and 1/5.
POPULAR = np.array([[2.0, 0.0], [0.0, 3.0]])
WEIGHTS = [0.8, 0.2]


def test_similarity_by_hand():
  # Cosines (1, 0), (0, -1), (0.6, 0.8): weighted 0.8, -0.2 and 0.48 + 0.16 = 0.64.
  rows = [np.array([1.0, 0.0]), np.array([0.0, -2.0]), np.array([3.0, 4.0])]
  value, gradients = pieck_reg.similarity(rows, POPULAR, WEIGHTS)
  assert value == pytest.approx(1.24 / 3)
  # What lies across the row of (0.8, 0.2), over its length and the number of rows: (0, 0.2) / 1,
  # (0.8, 0) / 2, and ((0.8, 0.2) - 0.64 (0.6, 0.8)) / 5 = (0.416, -0.312) / 5.
  expected = np.array([[0.0, 0.2], [0.4, 0.0], [0.0832, -0.0624]]) / 3
  np.testing.assert_allclose(gradients, expected, atol=1e-15)


def test_a_repeated_row_counts_as_often_as_it_occurs():
  one, other = np.array([1.0, 0.0]), np.array([0.0, -2.0])
  value, gradients = pieck_reg.similarity([one, other, one], POPULAR, WEIGHTS)
  assert value == pytest.approx((0.8 - 0.2 + 0.8) / 3)
  np.testing.assert_allclose(gradients[0], [0.0, 0.2 / 3])
  np.testing.assert_allclose(gradients[2], gradients[0])


def test_zero_rows_and_zero_popular_items_have_cosine_zero():
  value, (at_zero, other) = pieck_reg.similarity(
    [np.zeros(2), np.array([1.0, 0.0])], np.array([[0.0, 0.0], [0.0, 3.0]]), WEIGHTS
  )
  assert value == 0.0
  np.testing.assert_array_equal(at_zero, [0.0, 0.0])
  np.testing.assert_allclose(other, [0.0, 0.1])  # 1/5 of the second one, of two rows


def test_no_row_has_similarity_zero():
  assert pieck_reg.similarity([], POPULAR, WEIGHTS) == (0.0, [])


def test_divergence_by_hand():
  # User (ln 3, 0): 3/4, 1/4; item (0, 0): 1/2, 1/2.
  user, item = np.array([LOG3, 0.0]), np.zeros((1, 2))
  np.testing.assert_allclose(pieck_reg.softmax(user), [0.75, 0.25])
  # 3/4 ln(3/2) + 1/4 ln(1/2) = 3/4 ln 3 - ln 2; slope 3/4 (ln(3/2) - KL) = 3/16 ln 3.
  value, gradient = pieck_reg.divergence(user, item, [1.0], "user_to_item", "sum")
  assert value == pytest.approx(0.75 * LOG3 - LOG2)
  np.testing.assert_allclose(gradient, [3 / 16 * LOG3, -3 / 16 * LOG3])
  # 1/2 ln(2/3) + 1/2 ln 2 = ln 2 - 1/2 ln 3; slope 3/4 - 1/2.
  value, gradient = pieck_reg.divergence(user, item, [1.0], "item_to_user", "sum")
  assert value == pytest.approx(LOG2 - 0.5 * LOG3)
  np.testing.assert_allclose(gradient, [0.25, -0.25])
  # Two dimensions: the mean is half of it. An item like the user adds nothing.
  both = np.array([[0.0, 0.0], [LOG3 + 5.0, 5.0]])
  value, gradient = pieck_reg.divergence(user, both, WEIGHTS, "item_to_user", "mean")
  assert value == pytest.approx(0.4 * (LOG2 - 0.5 * LOG3))
  np.testing.assert_allclose(gradient, [0.1, -0.1], atol=1e-15)


TABLE = np.array([[2.0, 0.0], [0.0, 3.0], [1.0, 0.0], [0.0, -2.0], [0.0, 0.0]])


def test_the_sum_of_both_by_hand():
  # List 2, 0, 3 of which 0 is popular: (0.8 - 0.2) / 2 = 0.3.
  options = {"beta": 2.0, "weighting": "quadratic", "kl": "item_to_user", "kl_scale": "sum"}
  user = np.array([LOG3, 0.0])
  value, gradient, rows = pieck_reg.regularisers(
    user, TABLE, [2, 0, 3], [0, 1], gamma=0.0, **options
  )
  assert value == pytest.approx(-0.6)
  np.testing.assert_array_equal(gradient, [0.0, 0.0])
  # -2 times (0, 0.2) / 2 and (0.4, 0) / 2.
  np.testing.assert_allclose(rows, [[0.0, -0.2], [0.0, 0.0], [-0.4, 0.0]], atol=1e-15)
  # One popular item, the zero vector: -3 (ln 2 - 1/2 ln 3) from Re_2 alone.
  value, gradient, rows = pieck_reg.regularisers(user, TABLE, [2, 4], [4], gamma=3.0, **options)
  assert value == pytest.approx(-3 * (LOG2 - 0.5 * LOG3))
  np.testing.assert_allclose(gradient, [-0.75, 0.75])
  np.testing.assert_array_equal(rows, [[0.0, 0.0], [0.0, 0.0]])


def test_a_list_of_popular_items_alone_has_no_similarity():
  value, _, rows = pieck_reg.regularisers(
    np.ones(2),
    TABLE,
    [0, 1, 0],
    [1, 0],
    beta=1.0,
    gamma=0.0,
    weighting="exponential",
    kl="user_to_item",
    kl_scale="sum",
  )
  assert value == 0.0
  np.testing.assert_array_equal(rows, np.zeros((3, 2)))


@pytest.mark.parametrize("weighting", ["exponential", "quadratic"])
@pytest.mark.parametrize("kl", ["user_to_item", "item_to_user"])
@pytest.mark.parametrize("kl_scale", ["sum", "mean"])
def test_gradients_are_the_slopes_of_the_value(weighting, kl, kl_scale):
  generator = np.random.default_rng(4)
  user, table = generator.normal(size=3), generator.normal(size=(9, 3))
  entries, popular = [5, 1, 7, 5, 2, 8], [7, 0, 4]
  options = {
    "beta": 0.7,
    "gamma": 1.3,
    "weighting": weighting,
    "kl": kl,
    "kl_scale": kl_scale,
  }

  def value(user, table):
    return pieck_reg.regularisers(user, table, entries, popular, **options)[0]

  _, gradient, rows = pieck_reg.regularisers(user, table, entries, popular, **options)
  slope = central_difference(lambda point: value(point, table), user)
  np.testing.assert_allclose(gradient, slope, atol=1e-8)
  expected = central_difference(lambda point: value(user, point), table)
  found = np.zeros_like(table)
  for item, row in zip(entries, rows, strict=True):
    found[item] += row
  unpopular = [item for item in range(9) if item not in popular]
  np.testing.assert_allclose(found[unpopular], expected[unpopular], atol=1e-8)
  np.testing.assert_array_equal(found[popular], np.zeros((3, 3)))  # they are constants
