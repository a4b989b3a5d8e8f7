"""Oracle of rules over whole uploads, against arithmetic by hand."""

import numpy as np
import pytest

from tests.oracles import aggregation, whole_uploads

# Three items of two coordinates. Client 5 sends items 0 and 2, client 9 items 0 and 1, client 7
# nothing.
UPLOADS = [
  (5, 0, np.array([3.0, 0.0])),
  (9, 1, np.array([0.0, 2.0])),
  (5, 2, np.array([0.0, 4.0])),
  (9, 0, np.array([1.0, 1.0])),
  (9, 0, np.array([0.0, 1.0])),
]
THREE = np.array(
  [
    [3.0, 0.0, 0.0, 0.0, 0.0, 4.0],
    [0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
    [1.0, 2.0, 0.0, 2.0, 0.0, 0.0],
  ]
)
# One coordinate of five clients, two of which did not send it.
FIVE = np.array([[-2.0], [0.0], [8.0], [0.0], [1.0]])
NOBODY = np.zeros((0, 4))


def test_dense():
  np.testing.assert_array_equal(whole_uploads.dense(UPLOADS, [5, 7, 9], 3, 2), THREE)
  np.testing.assert_array_equal(whole_uploads.dense(UPLOADS, [9, 5], 3, 2), THREE[[2, 0]])
  assert whole_uploads.dense([], [], 3, 2).shape == (0, 6)


def test_shared_parameters_are_further_coordinates():
  weights = np.array([[[1.0, 2.0], [3.0, 4.0]], np.zeros((2, 2)), [[0.0, 0.0], [0.0, 4.0]]])
  bias = np.array([[5.0], [0.0], [0.0]])
  whole = whole_uploads.with_shared(THREE, [weights, bias])
  assert whole.shape == (3, 6 + 4 + 1)
  np.testing.assert_array_equal(whole[0], [3.0, 0.0, 0.0, 0.0, 0.0, 4.0, 1.0, 2.0, 3.0, 4.0, 5.0])
  # 3^2 of the items and 4^2 of the weights.
  np.testing.assert_allclose(whole_uploads.norms(whole)[1:], [0.0, 5.0])


def test_norms_and_inner_products():
  np.testing.assert_allclose(whole_uploads.norms(THREE), [5.0, 0.0, 3.0])
  # The two meet in item 0 only: 3 * 1 + 0 * 2.
  expected = [[25.0, 0.0, 3.0], [0.0, 0.0, 0.0], [3.0, 0.0, 9.0]]
  np.testing.assert_allclose(whole_uploads.inner_products(THREE), expected)
  assert whole_uploads.inner_products(NOBODY).shape == (0, 0)


def test_distances():
  # 2^2 + 2^2 + 2^2 + 4^2 = 28 between the first and the last.
  expected = np.array([[0.0, 25.0, 28.0], [25.0, 0.0, 9.0], [28.0, 9.0, 0.0]])
  np.testing.assert_allclose(whole_uploads.distances(THREE, squared=True), expected)
  np.testing.assert_allclose(whole_uploads.distances(THREE, squared=False), np.sqrt(expected))
  assert whole_uploads.distances(NOBODY, squared=True).shape == (0, 0)


def test_sums_and_means():
  total = np.array([4.0, 2.0, 0.0, 2.0, 0.0, 4.0])
  np.testing.assert_allclose(whole_uploads.sum_(THREE), total)
  # A client that sent nothing counts: divided by three.
  np.testing.assert_allclose(whole_uploads.mean(THREE), total / 3)
  # 2 * (3 0 0 0 0 4) + (1 2 0 2 0 0), and 2 + 5 + 1 samples.
  weights = np.array([2.0, 5.0, 1.0])
  weighted = np.array([7.0, 2.0, 0.0, 2.0, 0.0, 8.0])
  np.testing.assert_allclose(whole_uploads.sum_(THREE, weights), weighted)
  np.testing.assert_allclose(whole_uploads.mean(THREE, weights), weighted / 8)
  np.testing.assert_array_equal(whole_uploads.mean(NOBODY), np.zeros(4))
  np.testing.assert_array_equal(whole_uploads.mean(THREE, np.zeros(3)), np.zeros(6))


def test_median_counts_those_that_sent_nothing():
  # -2 0 0 1 8, and without the last client -2 0 0 8.
  np.testing.assert_array_equal(whole_uploads.median(FIVE), [0.0])
  np.testing.assert_array_equal(whole_uploads.median(FIVE[:4]), [0.0])
  # Of 3 0 1 the middle one is 1, of 0 0 2 it is 0.
  np.testing.assert_array_equal(whole_uploads.median(THREE), [1.0, 0.0, 0.0, 0.0, 0.0, 0.0])
  # 3 and 1: the mean of the two.
  np.testing.assert_array_equal(
    whole_uploads.median(THREE[[0, 2]]), [2.0, 1.0, 0.0, 1.0, 0.0, 2.0]
  )
  np.testing.assert_array_equal(whole_uploads.median(NOBODY), np.zeros(4))


def test_trimmed_mean_without_extremes():
  # f = 1: (0 + 0 + 1) / 3. f = 0: 7 / 5.
  np.testing.assert_allclose(whole_uploads.trimmed_mean(FIVE, 1, "extremes"), [1 / 3])
  np.testing.assert_allclose(whole_uploads.trimmed_mean(FIVE, 0, "extremes"), [1.4])


def test_trimmed_mean_around_the_median():
  # Median 0. f = 1 drops 8, f = 2 also -2.
  np.testing.assert_allclose(whole_uploads.trimmed_mean(FIVE, 1, "around_median"), [-0.25])
  np.testing.assert_allclose(whole_uploads.trimmed_mean(FIVE, 2, "around_median"), [1 / 3])
  # -1 0 1 with f = 1: of -1 and 1 the smaller is kept.
  tie = np.array([[1.0], [0.0], [-1.0]])
  np.testing.assert_allclose(whole_uploads.trimmed_mean(tie, 1, "around_median"), [-0.5])


@pytest.mark.parametrize(("reading", "trimmed"), [("extremes", 1), ("around_median", 2)])
def test_too_few_clients(reading, trimmed):
  two = np.array([[1.0], [4.0]])
  np.testing.assert_allclose(whole_uploads.trimmed_mean(two, trimmed, reading), [2.5])
  nothing = whole_uploads.trimmed_mean(two, trimmed, reading, too_few="zero")
  np.testing.assert_array_equal(nothing, [0.0])


def test_norm_bound():
  # Norms 5, 0 and 3 to at most 2.5: only the first and last change.
  bounded = whole_uploads.norm_bound(THREE, 2.5)
  np.testing.assert_allclose(bounded[0], [1.5, 0.0, 0.0, 0.0, 0.0, 2.0])
  np.testing.assert_allclose(bounded[1:], [THREE[1], THREE[2] * 2.5 / 3])
  np.testing.assert_array_equal(whole_uploads.norm_bound(THREE, 5.0), THREE)


@pytest.mark.parametrize("count", [1, 2, 5, 8])
def test_a_column_is_an_item_that_everybody_sent(count):
  # The other oracle says what to do with the rows of one item; here are rows for everybody.
  vectors = np.random.default_rng(count).integers(-4, 5, (count, 6)) / 8
  np.testing.assert_allclose(whole_uploads.median(vectors), aggregation.median(vectors))
  for reading in ("extremes", "around_median"):
    for trimmed in range(count + 1):
      for too_few in ("median", "zero"):
        np.testing.assert_allclose(
          whole_uploads.trimmed_mean(vectors, trimmed, reading, too_few=too_few),
          aggregation.trimmed_mean(vectors, trimmed, reading, too_few=too_few),
        )
