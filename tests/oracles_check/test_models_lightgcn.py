"""Oracle of federated LightGCN, against arithmetic by hand and differences."""

import math

import numpy as np
import pytest

from tests.oracles import models_lightgcn
from tests.oracles.models_ncf import Network
from tests.oracles_check.numerical import central_difference


@pytest.mark.parametrize(
  ("layers", "combine", "expected"),
  [
    # u = 1, v = 2 with one edge of weight 1: their vectors change places in every layer.
    (0, "sum", [1.0, 2.0]),
    (1, "sum", [3.0, 3.0]),
    (2, "sum", [4.0, 5.0]),
    (1, "mean", [1.5, 1.5]),
    (3, "sum", [6.0, 6.0]),
    (2, "mean", [4 / 3, 5 / 3]),
  ],
)
def test_one_item_by_hand(layers, combine, expected):
  nodes = models_lightgcn.combined(1, layers, combine) @ np.array([1.0, 2.0])
  np.testing.assert_allclose(nodes, expected)


def test_four_items_by_hand():
  # Edges weigh 1/sqrt(4 * 1) = 1/2. Layer 1: user 1/2 (1 + 2 + 3 + 6) = 6, items 1/2 * 8 = 4 each.
  # Layer 2: user 1/2 * 4 * 4 = 8, its own vector again; items 1/2 * 6 = 3.
  own = np.array([8.0, 1.0, 2.0, 3.0, 6.0])
  np.testing.assert_allclose(models_lightgcn.combined(4, 1, "sum") @ own, [14, 5, 6, 7, 10])
  np.testing.assert_allclose(models_lightgcn.combined(4, 2, "sum") @ own, [22, 8, 9, 10, 13])


def test_loss_of_one_pair_by_hand():
  # u = 0, v = 2, negative 1; one layer, summed: user 2, item 2, negative 1 as it has no edge.
  # Scores 4 and 2.
  value, of_user, rows, _ = models_lightgcn.client_gradients(
    np.array([0.0]), np.array([[2.0], [1.0]]), None, [0], np.array([[1]]),
    loss="bpr", reduction="sum", layers=1, combine="sum",
  )  # fmt: skip
  slope = -1 / (1 + math.exp(2))
  assert value == pytest.approx(math.log1p(math.exp(-2)))
  # (u + v)(v + u) - (u + v) w: by u 2 (u + v) - w = 3, by v the same, by w -(u + v) = -2.
  np.testing.assert_allclose(of_user, [3 * slope])
  np.testing.assert_allclose(rows[0], [3 * slope])
  np.testing.assert_allclose(rows[1], [-2 * slope])


def test_candidates_by_hand():
  # User (1, 0) with the item (2, 1); mean of two layers: (3, 1) / 2. Candidates count by half.
  table = np.array([[2.0, 1.0], [4.0, -2.0]])
  scores = models_lightgcn.score_candidates(
    np.array([1.0, 0.0]), table, None, [0], layers=1, combine="mean"
  )
  np.testing.assert_allclose(scores, [7 / 4, 10 / 4])


@pytest.mark.parametrize("layers", range(4))
@pytest.mark.parametrize("combine", ["sum", "mean"])
@pytest.mark.parametrize("head", ["mlp", "dot"])
def test_gradients_are_the_slopes_of_the_loss(layers, combine, head):
  random = np.random.default_rng(layers)
  user, table = random.normal(size=3), random.normal(size=(6, 3))
  network = Network(
    [(random.normal(size=(6, 4)), random.normal(size=4))], random.normal(size=4), 0.1
  )
  network = network if head == "mlp" else None
  positives, negatives = [0, 3, 0], np.array([[1, 2], [2, 2], [4, 1]])

  def value(user, table, network):
    return models_lightgcn.client_gradients(
      user, table, network, positives, negatives,
      loss="bce", reduction="mean", layers=layers, combine=combine,
    )  # fmt: skip

  _, of_user, rows, of_network = value(user, table, network)
  close = {"atol": 1e-8}
  np.testing.assert_allclose(
    of_user, central_difference(lambda point: value(point, table, network)[0], user), **close
  )
  of_table = central_difference(lambda point: value(user, point, network)[0], table)
  np.testing.assert_allclose([rows.get(item, np.zeros(3)) for item in range(6)], of_table, **close)
  if network is None:
    assert of_network is None
    return
  weights, bias = network.hidden[0]
  np.testing.assert_allclose(
    of_network.hidden[0][0],
    central_difference(
      lambda point: value(user, table, network._replace(hidden=[(point, bias)]))[0], weights
    ),
    **close,
  )
  np.testing.assert_allclose(
    of_network.output,
    central_difference(
      lambda point: value(user, table, network._replace(output=point))[0], network.output
    ),
    **close,
  )
