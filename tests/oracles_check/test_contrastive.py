"""Oracle of the contrastive loss, by hand."""

import math

import numpy as np
import pytest

from tests.oracles import contrastive


def test_two_images_whose_views_agree():
  """Cosine 1 with the other view, 0 with both views of the other image: -log(e / (e + 2)) at temperature 1."""
  views = np.array([[2.0, 0.0], [0.0, 5.0]])
  assert contrastive.loss(views, 3 * views, 1.0) == pytest.approx(math.log((math.e + 2) / math.e))


def test_views_that_are_all_alike():
  """Chance among 2 N - 1 others."""
  assert contrastive.loss(np.ones((4, 3)), np.ones((4, 3)), 0.1) == pytest.approx(math.log(7))
