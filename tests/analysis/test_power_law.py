"""Zeta function, fits and distances against SciPy, the oracle and samples of known laws."""

import math

import numpy as np
import pytest
from scipy import special

from fedrecjax.analysis import fit_power_law, hurwitz_zeta, tail_probability
from tests.oracles import breakdown


def zipf_from(random, exponent, start, size):
  """Draws of the law from `start` on, up to 2 * 10^5."""
  degrees = np.arange(start, 200_000)
  chances = degrees.astype(float) ** -exponent
  return random.choice(degrees, size, p=chances / chances.sum())


SETS = {
  "power law": np.random.default_rng(0).zipf(2.2, 150).clip(max=2000),
  "power law from 6": np.concatenate([
    zipf_from(np.random.default_rng(1), 2.6, 6, 120).clip(max=500),
    np.random.default_rng(2).integers(0, 6, 60),
  ]),
  "negative binomial": np.random.default_rng(3).negative_binomial(1, 0.05, 130),
  "two degrees": np.repeat([0, 4, 5], [3, 20, 30]),
}


@pytest.mark.parametrize("exponent", [1.0001, 1.01, 1.5, 2.0, 3.0, 7.0, 30.0, 200.0])
def test_zeta(exponent):
  starts = np.array([1.0, 2.0, 3.5, 10.0, 20.0, 100.0, 1000.0, 50_000.0])
  expected = special.zeta(exponent, starts)
  seen = expected > 1e-300
  np.testing.assert_allclose(hurwitz_zeta(exponent, starts)[seen], expected[seen], rtol=2e-13)
  assert seen.sum() >= 2


def test_known_values_of_zeta():
  found = hurwitz_zeta(np.array([2.0, 4.0, 2.0, 3.0]), np.array([1.0, 1.0, 0.5, 1.0]))
  expected = [math.pi**2 / 6, math.pi**4 / 90, math.pi**2 / 2, 1.202056903159594]
  np.testing.assert_allclose(found, expected, rtol=1e-14)


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("minimum", [1, 3])
def test_fit_from_a_given_minimum(name, minimum):
  degrees = SETS[name]
  law = fit_power_law(degrees, minimum=minimum)
  exponent = breakdown.most_likely_exponent(degrees.tolist(), minimum)
  assert law.exponent == pytest.approx(exponent, abs=1e-6)
  assert law.minimum == minimum and law.num_items == (degrees >= minimum).sum()
  assert law.tail_share == pytest.approx((degrees >= minimum).sum() / (degrees >= 1).sum())
  assert law.distance == pytest.approx(breakdown.distance(degrees, exponent, minimum), abs=1e-6)
  error = breakdown.standard_error(exponent, minimum, law.num_items)
  assert law.standard_error == pytest.approx(error, rel=1e-4)
  assert math.exp(-law.log_constant) == pytest.approx(breakdown.zeta(exponent, minimum), rel=1e-5)


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("min_items", [10, 40])
def test_chosen_minimum(name, min_items):
  degrees = SETS[name]
  law = fit_power_law(degrees, min_items=min_items)
  minimum = breakdown.best_start(degrees.tolist(), min_items)
  assert law.minimum == minimum
  given = fit_power_law(degrees, minimum=minimum)
  assert law == pytest.approx(given)


@pytest.mark.parametrize(("exponent", "start"), [(1.6, 1), (2.5, 1), (2.5, 20), (4.0, 3)])
def test_the_law_that_was_drawn_is_found(exponent, start):
  if exponent < 2:
    degrees = np.minimum(np.random.default_rng(5).zipf(exponent, 4000), 10**6)
  else:
    degrees = zipf_from(np.random.default_rng(5), exponent, start, 4000)
  law = fit_power_law(degrees, minimum=start)
  assert abs(law.exponent - exponent) < 4 * law.standard_error < 0.25
  assert law.distance < 1.36 / math.sqrt(4000)


def test_the_standard_error_is_that_of_repeated_samples():
  random = np.random.default_rng(6)
  laws = [fit_power_law(zipf_from(random, 2.5, 2, 400), minimum=2) for _ in range(150)]
  spread = np.std([law.exponent for law in laws])
  assert spread == pytest.approx(np.mean([law.standard_error for law in laws]), rel=0.2)


def test_the_tail_is_found_below_which_no_law_holds():
  random = np.random.default_rng(7)
  tail = zipf_from(random, 2.5, 20, 3000)
  law = fit_power_law(np.concatenate([tail, random.integers(1, 20, 3000)]))
  assert 17 <= law.minimum <= 30
  assert law.tail_share == pytest.approx(0.5, abs=0.1)
  assert law.exponent == pytest.approx(2.5, abs=0.1)


def test_items_that_nobody_has_do_not_matter():
  degrees = SETS["power law"]
  assert fit_power_law(np.append(degrees, [0] * 99)) == fit_power_law(degrees)


def test_a_steep_law_of_large_degrees():
  # Nearly geometric: with r = p(1001) / p(1000) the mean excess r / (1 - r) is 2 / 502, so r = 1 / 252.
  law = fit_power_law(np.repeat([1000, 1001], [500, 2]), minimum=1000)
  assert law.exponent == pytest.approx(math.log(252) / math.log(1.001), rel=1e-5)
  assert law.distance < 1e-4 and np.isfinite(law).all()


def test_tail_probability():
  law = fit_power_law(SETS["power law from 6"], minimum=6)
  found = tail_probability(law, [6, 7, 40])
  expected = [1 - breakdown.share_up_to(law.exponent, 6, k) for k in (5, 6, 39)]
  np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize(
  ("degrees", "options", "message"),
  [
    ([1, -1], {}, "whole numbers"),
    ([1.0, 2.0], {}, "whole numbers"),
    ([[1, 2]], {}, "whole numbers"),
    ([1, 2], {"minimum": 0}, "minimum must be at least 1, got 0"),
    ([0, 0], {}, "no power law can be fitted"),
    ([0, 3, 3], {"min_items": 1}, "two different degrees"),
    ([1, 2, 3], {"min_items": 4}, "a degree with 4 items at or above it"),
    ([1, 2, 3], {"minimum": 3}, "degrees of 3 or more"),
    ([1, 2, 3], {"minimum": 9}, "degrees of 9 or more"),
  ],
)
def test_what_cannot_be_fitted(degrees, options, message):
  with pytest.raises(ValueError, match=message):
    fit_power_law(degrees, **options)
