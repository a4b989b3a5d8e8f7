"""Oracle of PIECK, against arithmetic by hand and finite differences."""

import math

import numpy as np
import pytest

from tests.oracles import pieck
from tests.oracles_check.numerical import central_difference

LOG3 = math.log(3.0)

# Movements of four items over two intervals, in the L2 norm:
#   item 0: 3-4-5 triangle and back, 5 + 5 = 10 (its end points coincide)
#   item 1: 2 + 0 = 2
#   item 2: 0 + 7 = 7
#   item 3: 1 + 1 = 2, a tie with item 1
FIRST = np.array([[0.0, 0.0], [0.0, 0.0], [1.0, 1.0], [0.0, 0.0]])
SECOND = np.array([[3.0, 4.0], [2.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
THIRD = np.array([[0.0, 0.0], [2.0, 0.0], [8.0, 1.0], [0.0, 2.0]])


def test_mining_accumulates_over_participations():
  tables = [FIRST, SECOND, THIRD]
  assert pieck.delta_norm_mining(tables, 4, []) == [0, 2, 1, 3]
  assert pieck.delta_norm_mining(tables, 2, [0]) == [2, 1]


def test_published_mining_uses_one_difference():
  # First interval: 5, 2, 0, 1.
  assert pieck.mine_published(FIRST, SECOND, [], 4) == [0, 1, 3, 2]
  assert pieck.mine_published(FIRST, SECOND, [1], 2) == [0, 3]


def test_mining_breaks_ties_towards_the_smaller_id():
  assert pieck.delta_norm_mining([np.zeros((5, 2)), np.ones((5, 2))], 3, [1]) == [0, 2, 3]


def test_mining_refuses_more_items_than_there_are():
  with pytest.raises(ValueError, match="cannot choose 4 of 3"):
    pieck.delta_norm_mining([FIRST, SECOND], 4, [2])


# Cosines with the target (1, 0): 1, 0, 3/5, -4/5. The zero one belongs to P-.
TARGET = np.array([1.0, 0.0])
POPULAR = np.array([[2.0, 0.0], [0.0, 1.0], [3.0, 4.0], [-4.0, 3.0]])


def test_split_puts_zero_cosine_in_the_negative_subset():
  assert pieck.split_popular(TARGET, POPULAR) == ([0, 2], [1, 3])


def test_weights_in_the_subset_and_in_the_list():
  # Subset of two: ranks 1, 2 -> 2/3, 1/3. List of four: ranks 2 and 4 of 4 3 2 1 over 10.
  assert pieck.ipe_weights([1, 3], 4, "subset") == pytest.approx([2 / 3, 1 / 3])
  assert pieck.ipe_weights([1, 3], 4, "list") == pytest.approx([0.3, 0.1])


def test_ipe_loss_by_hand():
  # P+ = {1, 3/5}, P- = {0, -4/5}, both of size 2, lambda = 1/2.
  # subset: P+ (2/3 * 1 + 1/3 * 3/5) / 2 = 13/30, P- (2/3 * 0 + 1/3 * -4/5) / 2 = -4/30.
  #         loss = -1/2 * 9/30 = -0.15.
  assert pieck.ipe_loss(TARGET, POPULAR, 0.5, "subset") == pytest.approx(-0.15)
  # list: P+ (0.4 * 1 + 0.2 * 0.6) / 2 = 0.26, P- (0.3 * 0 + 0.1 * -0.8) / 2 = -0.04.
  #       loss = -1/2 * 0.22 = -0.11.
  assert pieck.ipe_loss(TARGET, POPULAR, 0.5, "list") == pytest.approx(-0.11)
  three_targets = pieck.ipe_loss(TARGET, POPULAR, 0.5, "subset", num_targets=3)
  assert three_targets == pytest.approx(-0.05)


def test_ipe_gradient_by_hand():
  # The gradient of the cosine at the target (1, 0) is the part of v_k / |v_k| across the target,
  # (0, sin): sines 0, 1, 4/5, 3/5.
  # subset: P+ (1/3 * 4/5) / 2 = 4/30, P- (2/3 * 1 + 1/3 * 3/5) / 2 = 13/30; -1/2 * 17/30.
  gradient = pieck.ipe_gradient(TARGET, POPULAR, 0.5, "subset")
  np.testing.assert_allclose(gradient, [0.0, -17 / 60], atol=1e-15)
  # list: P+ (0.2 * 0.8) / 2 = 0.08, P- (0.3 * 1 + 0.1 * 0.6) / 2 = 0.18; -1/2 * 0.26.
  gradient = pieck.ipe_gradient(TARGET, POPULAR, 0.5, "list")
  np.testing.assert_allclose(gradient, [0.0, -0.13], atol=1e-15)
  # A target twice as long feels half of it.
  gradient = pieck.ipe_gradient(2 * TARGET, POPULAR, 0.5, "list", num_targets=5)
  np.testing.assert_allclose(gradient, [0.0, -0.013], atol=1e-15)


@pytest.mark.parametrize("weighting", ["subset", "list"])
def test_an_empty_subset_contributes_nothing(weighting):
  # One popular item at 3/5: weight 1, size 1, lambda 1/2 in the one-sided case too.
  alone = POPULAR[2:3]
  assert pieck.ipe_loss(TARGET, alone, 0.5, weighting) == pytest.approx(-0.3)
  assert pieck.ipe_loss(-TARGET, alone, 0.5, weighting) == pytest.approx(0.3)
  # The sine enters with the same sign on both sides of the split: towards the popular item.
  for target in (TARGET, -TARGET):
    gradient = pieck.ipe_gradient(target, alone, 0.5, weighting)
    np.testing.assert_allclose(gradient, [0.0, -0.4], atol=1e-15)


@pytest.mark.parametrize("weighting", ["subset", "list"])
def test_zero_vectors_have_cosine_zero(weighting):
  assert pieck.ipe_loss(np.zeros(2), POPULAR, 0.5, weighting) == 0.0
  gradient = pieck.ipe_gradient(np.zeros(2), POPULAR, 0.5, weighting)
  np.testing.assert_array_equal(gradient, [0.0, 0.0])


@pytest.mark.parametrize("weighting", ["subset", "list"])
@pytest.mark.parametrize("seed", range(5))
def test_ipe_gradient_is_the_slope_of_the_loss(weighting, seed):
  generator = np.random.default_rng(seed)
  target = generator.normal(size=4)
  popular = generator.normal(size=(7, 4))

  def loss(point):
    return pieck.ipe_loss(point, popular, 0.9, weighting, num_targets=2)

  gradient = pieck.ipe_gradient(target, popular, 0.9, weighting, num_targets=2)
  np.testing.assert_allclose(gradient, central_difference(loss, target), atol=1e-8)


def test_uea_of_the_paper_by_hand():
  # Scores ln 3, 0, -ln 3: losses ln(4/3), ln 2, ln 4 add up to ln(32/3); slopes -1/4, -1/2, -3/4.
  # N = 3: gradient -(1/3)(1/4 ln 3 + 0 - 3/4 ln 3) = ln 3 / 6 in the first coordinate and
  # -(1/3)(0 + 1/2 * 6 + 0) = -1 in the second.
  popular = np.array([[LOG3, 0.0], [0.0, 6.0], [-LOG3, 0.0]])
  assert pieck.uea_loss(TARGET, popular, "paper") == pytest.approx(math.log(32 / 3) / 3)
  gradient = pieck.uea_gradient(TARGET, popular, "paper")
  np.testing.assert_allclose(gradient, [LOG3 / 6, -1.0])
  assert pieck.uea_loss(TARGET, popular, "paper", num_targets=2) == pytest.approx(
    math.log(32 / 3) / 6
  )
  gradient = pieck.uea_gradient(TARGET, popular, "paper", num_targets=2)
  np.testing.assert_allclose(gradient, [LOG3 / 12, -0.5])


def test_published_uea_weights_of_five_batches():
  # At the zero target every slope is -1/2, so a batch of unit vectors e_b has the gradient
  # -1/2 e_b, and the upload shows the batch weights. Repeat j of 15 is counted 16 - j times, each
  # with 1/(3 * 5): (15 + 14 + 13) / 15 = 2.8, (12 + 11 + 10) / 15 = 2.2, 1.6, 1.0, 0.4. Sum 8.
  weights = -2 * pieck.uea_gradient(np.zeros(5), np.eye(5), "published")
  np.testing.assert_allclose(weights, [2.8, 2.2, 1.6, 1.0, 0.4])
  weights = -2 * pieck.uea_gradient(np.zeros(5), np.eye(5), "published", num_targets=2)
  np.testing.assert_allclose(weights, [1.4, 1.1, 0.8, 0.5, 0.2])


def test_published_uea_with_other_numbers_of_batches_and_repeats():
  # Two batches, one repeat: (2, 1) / 2. One batch, two repeats: (2 + 1) / 2.
  weights = -2 * pieck.uea_gradient(np.zeros(2), np.eye(2), "published", 2, 1)
  np.testing.assert_allclose(weights, [1.0, 0.5])
  weights = -2 * pieck.uea_gradient(np.zeros(1), np.eye(1), "published", 1, 2)
  np.testing.assert_allclose(weights, [1.5])


@pytest.mark.parametrize(("num_batches", "repeats"), [(1, 1), (2, 3), (5, 3), (3, 4)])
def test_published_uea_against_the_closed_form(num_batches, repeats):
  # Weight of batch b: (1 / RB) times the sum of BR - j + 1 over its R positions j (notes, sec. 8).
  weights = -2 * pieck.uea_gradient(
    np.zeros(num_batches), np.eye(num_batches), "published", num_batches, repeats
  )
  steps = num_batches * repeats
  for batch in range(num_batches):
    positions = range(batch * repeats + 1, (batch + 1) * repeats + 1)
    expected = sum(steps - position + 1 for position in positions) / steps
    assert weights[batch] == pytest.approx(expected)


def test_published_uea_leaves_out_the_remainder():
  # Seven items in two batches of three: weights (2 + 1 steps, one repeat) 1 and 1/2, divided by the
  # batch size; the seventh is not used.
  weights = -2 * pieck.uea_gradient(np.zeros(7), np.eye(7), "published", 2, 1)
  np.testing.assert_allclose(weights, [1 / 3] * 3 + [1 / 6] * 3 + [0.0])
  with pytest.raises(ValueError, match="do not fill"):
    pieck.uea_gradient(np.zeros(4), np.eye(4), "published")


@pytest.mark.parametrize("reading", ["paper", "published"])
@pytest.mark.parametrize("seed", range(3))
def test_uea_gradient_is_the_slope_of_the_loss(reading, seed):
  generator = np.random.default_rng(seed)
  target = generator.normal(size=4)
  popular = generator.normal(size=(11, 4))

  def loss(point):
    return pieck.uea_loss(point, popular, reading, num_targets=2)

  gradient = pieck.uea_gradient(target, popular, reading, num_targets=2)
  np.testing.assert_allclose(gradient, central_difference(loss, target), atol=1e-8)
