"""Student's quantiles against SciPy's, intervals and paired differences by hand."""

import math

import numpy as np
import pytest
from scipy import special

from fedrecjax.metrics.stats import mean_interval, paired_difference, student_cdf, student_quantile


@pytest.mark.parametrize("probability", [0.001, 0.025, 0.5, 0.6, 0.95, 0.975, 0.995, 0.999])
def test_quantiles(probability):
  for degrees in (*range(1, 260), 1000, 10**5, 10**8):
    expected = special.stdtrit(degrees, probability)
    assert student_quantile(probability, degrees) == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_distribution_function():
  for degrees in (1, 2, 3, 8, 31):
    for t in (-3.0, -0.2, 0.0, 1.7, 40.0):
      assert student_cdf(t, degrees) == pytest.approx(special.stdtr(degrees, t), rel=1e-10, abs=1e-14)


def test_quantiles_refuse_what_they_are_not_exact_for():
  with pytest.raises(ValueError, match="probability"):
    student_quantile(0.99999, 3)
  with pytest.raises(ValueError, match="degrees"):
    student_quantile(0.975, 0)


def test_interval_of_a_textbook_sample():
  interval = mean_interval([2.0, 4.0, 4.0, 6.0])
  assert interval.mean == 4 and interval.num_values == 4
  assert interval.half_width == pytest.approx(3.182446 * math.sqrt(8 / 3) / 2, rel=1e-6)


def test_intervals_cover_as_often_as_they_say():
  samples = np.random.default_rng(0).normal(size=(4000, 3))
  intervals = [mean_interval(sample) for sample in samples]
  covered = np.mean([abs(one.mean) <= one.half_width for one in intervals])
  assert covered == pytest.approx(0.95, abs=0.012)


def test_one_value_has_no_interval():
  assert mean_interval([0.3]) == (0.3, None, 1)
  for bad in ([], [1.0, math.nan], [math.inf]):
    with pytest.raises(ValueError, match="finite values"):
      mean_interval(bad)


def test_pairs_follow_users_not_places():
  difference = paired_difference(
    [3, 1, 2, 8], [0.3, 0.1, 0.2, math.nan], [1, 2, 3, 4, 0], [0.0, 0.0, 0.0, 9.0, 9.0]
  )
  assert difference.mean == pytest.approx(0.2) and difference.num_values == 3
  assert difference.half_width == pytest.approx(mean_interval([0.1, 0.2, 0.3]).half_width)


def test_a_user_with_several_seeds_counts_once():
  difference = paired_difference([1, 2, 1, 2], [1.0, 0.0, 0.0, 0.0], [1, 2, 1, 2], [0.0, 0.0, 0.0, 0.0])
  assert difference == (0.25, pytest.approx(mean_interval([0.5, 0.0]).half_width), 2)


def test_runs_without_a_common_user_cannot_be_compared():
  with pytest.raises(ValueError, match="in common"):
    paired_difference([1], [1.0], [2], [1.0])
