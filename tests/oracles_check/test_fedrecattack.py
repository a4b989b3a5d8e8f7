"""Oracle of FedRecAttack: by hand and by differences."""

import math

import numpy as np
import pytest

from tests.oracles import fedrecattack
from tests.oracles.adam import Adam
from tests.oracles_check.numerical import central_difference

SIGMOID_1 = 1 / (1 + math.exp(-1.0))


def test_the_loss_of_a_user_by_hand():
  # Score 2 of the public item, 1 of its negative.
  user, table = np.array([1.0, 0.0]), np.array([[2.0, 5.0], [1.0, 0.0]])
  loss = fedrecattack.user_loss(user, table, [0], [[1]])
  assert loss == pytest.approx(math.log(1 + math.exp(-1.0)))
  found = fedrecattack.user_gradient(user, table, [0], [[1]])
  assert found == pytest.approx([SIGMOID_1 - 1, 5 * (SIGMOID_1 - 1)])
  assert fedrecattack.user_gradient(user, table, [0], [[1, 1]]) == pytest.approx(2 * found)


def test_the_gradient_of_a_user_by_differences():
  random = np.random.default_rng(0)
  user, table = random.normal(size=3), random.normal(size=(6, 3))
  items, negatives = [2, 4, 2], [[0, 1], [3, 5], [5, 1]]
  found = fedrecattack.user_gradient(user, table, items, negatives)
  expected = central_difference(
    lambda one: fedrecattack.user_loss(one, table, items, negatives), user
  )
  np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_pass_of_two_steps_by_hand():
  # One number per user. The first step of Adam is the sign of a gradient: the first user goes up,
  # the second, whose gradient is 0, stands. In the second step the second user goes up by
  # (0.1 g / 0.19) / sqrt(0.001 g^2 / 0.001999), and the first goes on by
  # (0.09 g / 0.19) / sqrt(0.000999 g^2 / 0.001999).
  users, table = np.array([[0.5], [0.5]]), np.array([[1.0], [0.0]])
  found = fedrecattack.approximate(
    users, Adam((2, 1)), table, [[0], [0]], [[0], [1]], [[[1]], [[1]]], 0.1
  )
  went_on = 0.09 / 0.19 / math.sqrt(0.000999 / 0.001999)
  late = 0.1 / 0.19 / math.sqrt(0.001 / 0.001999)
  assert found[0, 0] == pytest.approx(0.5 + 0.1 + 0.1 * went_on, abs=1e-6)
  assert found[1, 0] == pytest.approx(0.5 + 0.1 * late, abs=1e-6)


def test_the_bent_margin():
  assert fedrecattack.bent(2.5) == 2.5 and fedrecattack.bent(0.0) == 0.0
  assert fedrecattack.bent(-1.0) == pytest.approx(math.exp(-1) - 1)
  assert fedrecattack.bent_slope(0.0) == 1.0 and fedrecattack.bent_slope(3.0) == 1.0
  assert fedrecattack.bent_slope(-1.0) == pytest.approx(math.exp(-1))


SCORES = np.array([9.0, 8.0, 7.0, 6.0, 5.0, 4.0])


@pytest.mark.parametrize(
  ("public", "targets", "reading", "expected"),
  [
    # The three best are 0, 1, 2; the target 5 is not among them.
    ([], [5], "list", {5: 2}),
    ([], [5], "others", {5: 2}),
    # The target 1 is: the others of the list are 0 and 2; the three best others end with 3.
    ([], [1], "list", {1: 2}),
    ([], [1], "others", {1: 3}),
    ([0], [1], "list", {1: 3}),
    ([0], [1], "others", {1: 4}),
    # Two targets: one bar for both, or a higher one for the second.
    ([], [1, 5], "list", {1: 2, 5: 2}),
    ([], [1, 5], "others", {1: 3, 5: 2}),
    ([1], [1, 5], "others", {5: 3}),
    # All of the list are targets.
    ([], [0, 1, 2], "list", {}),
    ([], [0, 1, 2], "others", {0: 5, 1: 4, 2: 3}),
    ([4, 5], [0, 1, 2, 3], "others", {}),
  ],
)
def test_what_targets_have_to_overtake(public, targets, reading, expected):
  assert fedrecattack.references(SCORES, public, targets, 3, reading) == expected


