"""Detection of adversarial images: similarity, thresholds, rates and the area under the curve, by hand and by count."""

import math
import statistics

import jax.numpy as jnp
import numpy as np
import pytest

from fedrecjax.vision.image_detection import (
  auroc,
  densities,
  judge,
  minimum_threshold,
  normal_threshold,
  quantile_threshold,
  rates,
  similarity,
)


def test_similarity_is_the_cosine():
  before = jnp.array([[1.0, 0.0], [3.0, 4.0], [1e3, 2e3], [2.0, -2.0]])
  after = jnp.array([[0.0, 5.0], [4.0, 3.0], [1.0, 2.0], [-1.0, 1.0]])
  np.testing.assert_allclose(similarity(before, after), [0, 0.96, 1, -1], atol=1e-6)


def test_similarity_does_not_depend_on_length_and_stays_in_its_range():
  random = np.random.default_rng(0)
  before, after = random.normal(size=(2, 50, 64))
  once = similarity(before, after)
  np.testing.assert_allclose(similarity(before * 100, after / 100), once, atol=1e-6)
  np.testing.assert_allclose(similarity(after, before), once, atol=1e-6)
  expected = [np.dot(a, b) / np.sqrt(np.dot(a, a) * np.dot(b, b)) for a, b in zip(before, after, strict=True)]
  np.testing.assert_allclose(once, expected, atol=1e-6)
  assert (similarity(before, before) <= 1).all()


def test_similarity_of_a_zero_vector_is_undefined_and_refused_later():
  found = similarity(jnp.array([[0.0, 0.0], [1.0, 1.0]]), jnp.array([[1.0, 0.0], [1.0, 1.0]]))
  assert np.isnan(found[0]) and found[1] == pytest.approx(1)
  for use in (
    lambda: judge(found, 0.5), lambda: minimum_threshold(found), lambda: auroc(found, np.array([True, False]))
  ):
    with pytest.raises(ValueError, match="must be finite, 1 of 2 are not"):
      use()


def test_the_minimum_flags_no_normal_image():
  normal = np.random.default_rng(1).beta(8, 2, 500)
  assert minimum_threshold(normal) == normal.min()
  assert not judge(normal, minimum_threshold(normal)).any()


@pytest.mark.parametrize("count", [1, 2, 7, 10, 100, 333])
@pytest.mark.parametrize("share", [0.0, 0.05, 0.1, 0.3, 0.5, 0.99])
def test_a_quantile_flags_no_more_than_its_share_and_no_fewer_than_it_may(count, share):
  normal = np.random.default_rng(count).permutation(np.arange(count) / count)
  flagged = judge(normal, quantile_threshold(normal, share)).sum()
  assert flagged == math.floor(round(share * count, 9))


def test_a_quantile_counts_equal_similarities_together():
  normal = [0.5, 0.5, 0.5, 0.9]
  assert quantile_threshold(normal, 0.5) == 0.5  # the next larger would flag three quarters
  assert quantile_threshold(normal, 0.75) == 0.9


def test_the_normal_threshold_is_the_fitted_quantile():
  normal = [0.7, 0.8, 0.8, 0.9]
  deviation = math.sqrt(0.02 / 3)
  # The distribution function of a normal distribution is 0.158655 at one deviation below its mean.
  assert normal_threshold(normal, 0.15865525393145707) == pytest.approx(0.8 - deviation)
  assert normal_threshold(normal, 0.5) == pytest.approx(0.8)
  drawn = np.random.default_rng(0).normal(0.85, 0.04, 20_000)
  assert judge(drawn, normal_threshold(drawn, 0.01)).mean() == pytest.approx(0.01, abs=0.003)


