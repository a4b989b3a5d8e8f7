"""Oracle of federated NCF, against arithmetic by hand and differences."""

import math

import numpy as np
import pytest

from tests.oracles import models_ncf, pair_loss
from tests.oracles.models_ncf import Network
from tests.oracles_check.numerical import central_difference

LOG3 = math.log(3.0)


def test_loss_and_slopes_by_hand():
  # sigmoid(ln 3) = 3/4. BCE: ln(4/3) twice, slopes -1/4 and 1/4; the mean is over two terms.
  scores = np.array([LOG3]), np.array([[-LOG3]])
  value, positive, negative = pair_loss.loss_and_slopes(*scores, loss="bce", reduction="mean")
  assert value == pytest.approx(math.log(4 / 3))
  np.testing.assert_allclose(positive, [-1 / 8])
  np.testing.assert_allclose(negative, [[1 / 8]])
  # BPR: differences ln 9 and ln 3, slopes -1/10 and -1/4.
  scores = np.array([LOG3]), np.array([[-LOG3, 0.0]])
  value, positive, negative = pair_loss.loss_and_slopes(*scores, loss="bpr", reduction="sum")
  assert value == pytest.approx(math.log(10 / 9) + math.log(4 / 3))
  np.testing.assert_allclose(positive, [-7 / 20])
  np.testing.assert_allclose(negative, [[1 / 10, 1 / 4]])


def test_one_pair_by_hand():
  # Hidden sums 1*1 + 2*3 = 7 and 1 - 3 - 1 = -3: the second is cut off. Output 2*7 + 5*0 + 1 = 15.
  network = Network(
    [(np.array([[1.0, 1.0], [2.0, -1.0]]), np.array([0.0, -1.0]))], np.array([2.0, 5.0]), 1.0
  )
  user, row = np.array([1.0]), np.array([3.0])
  assert models_ncf.score(user, row, network) == 15.0
  of_user, of_row, of_network = models_ncf.score_gradients(user, row, network)
  np.testing.assert_array_equal(of_user, [2.0])
  np.testing.assert_array_equal(of_row, [4.0])
  np.testing.assert_array_equal(of_network.hidden[0][0], [[2.0, 0.0], [6.0, 0.0]])
  np.testing.assert_array_equal(of_network.hidden[0][1], [2.0, 0.0])
  np.testing.assert_array_equal(of_network.output, [7.0, 0.0])
  assert of_network.bias == 1.0


def test_the_branch_of_products_by_hand():
  # As above, with further numbers 4 and 5 whose product 20 is weighted by 1/2: 15 + 10.
  network = Network(
    [(np.array([[1.0, 1.0], [2.0, -1.0]]), np.array([0.0, -1.0]))], np.array([2.0, 5.0, 0.5]), 1.0
  )
  user, row = np.array([1.0, 4.0]), np.array([3.0, 5.0])
  assert models_ncf.score(user, row, network, products=1) == 25.0
  of_user, of_row, of_network = models_ncf.score_gradients(user, row, network, products=1)
  np.testing.assert_array_equal(of_user, [2.0, 2.5])
  np.testing.assert_array_equal(of_row, [4.0, 2.0])
  np.testing.assert_array_equal(of_network.output, [7.0, 0.0, 20.0])


def test_a_client_without_positives():
  network = Network([(np.ones((2, 2)), np.zeros(2))], np.ones(2), 0.0)
  value, of_user, rows, of_network = models_ncf.client_gradients(
    np.ones(1), np.ones((3, 1)), network, [], np.zeros((0, 2), int), loss="bce", reduction="mean"
  )
  assert value == 0.0 and rows == {} and not of_user.any() and not of_network.hidden[0][0].any()


@pytest.mark.parametrize("loss", ["bce", "bpr"])
@pytest.mark.parametrize("reduction", ["sum", "mean"])
@pytest.mark.parametrize("products", [0, 2])
def test_gradients_are_the_slopes_of_the_loss(loss, reduction, products):
  random = np.random.default_rng(5)
  size = 2 + products
  user, table = random.normal(size=size), random.normal(size=(5, size))
  network = Network(
    [(random.normal(size=shape), random.normal(size=shape[1])) for shape in ((4, 3), (3, 2))],
    random.normal(size=2 + products),
    0.3,
  )
  positives, negatives = [0, 3, 0], np.array([[1, 2], [2, 2], [4, 1]])

  def value(user, table, network):
    return models_ncf.client_gradients(
      user, table, network, positives, negatives, loss=loss, reduction=reduction, products=products
    )

  _, of_user, rows, of_network = value(user, table, network)
  close = {"atol": 1e-8}
  np.testing.assert_allclose(
    of_user, central_difference(lambda point: value(point, table, network)[0], user), **close
  )
  of_table = central_difference(lambda point: value(user, point, network)[0], table)
  np.testing.assert_allclose(
    [rows.get(item, np.zeros(size)) for item in range(5)], of_table, **close
  )
  for layer in range(2):
    for part in range(2):

      def changed(point, layer=layer, part=part):
        hidden = [list(one) for one in network.hidden]
        hidden[layer][part] = point
        return value(user, table, network._replace(hidden=[tuple(one) for one in hidden]))[0]

      np.testing.assert_allclose(
        of_network.hidden[layer][part],
        central_difference(changed, network.hidden[layer][part]),
        **close,
      )
  np.testing.assert_allclose(
    of_network.output,
    central_difference(
      lambda point: value(user, table, network._replace(output=point))[0], network.output
    ),
    **close,
  )
  of_bias = central_difference(
    lambda point: value(user, table, network._replace(bias=float(point[0])))[0], np.array([0.3])
  )
  np.testing.assert_allclose(of_network.bias, of_bias[0], **close)