def test_equal_scores_rank_by_id():
  scores = np.array([1.0, 1.0, 1.0, 1.0])
  assert fedrecattack.references(scores, [], [3], 2, "list") == {3: 1}


def test_the_gradient_of_the_attack_by_hand():
  # K = 1. User 1 likes item 1 by 3, the target by 1: margin 2, slope 1. User -1 likes the target by
  # -1, which is its best; its best other item is 1 with -3: margin -2, slope exp(-2). The third has
  # no public item.
  users, table = np.array([[1.0], [-1.0], [7.0]]), np.array([[1.0], [3.0], [9.0]])
  arguments = (users, table, [[2], [2], []], [0], 1, "others")
  expected_loss = 2.0 + math.exp(-2) - 1
  assert fedrecattack.attack_loss(*arguments) == pytest.approx(expected_loss)
  found = fedrecattack.attack_gradient(*arguments)
  slope = 1.0 - math.exp(-2)
  assert found[:, 0] == pytest.approx([-slope, slope, 0.0])
  # By the list of one item, the second user's best is the target itself: nothing to overtake.
  listed = fedrecattack.attack_gradient(users, table, [[2], [2], []], [0], 1, "list")
  assert listed[:, 0] == pytest.approx([-1.0, 1.0, 0.0])


@pytest.mark.parametrize("reading", ["list", "others"])
def test_the_gradient_of_the_attack_by_differences(reading):
  random = np.random.default_rng(3)
  users, table = random.normal(size=(5, 3)), random.normal(size=(9, 3))
  public = [[0], [1, 4], [2], [], [8]]
  arguments = (public, [4, 7], 3, reading)
  found = fedrecattack.attack_gradient(users, table, *arguments)
  expected = central_difference(
    lambda some: fedrecattack.attack_loss(users, some, *arguments), table
  )
  np.testing.assert_allclose(found, expected, atol=1e-6)


def test_draws_by_hand():
  wanted = np.array([[3.0, 4.0], [0.0, 0.0], [0.0, 5.0], [10.0, 0.0], [8.0, 6.0]])
  first = fedrecattack.first_draw(wanted, [3])
  assert first.tolist() == [0.25, 0.0, 0.25, 0.0, 0.5]
  among = fedrecattack.drawn_among(first, 2)
  # Item 4 first, or second after one of the others: 1/2 + 2 * 1/4 * 2/3.
  assert among[4] == pytest.approx(1 / 2 + 1 / 3)
  assert among.sum() == pytest.approx(2.0) and among[3] == among[1] == 0.0


def test_two_clients_share_a_row():
  # The row of item 0 is 2.5 long and the bound 1: both send a part of length 1, half a row is left.
  # Item 1 is shorter than the bound: the first sends all of it, nothing is left for the second.
  wanted = np.array([[1.5, 2.0], [0.0, 0.5], [3.0, 0.0]])
  sent, left = fedrecattack.share_out(wanted, [[0, 1], [0, 1, 2]], 1.0)
  assert sent[0][0] == pytest.approx([0.6, 0.8]) and sent[1][0] == pytest.approx([0.6, 0.8])
  assert sent[0][1] == pytest.approx([0.0, 0.5]) and sent[1][1] == pytest.approx([0.0, 0.0])
  assert sent[1][2] == pytest.approx([1.0, 0.0])
  np.testing.assert_allclose(left, [[0.3, 0.4], [0.0, 0.0], [2.0, 0.0]], atol=1e-12)