def test_thresholds_refuse_bad_arguments():
  for bad, message in (
    (lambda: minimum_threshold([]), "at least 1 of them"),
    (lambda: quantile_threshold([0.5], 1.0), "share must lie in"),
    (lambda: quantile_threshold([0.5], -0.1), "share must lie in"),
    (lambda: normal_threshold([0.5], 0.1), "at least 2 of them"),
    (lambda: normal_threshold([0.5, 0.5], 0.1), "must not all be equal"),
    (lambda: normal_threshold([0.5, 0.6], 0.0), "tail must lie in"),
    (lambda: judge([0.5], math.nan), "threshold must be finite"),
    (lambda: judge([[0.5]], 0.5), r"must be \[M\]"),
  ):
    with pytest.raises(ValueError, match=message):
      bad()


def test_an_image_at_the_threshold_is_normal():
  assert judge([0.6, 0.69, 0.7], 0.69).tolist() == [True, False, False]
  assert judge([], 0.5).tolist() == []


def test_rates_by_hand():
  flagged = np.array([True, True, False, True, False, False, False])
  adversarial = np.array([True, True, True, False, False, False, False])
  assert rates(flagged, adversarial) == (2 / 3, 1 / 4, 5 / 7)


def test_rates_of_an_empty_class_are_undefined():
  found = rates(np.array([True, False]), np.array([False, False]))
  assert math.isnan(found.true_positive) and found[1:] == (0.5, 0.5)
  found = rates(np.array([True, False]), np.array([True, True]))
  assert math.isnan(found.false_positive) and found.true_positive == 0.5
  for bad in (np.array([1, 0]), np.array([True])):
    with pytest.raises(ValueError, match="must be bool"):
      rates(np.array([True, False]), bad)


def test_the_area_counts_pairs_and_half_of_ties():
  random = np.random.default_rng(4)
  for _ in range(20):
    similarities = random.integers(0, 6, 15) / 5
    adversarial = random.random(15) < 0.4
    adversarial[:2] = [True, False]
    pairs = [
      1.0 if low < high else 0.5 if low == high else 0.0
      for low in similarities[adversarial]
      for high in similarities[~adversarial]
    ]
    assert auroc(similarities, adversarial) == pytest.approx(sum(pairs) / len(pairs))


def test_the_area_at_its_ends():
  adversarial = np.array([True, True, False])
  assert auroc([0.1, 0.2, 0.9], adversarial) == 1
  assert auroc([0.9, 0.8, 0.1], adversarial) == 0
  assert auroc([0.5, 0.5, 0.5], adversarial) == 0.5
  assert math.isnan(auroc([0.5, 0.6], np.array([True, True])))
  with pytest.raises(ValueError, match="must be bool"):
    auroc([0.5, 0.6], [1, 0])


def test_densities_integrate_to_one_and_fit():
  random = np.random.default_rng(5)
  normal, adversarial = random.normal(0.85, 0.04, 4000), random.normal(0.6, 0.05, 1000)
  found = densities(normal, adversarial, bins=25, points=501)
  assert found.edges.shape == (26,) and found.histograms.shape == (2, 25) and found.fits.shape == (2, 501)
  assert found.edges[0] == adversarial.min() and found.edges[-1] == found.grid[-1] == normal.max()
  np.testing.assert_allclose((found.histograms * np.diff(found.edges)).sum(axis=1), 1)
  np.testing.assert_allclose(np.trapezoid(found.fits, found.grid, axis=1), 1, atol=0.01)
  np.testing.assert_allclose(found.means, [0.85, 0.6], atol=0.01)
  for group, mean, deviation, fit in zip(
    (normal, adversarial), found.means, found.deviations, found.fits, strict=True
  ):
    assert deviation == pytest.approx(statistics.stdev(group))
    assert fit[100] == pytest.approx(statistics.NormalDist(mean, deviation).pdf(found.grid[100]))


def test_densities_need_two_groups_that_vary():
  with pytest.raises(ValueError, match="adversarial images must not all be equal"):
    densities([0.5, 0.6], [0.5, 0.5])
  with pytest.raises(ValueError, match=r"at least 2 of them, got \[1\]"):
    densities([0.5], [0.5, 0.6])
  with pytest.raises(ValueError, match="bins must be at least 1"):
    densities([0.5, 0.6], [0.5, 0.6], bins=0)
