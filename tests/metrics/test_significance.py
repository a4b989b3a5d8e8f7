"""Paired tests against SciPy's, Holm's correction by hand."""

import math

import numpy as np
import pytest
from scipy import special

from fedrecjax.metrics.significance import holm, paired_p_value


@pytest.mark.parametrize("size", [2, 3, 5, 12, 943])
def test_p_values(size):
  for shift in (0.0, 0.1, 1.0):
    sample = np.random.default_rng(size).normal(shift, 1.0, size)
    t = sample.mean() / (sample.std(ddof=1) / math.sqrt(size))
    expected = 2 * special.stdtr(size - 1, -abs(t))
    assert paired_p_value(sample) == pytest.approx(expected, rel=1e-8, abs=1e-13)
    assert paired_p_value(-sample) == paired_p_value(sample)


def test_a_textbook_sample():
  assert paired_p_value([1.0, 3.0, 1.0, 3.0, 2.0, 2.0]) == pytest.approx(2 * special.stdtr(5, -2 / math.sqrt(0.8 / 6)))


def test_pairs_that_say_all_the_same():
  assert paired_p_value([0.0, 0.0, 0.0]) == 1.0 and paired_p_value([0.1, 0.1]) == 0.0


@pytest.mark.parametrize("bad", [[], [1.0], [1.0, math.nan], [[1.0, 2.0]]])
def test_no_test_without_two_differences(bad):
  with pytest.raises(ValueError, match="two or more finite"):
    paired_p_value(bad)


def test_as_many_false_rejections_as_stated():
  samples = np.random.default_rng(1).normal(size=(4000, 4))
  assert np.mean([paired_p_value(sample) < 0.05 for sample in samples]) == pytest.approx(0.05, abs=0.012)


@pytest.mark.parametrize(
  ("values", "expected"),
  [
    ([], []),
    ([0.2], [0.2]),
    # Sorted .01 .02 .03 .04, times 4 3 2 1: .04 .06 .06 .04, and none below one before it.
    ([0.04, 0.01, 0.03, 0.02], [0.06, 0.04, 0.06, 0.06]),
    ([0.6, 0.5, 0.0], [1.0, 1.0, 0.0]),
  ],
)
def test_holm(values, expected):
  assert holm(values) == pytest.approx(expected)


def test_holm_refuses_what_is_no_probability():
  with pytest.raises(ValueError, match="probabilities"):
    holm([0.5, 1.5])
