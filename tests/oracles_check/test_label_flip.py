"""Oracle of label flipping, against arithmetic by hand and numerical derivatives."""

import math

import numpy as np
import pytest

from tests.oracles import label_flip
from tests.oracles_check.numerical import central_difference

LOG2 = math.log(2.0)


@pytest.mark.parametrize(
  ("loss", "value", "rows"),
  [
    # All scores are 0: slopes are sigmoid(0) = 1/2 towards label 0, -1/2 towards label 1.
    ("bce", 3 * LOG2, {0: [0.5], 1: [-0.5], 2: [-0.5]}),
    ("bpr", 2 * LOG2, {0: [1.0], 1: [-0.5], 2: [-0.5]}),
  ],
)
def test_by_hand(loss, value, rows):
  user, table = np.array([1.0]), np.zeros((3, 1))
  options = {"loss": loss, "reduction": "sum"}
  found, for_user, found_rows = label_flip.gradients(
    user, table, [0], np.array([[1, 2]]), **options
  )
  assert found == pytest.approx(value) and for_user.tolist() == [0]
  assert {item: row.tolist() for item, row in found_rows.items()} == rows
  options["reduction"] = "mean"
  terms = 3 if loss == "bce" else 2
  mean = label_flip.gradients(user, table, [0], np.array([[1, 2]]), **options)
  assert mean[0] == pytest.approx(value / terms)
  assert mean[2][0][0] == pytest.approx(rows[0][0] / terms)


def test_a_client_without_items():
  nothing = label_flip.gradients(
    np.ones(2), np.ones((3, 2)), [], np.zeros((0, 4), int), loss="bpr", reduction="mean"
  )
  assert nothing[0] == 0 and nothing[1].tolist() == [0, 0] and nothing[2] == {}


@pytest.mark.parametrize("loss", ["bce", "bpr"])
def test_gradients_are_derivatives(loss):
  random = np.random.default_rng(0)
  user, table = random.normal(size=3), random.normal(size=(6, 3))
  positives, negatives = [0, 4, 0], np.array([[1, 2], [0, 5], [1, 1]])
  options = {"loss": loss, "reduction": "mean"}

  def value(user, table):
    return label_flip.gradients(user, table, positives, negatives, **options)[0]

  _, for_user, rows = label_flip.gradients(user, table, positives, negatives, **options)
  np.testing.assert_allclose(
    for_user, central_difference(lambda one: value(one, table), user), atol=1e-6
  )
  slopes = central_difference(lambda flat: value(user, flat.reshape(6, 3)), table.reshape(-1))
  dense = np.array([rows.get(item, np.zeros(3)) for item in range(6)])
  np.testing.assert_allclose(dense, slopes.reshape(6, 3), atol=1e-6)
