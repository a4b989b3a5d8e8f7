"""The rule that says whether a paper's figure agrees with our seeds, by hand and by simulation."""

import math

import numpy as np
import pytest
from scipy import special

from experiments.verdicts import RULE, Verdict, counted, modes, prediction_interval, verdict

FIVE = (0.50, 0.52, 0.48, 0.51, 0.49)


def test_the_interval_of_five_seeds_by_hand():
  # Logits are symmetric around 0 here; Student's quantile for four degrees is 2.7764.
  logits = [math.log(value / (1 - value)) for value in FIVE]
  spread = math.sqrt(sum(value**2 for value in logits) / 4)
  end = 2.776445 * spread * math.sqrt(6 / 5)
  low, high = prediction_interval(FIVE)
  assert high == pytest.approx(1 / (1 + math.exp(-end)), abs=1e-7) and low == pytest.approx(1 - high)


def test_rates_near_0_are_taken_as_they_are():
  seeds = (0.0, 0.02, 0.03, 0.01, 0.04)
  half = special.stdtrit(4, 0.975) * np.std(seeds, ddof=1) * math.sqrt(6 / 5)
  assert prediction_interval(seeds) == pytest.approx((0.0, 0.02 + half))
  assert prediction_interval([1 - value for value in seeds]) == pytest.approx((1 - 0.02 - half, 1.0))
  # One seed at the border makes the difference: from .01 on logits.
  assert prediction_interval((0.01, 0.02, 0.03))[0] > 0 == prediction_interval((0.0099, 0.02, 0.03))[0]


def test_an_interval_near_0_or_1_is_at_least_a_percent_wide():
  assert prediction_interval([0.0] * 5) == (0.0, 0.005)
  assert prediction_interval([1.0] * 5) == (0.995, 1.0)
  assert verdict(0.0023, [0.0] * 5).outcome == "agrees" and verdict(0.0051, [0.0] * 5).outcome == "differs"
  assert verdict(1.0, [1.0] * 5).outcome == "agrees" and verdict(0.99, [1.0] * 5).outcome == "differs"


def test_one_further_run_falls_within_as_often_as_stated():
  logits = np.random.default_rng(2).normal(0.3, 0.1, (4000, 6))
  runs = 1 / (1 + np.exp(-logits))
  inside = [low <= run[5] <= high for run in runs for low, high in [prediction_interval(run[:5].tolist())]]
  assert np.mean(inside) == pytest.approx(0.95, abs=0.012)


@pytest.mark.parametrize(
  ("printed", "seeds", "expected"),
  [
    (0.51, FIVE, "agrees: [0.4520, 0.5480]"),
    (0.56, FIVE, "differs: [0.4520, 0.5480]"),
    (0.51, FIVE[:4], "cannot tell: 4 seeds"),
    (0.51, (), "cannot tell: 0 seeds"),
    (0.51, (0.5,), "cannot tell: 1 seed"),
    (0.51, (0.4, 0.6, 0.5, 0.45, 0.55), "cannot tell: "),
    # A little below and a little above .2 from end to end.
    (0.51, (0.46, 0.5, 0.54, 0.48, 0.52), "agrees: [0.404"),
    (0.51, (0.45, 0.5, 0.55, 0.47, 0.53), "cannot tell: [0.37"),
    # Far outside a wide interval is no verdict either.
    (0.01, (0.45, 0.5, 0.55, 0.47, 0.53), "cannot tell: [0.37"),
    # Two modes: near one, between them, beyond them.
    (0.9, (0.0, 0.95, 0.01, 0.97, 0.0), "agrees: 2 of 5 seeds"),
    (0.05, (0.0, 0.95, 0.01, 0.97, 0.0), "agrees: 3 of 5 seeds"),
    (0.5, (0.0, 0.95, 0.01, 0.97, 0.0), "differs: neither mode of 3 and 2 seeds"),
    (1.0, (0.0, 0.85, 0.01, 0.86, 0.0), "differs: neither mode of 3 and 2 seeds"),
    # Widely spread seeds are no two modes.
    (0.5, (0.0, 0.3, 0.45, 0.8, 0.9), "cannot tell: "),
  ],
)
def test_verdicts(printed, seeds, expected):
  assert str(verdict(printed, seeds)).startswith(expected)


def test_what_cannot_be_compared_says_why():
  assert str(verdict(0.5, FIVE, "another target")) == "not comparable: another target"
  assert str(verdict(0.5, (), "other data")) == "not comparable: other data"


@pytest.mark.parametrize(
  ("seeds", "sizes"),
  [
    ((), (0, 0)), ((0.5,), (1, 0)), ((0.2, 0.5), (1, 1)), ((0.2, 0.49), (2, 0)),
    ((0.0, 0.15, 0.45), (2, 1)), ((0.0, 0.16, 0.46), (3, 0)), ((0.7,) * 5, (5, 0)),
  ],
)
def test_modes(seeds, sizes):
  assert tuple(map(len, modes(seeds))) == sizes


def test_only_rates_have_an_interval():
  for bad in ([0.5], [0.5, 1.2], [-0.1, 0.5], [0.5, math.nan]):
    with pytest.raises(ValueError, match="two or more rates"):
      prediction_interval(bad)


def test_the_rule_names_every_number_that_it_uses():
  for text in ("95 %", "5 seeds", "0.01 to 0.99", "±0.005", "0.3 or more", "within 0.1", "wider than 0.2"):
    assert text in RULE


def test_verdicts_are_counted_in_the_order_of_the_rule():
  verdicts = [Verdict("cannot tell", ""), Verdict("agrees", ""), Verdict("agrees", "")]
  assert counted(verdicts) == "2 agrees, 1 cannot tell" and counted([]) == ""
