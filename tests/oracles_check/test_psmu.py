"""Oracle of PSMU: lists and a loss by hand, gradients by differences, and that its users learn."""

import math

import numpy as np
import pytest

from tests.oracles import models_ncf, psmu
from tests.oracles.logistic import sigmoid
from tests.oracles_check.numerical import central_difference

LOG3 = math.log(3.0)


def network_of(seed, dim=2, widths=(4, 3)):
  random = np.random.default_rng(seed)
  inputs, hidden = 2 * dim, []
  for width in widths:
    hidden.append((random.normal(size=(inputs, width)), random.normal(size=width)))
    inputs = width
  return models_ncf.Network(hidden, random.normal(size=inputs), 0.3)


def test_lists_by_hand():
  logits = np.array([1.0, 5.0, 3.0, 3.0, 2.0])
  assert psmu.recommended(logits, [1], 3) == [2, 3, 4]
  table = np.array([[1.0, 0.0], [2.0, 0.1], [0.0, 3.0], [1.0, 1.0], [-1.0, 0.0]])
  assert psmu.similar(table, 0, [0], [], 2) == [1, 3]
  assert psmu.similar(table, 0, [0, 3], [1], 2) == [2, 4]


def test_a_first_step_by_hand():
  # One item at score 0 and one negative at score 0: slopes -1/4 and 1/4 of the mean of two terms.
  table = np.array([[1.0, 0.0], [0.0, 2.0]])
  options = {"steps": 1, "rate": 0.4, "loss": "bce", "graph": "none"}
  found = psmu.trained_user(
    np.zeros(2), table, None, [0], np.array([[1]]), optimizer="sgd", **options
  )
  np.testing.assert_allclose(found, [0.1, -0.2])
  # Adam's first step is the sign of the gradient.
  found = psmu.trained_user(
    np.zeros(2), table, None, [0], np.array([[1]]), optimizer="adam", **options
  )
  np.testing.assert_allclose(found, [0.4, -0.4], atol=1e-6)


@pytest.mark.parametrize("graph", ["none", "star"])
def test_users_come_to_like_their_items(graph):
  random = np.random.default_rng(3)
  table, network = random.normal(size=(9, 2)), network_of(4)
  items, negatives = [1, 4], np.array([[0, 2], [3, 8]])

  def margin(own):
    final = psmu.final_user(own, table, items, graph)
    found = psmu.scores(final, table, network)
    return found[items].mean() - found[negatives].mean()

  own = random.normal(size=2)
  after = psmu.trained_user(
    own, table, network, items, negatives,
    steps=200, rate=0.05, optimizer="adam", loss="bce", graph=graph,
  )
  assert margin(after) > margin(own)
  slope = psmu.own_gradient(after, table, network, items, negatives, loss="bce", graph=graph)
  start = psmu.own_gradient(own, table, network, items, negatives, loss="bce", graph=graph)
  assert np.linalg.norm(slope) < 0.5 * np.linalg.norm(start)


def test_the_final_user_of_a_star_by_hand():
  # Two items: u + (v_1 + v_2) / sqrt(2).
  table = np.array([[1.0], [3.0], [50.0]])
  own = np.array([2.0])
  assert psmu.final_user(own, table, [0, 1], "star")[0] == pytest.approx(2 + 4 / math.sqrt(2))
  assert psmu.final_user(own, table, [0, 1], "none")[0] == 2.0


def test_a_loss_by_hand():
  # Target at score 0 (r = 1/2), item 1 at ln 3 (r = 3/4): sigmoid(1/4) once, though named twice.
  user, table = np.array([1.0]), np.array([[0.0], [LOG3], [7.0]])
  value, rows, network = psmu.attack_gradients(
    user, table, None, [0, 2], [2], [[1, 1, 2], [1]], margin_on="prob"
  )
  one = sigmoid(0.25)
  assert network is None and value == pytest.approx(one)
  np.testing.assert_allclose(rows, [[-one * (1 - one) / 4], [0.0]])
  value, rows, _ = psmu.attack_gradients(
    user, table, None, [0, 2], [2], [[1, 1, 2], [1]], margin_on="logit"
  )
  assert value == pytest.approx(0.75) and rows[0, 0] == pytest.approx(-3 / 16)


@pytest.mark.parametrize("margin_on", ["prob", "logit"])
def test_gradients_by_differences(margin_on):
  random = np.random.default_rng(5)
  user, table, network = random.normal(size=2), random.normal(size=(7, 2)), network_of(6)
  targets, above = [2, 5], [[0, 1, 5], [3, 0]]

  def loss(table, network):
    return psmu.attack_gradients(user, table, network, targets, [6], above, margin_on=margin_on)[0]

  _, rows, found = psmu.attack_gradients(
    user, table, network, targets, [6], above, margin_on=margin_on
  )
  slopes = central_difference(lambda some: loss(some, network), table)
  np.testing.assert_allclose(rows, slopes[targets], atol=1e-7)
  weights, bias = network.hidden[0]
  slopes = central_difference(
    lambda one: loss(table, network._replace(hidden=[(one, bias), *network.hidden[1:]])), weights
  )
  np.testing.assert_allclose(found.hidden[0][0], slopes, atol=1e-7)
  slopes = central_difference(lambda one: loss(table, network._replace(output=one)), network.output)
  np.testing.assert_allclose(found.output, slopes, atol=1e-7)
  # Both sides of a comparison have the same bias, which cancels for logits.
  slopes = central_difference(
    lambda one: loss(table, network._replace(bias=one[0])), np.array([0.3])
  )
  np.testing.assert_allclose(found.bias, slopes[0], atol=1e-7)
