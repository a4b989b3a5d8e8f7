"""Oracle of the attacks on a learnt interaction function: by hand and by differences."""

import itertools
import math

import numpy as np
import pytest

from tests.oracles import interaction
from tests.oracles_check.numerical import central_difference

# User 1, row 2; hidden units 1 * 1 + 2 * 2 - 1 = 4 and 1 - 2 = -1, which the rectifier cuts;
# logit 3 * 4 + 5 * 0 - 10 = 2.
LAYERS = [
  (np.array([[1.0, 1.0], [2.0, -1.0]]), np.array([-1.0, 0.0])),
  (np.array([[3.0], [5.0]]), np.array([-10.0])),
]
USER, ROW = np.array([1.0]), np.array([2.0])
SIGMOID_2 = 1 / (1 + math.exp(-2.0))


def random_case(seed, targets=2):
  random = np.random.default_rng(seed)
  widths = [6, 5, 4, 1]
  layers = [
    (random.normal(size=shape), random.normal(size=shape[1]))
    for shape in itertools.pairwise(widths)
  ]
  return random.normal(size=3), random.normal(size=(targets, 3)), layers


def test_a_logit_and_its_gradients_by_hand():
  assert interaction.logit(USER, ROW, LAYERS) == pytest.approx(2.0)
  found = interaction.logit_gradients(USER, ROW, LAYERS)
  # Only the first hidden unit passes anything on: 3 * 1 to the user, 3 * 2 to the row.
  assert found.user.tolist() == [3.0] and found.rows.tolist() == [[6.0]]
  (first, first_bias), (last, last_bias) = found.layers
  assert first.tolist() == [[3.0, 0.0], [6.0, 0.0]] and first_bias.tolist() == [3.0, 0.0]
  assert last.tolist() == [[4.0], [0.0]] and last_bias.tolist() == [1.0]


@pytest.mark.parametrize(("label", "slope"), [(1, SIGMOID_2 - 1), (0, SIGMOID_2)])
def test_a_label_by_hand(label, slope):
  rows = ROW[None]
  expected = math.log(1 + math.exp(-2.0 if label else 2.0))
  assert interaction.label_loss(USER, rows, LAYERS, label) == pytest.approx(expected)
  found = interaction.label_gradients(USER, rows, LAYERS, label)
  assert found.user[0] == pytest.approx(3 * slope)
  assert found.rows[0, 0] == pytest.approx(6 * slope)
  assert found.layers[1][0][0, 0] == pytest.approx(4 * slope)


@pytest.mark.parametrize("label", [0, 1])
def test_gradients_by_differences(label):
  user, rows, layers = random_case(label)
  found = interaction.label_gradients(user, rows, layers, label)
  np.testing.assert_allclose(
    found.user,
    central_difference(lambda one: interaction.label_loss(one, rows, layers, label), user),
    atol=1e-6,
  )
  np.testing.assert_allclose(
    found.rows,
    central_difference(lambda some: interaction.label_loss(user, some, layers, label), rows),
    atol=1e-6,
  )
  for index, (weights, bias) in enumerate(layers):

    def changed(new_weights, new_bias, index=index):
      others = [*layers[:index], (new_weights, new_bias), *layers[index + 1 :]]
      return interaction.label_loss(user, rows, others, label)

    for_weights = central_difference(lambda one, b=bias, f=changed: f(one, b), weights)
    for_bias = central_difference(lambda one, w=weights, f=changed: f(w, one), bias)
    np.testing.assert_allclose(found.layers[index][0], for_weights, atol=1e-6)
    np.testing.assert_allclose(found.layers[index][1], for_bias, atol=1e-6)


def test_two_hardening_steps_by_hand():
  # First step 0.1 * 3 * sigmoid(2). The user then has logit 2 - 3 * (what it lost).
  lost = 0.3 * SIGMOID_2
  then = 0.3 / (1 + math.exp(-(2.0 - 3 * lost)))
  found = interaction.harden(USER, ROW[None], LAYERS, 2, 0.1)
  assert found[0] == pytest.approx(1.0 - lost - then)
  assert interaction.harden(USER, ROW[None], LAYERS, 0, 0.1)[0] == 1.0


def test_invented_users_are_averaged():
  # With users 1 and 1 the average is that of one; with step 0 nothing hardens.
  both, layers = interaction.invented_users(np.array([USER, USER]), ROW[None], LAYERS)
  assert both[0, 0] == pytest.approx(6 * (SIGMOID_2 - 1))
  assert layers[1][1][0] == pytest.approx(SIGMOID_2 - 1)
  hard, _ = interaction.invented_users(USER[None], ROW[None], LAYERS, 1, 0.1)
  score = 2.0 - 3 * 0.3 * SIGMOID_2
  assert hard[0, 0] == pytest.approx(6 * (1 / (1 + math.exp(-score)) - 1))


def test_the_accumulation_of_two_batches():
  # Batches of one and one repeat: uploads g1 / 2, then g1 / 2 + g2 / 2.
  _, rows, layers = random_case(5)
  popular = np.random.default_rng(6).normal(size=(3, 3))
  first, second = (interaction.label_gradients(one, rows, layers, 1) for one in popular[:2])
  found, found_layers = interaction.user_approximation(rows, popular, layers, batches=2, repeats=1)
  np.testing.assert_allclose(found, first.rows + second.rows / 2)
  np.testing.assert_allclose(
    found_layers[0][1], first.layers[0][1] + second.layers[0][1] / 2
  )


def test_one_batch_is_the_mean():
  _, rows, layers = random_case(7)
  popular = np.random.default_rng(8).normal(size=(4, 3))
  each = [interaction.label_gradients(one, rows, layers, 1).rows for one in popular]
  found, _ = interaction.user_approximation(rows, popular, layers, batches=1, repeats=1)
  np.testing.assert_allclose(found, np.mean(each, axis=0))
