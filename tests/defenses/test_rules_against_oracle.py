"""Every aggregation rule of single coordinates on many random rounds, against the oracle."""

import itertools

import numpy as np
import pytest

from fedrecjax import defenses
from tests.defenses.item_rounds import ROUNDS, assert_matches, random_round
from tests.oracles import aggregation


def test_random_rounds_hold_the_sizes_that_matter():
  sizes = np.concatenate(
    [[len(rows) for rows in random_round(seed)[1].values()] for seed in range(ROUNDS)]
  )
  assert {1, 2, 3, 4, 5, 150} <= set(sizes.tolist())


def bounded(rule, max_norm):
  return lambda rows: rule(np.array([aggregation.norm_bound(row, max_norm) for row in rows]))


PLAIN = {
  "none": (defenses.none(), aggregation.sum_),
  "none mean": (defenses.none(scale="mean"), aggregation.mean),
  "median": (defenses.median(), lambda rows: aggregation.median(rows, scale="sum")),
  "median mean": (defenses.median(scale="mean"), aggregation.median),
}


@pytest.mark.parametrize("name", PLAIN)
def test_sum_mean_and_median(name):
  defense, rule = PLAIN[name]
  assert_matches(defense, rule, seeds=range(40))


@pytest.mark.parametrize("name", PLAIN)
def test_norm_bound_before_a_rule(name):
  defense, rule = PLAIN[name]
  # The bound scales about half of the rows, and 1/8 is exact.
  assert_matches(defenses.chain(defenses.norm_bound(max_norm=0.3), defense), bounded(rule, 0.3))


def test_a_filter_after_the_rule_in_a_chain_still_comes_first():
  rule = bounded(lambda rows: aggregation.median(rows, scale="sum"), 0.3)
  assert_matches(defenses.chain(defenses.median(), defenses.norm_bound(max_norm=0.3)), rule)


def test_filters_of_a_chain_run_one_after_another():
  chain = defenses.chain(
    defenses.norm_bound(max_norm=0.3),
    defenses.chain(defenses.norm_bound(max_norm=0.2), defenses.median()),
  )
  rule = bounded(lambda rows: aggregation.median(rows, scale="sum"), 0.2)
  assert_matches(chain, rule, seeds=range(3))


# f, clients of the round, clients of the federation -> f of an item with n rows, by exact
# arithmetic.
def trimmed_by(f_rule, f, clients, federation):
  base = {"per_round": clients, "global": federation, "number": 1}

  def of_count(count):
    if f_rule == "ratio_of_count":
      return aggregation.trim_count(count, f_rule, f)
    return aggregation.distrusted(f, base[f_rule], f_rule)

  return of_count


SHARES = {
  "ratio_of_count": (0.0, 0.05, 0.25, 0.29, 0.45),
  "per_round": (0.01, 0.05, 0.49),
  "global": (0.001, 0.004, 0.049),
  "number": (0.0, 1.0, 2.9, 40.0),
}


# Every combination costs two seconds of compilation; scale and fallback, which do not meet, vary
# together.
@pytest.mark.parametrize(("too_few", "scale"), [("median", "sum"), ("zero", "mean")])
@pytest.mark.parametrize(
  ("reading", "f_rule"), list(itertools.product(("extremes", "around_median"), SHARES))
)
def test_trimmed_mean(reading, f_rule, too_few, scale):
  for number, f in enumerate(SHARES[f_rule]):
    defense = defenses.trimmed_mean(
      reading=reading, f_rule=f_rule, f=f, too_few=too_few, scale=scale
    )
    of_count = trimmed_by(f_rule, f, 149, 1000)
    assert_matches(
      defense,
      lambda rows, of_count=of_count: aggregation.trimmed_mean(
        rows, of_count(len(rows)), reading, scale=scale, too_few=too_few
      ),
      seeds=range(2 * number, 2 * number + 2),
      clients=149,
    )


def test_norm_bound_before_trimmed_mean():
  chain = defenses.chain(defenses.norm_bound(max_norm=0.3), defenses.trimmed_mean(f=0.2))
  assert_matches(
    chain,
    bounded(
      lambda rows: aggregation.trimmed_mean(
        rows, aggregation.trim_count(len(rows), "ratio_of_count", 0.2), "extremes", scale="sum"
      ),
      0.3,
    ),
  )
