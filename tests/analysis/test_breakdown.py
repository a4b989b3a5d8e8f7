"""When rules give way, against the oracle, the defences themselves and Krum; proposition 2 against an integral."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedrecjax import defenses, load
from fedrecjax.analysis import (
  PowerLaw,
  degree_bound,
  draw_counts,
  fit_power_law,
  interactions_per_item,
  is_broken,
  krum_rule,
  leaves_range,
  malicious_clients,
  mean_rule,
  median_rule,
  proposition_2,
  rules,
  share_broken,
  trimmed_mean_rule,
)
from fedrecjax.types import ClientUpdates
from fedrecjax.uploads.rows import merge_rows
from tests.oracles import breakdown
from tests.support.views import defense_view

RULES = {
  "mean": mean_rule(),
  "median": median_rule(),
  "krum": krum_rule(),
  **{f"trimmed_mean {share}": trimmed_mean_rule(float(share))
     for share in ("0", "0.05", "0.1", "0.29", "0.3", "0.45", "0.499")},
}
STATISTICS = [name for name, rule in RULES.items() if rule.statistic is not None]
# Every item of this grid has as many benign and malicious rows as its place says.
BENIGN, MALICIOUS = (grid.reshape(-1) for grid in np.meshgrid(np.arange(1, 41), np.arange(21)))
HUGE = 1e6


@functools.cache
def oracle_says(name):
  rule, _, share = name.partition(" ")
  pairs = zip(BENIGN.tolist(), MALICIOUS.tolist(), strict=True)
  return np.array([breakdown.breaks(rule, good, bad, share or "0") for good, bad in pairs])


def law_of(exponent, minimum=1, tail_share=1.0):
  log_constant = -math.log(breakdown.zeta(exponent, minimum))
  return PowerLaw(exponent, minimum, log_constant, 0.0, 0.0, 0, tail_share)


@pytest.mark.parametrize("name", RULES)
def test_rules_give_way_where_the_oracle_does(name):
  expected = oracle_says(name)
  assert (is_broken(RULES[name], BENIGN, MALICIOUS) == expected).all()
  assert expected.any() and not expected.all()


@pytest.mark.parametrize("name", STATISTICS)
def test_huge_rows_take_the_aggregate_out_of_range_where_a_rule_is_broken(name):
  assert (leaves_range(RULES[name], BENIGN, MALICIOUS) == oracle_says(name)).all()


@pytest.fixture(scope="module")
def poisoned_round():
  """The grid as uploads: benign rows drawn at random, malicious rows of one huge value."""
  random = np.random.default_rng(0)
  item = np.repeat(np.arange(len(BENIGN)), BENIGN + MALICIOUS)
  ends = np.cumsum(BENIGN + MALICIOUS)
  client = np.arange(len(item)) - (ends - BENIGN - MALICIOUS)[item]
  row = random.normal(size=(len(item), 1))
  benign = client < BENIGN[item]
  lowest, highest = np.full(len(BENIGN), np.inf), np.full(len(BENIGN), -np.inf)
  np.minimum.at(lowest, item[benign], row[benign, 0])
  np.maximum.at(highest, item[benign], row[benign, 0])
  row[~benign] = HUGE
  uploads = ClientUpdates(jnp.asarray(client, jnp.int32), jnp.asarray(item, jnp.int32), jnp.asarray(row, jnp.float32))
  return merge_rows(uploads, len(BENIGN)), lowest, highest


@pytest.mark.parametrize(
  ("defense", "name"),
  [
    (defenses.none(scale="mean"), "mean"),
    (defenses.median(scale="mean"), "median"),
    (defenses.trimmed_mean(scale="mean", f=0.1), "trimmed_mean 0.1"),
    (defenses.trimmed_mean(scale="mean", f=0.45), "trimmed_mean 0.45"),
    (defenses.trimmed_mean(scale="mean", f=0.1, reading="around_median"), "trimmed_mean 0.1"),
  ],
)
def test_the_defences_break_where_their_rules_say(defense, name, poisoned_round):
  uploads, lowest, highest = poisoned_round
  assert_breaks(defense, uploads, lowest, highest, oracle_says(name))


def test_a_trimmed_mean_that_knows_the_attackers_breaks_like_a_median(poisoned_round):
  # Spattack's: the values nearest the median, all but as many as there are malicious clients. Of one
  # row of each kind, equally near, it keeps the smaller.
  uploads, lowest, highest = poisoned_round
  for number in (2, 15):
    own = number == MALICIOUS
    defense = defenses.trimmed_mean(reading="around_median", f_rule="number", f=float(number),
                                    scale="mean")
    expected = np.where(own, oracle_says("median"), False)
    assert_breaks(defense, uploads, lowest, highest, expected, own)


def assert_breaks(defense, uploads, lowest, highest, expected, own=slice(None)):
  view = defense_view(num_items=len(BENIGN), num_clients=64)
  rows = defense.aggregate((), uploads, view)[0].items
  aggregate = np.asarray(jnp.zeros((len(BENIGN), 1)).at[rows.item].add(rows.row, mode="drop"))[:, 0]
  # A mean of values in a range lies there up to rounding.
  outside = (aggregate < lowest - 1e-5) | (aggregate > highest + 1e-5)
  assert (outside[own] == expected[own]).all()


def test_krum_takes_malicious_rows_only_where_it_counts_as_broken():
  # Defined for three benign rows or more, with f the number of malicious rows.
  random = np.random.default_rng(1)
  for good in range(3, 14):
    for bad in range(1, 14):
      rows = np.concatenate([random.normal(size=good), np.full(bad, HUGE)])
      taken = breakdown.krum(rows.tolist(), bad) >= good
      assert taken == (bad >= good - 1)
      assert bool(is_broken(krum_rule(), good, bad)) == (bad >= good - 2)


def test_expected_counts_need_not_be_whole():
  assert is_broken(median_rule(), [2.5, 2.6], 2.5).tolist() == [True, False]
  assert is_broken(mean_rule(), 4.0, [0.99, 1.0]).tolist() == [False, True]


@pytest.mark.parametrize("name", RULES)
def test_degree_bound_is_the_last_degree_broken(name):
  rule = RULES[name]
  for malicious in (1, 2, 3, 10, 20):
    bound = degree_bound(rule, malicious)
    if rule.breakdown_point == 0:
      assert bound == math.inf
      continue
    degrees = np.arange(1, 3 * int(bound) + 10)
    last = degrees[is_broken(rule, degrees, malicious)].max()
    assert last == (math.floor(bound + 1e-9) if rule.at_equality else math.ceil(bound - 1e-9) - 1)
  assert degree_bound(rule, 0) == 0


@pytest.mark.parametrize("share", [-0.1, 0.5, math.nan])
def test_impossible_shares_to_trim(share):
  with pytest.raises(ValueError, match=r"share must be at least 0 and below 0\.5"):
    trimmed_mean_rule(share)
  with pytest.raises(ValueError, match=r"share must be at least 0 and below 0\.5"):
    rules(trimmed_share=share)


def test_rules_by_name():
  assert list(rules(trimmed_share=0.1)) == ["mean", "median", "trimmed_mean", "krum"]
  assert rules(trimmed_share=0.1)["trimmed_mean"].breakdown_point == 0.1
  with pytest.raises(ValueError, match="krum is not a statistic"):
    leaves_range(krum_rule(), [1], [1])


@pytest.mark.parametrize(
  ("ratio", "expected"), [(0.0, 0), (0.01, 9), (0.03, 29), (0.05, 49), (0.1, 104), (0.15, 166)]
)
def test_malicious_clients_are_as_many_as_in_the_published_code(ratio, expected):
  assert malicious_clients(ratio, 943) == expected


def test_a_ratio_that_comes_out_even_is_reached():
  assert malicious_clients(0.05, 95) == 5
  assert malicious_clients(0.3, 70) == 30
  for ratio in (-0.1, 1.0, math.nan):
    with pytest.raises(ValueError, match="ratio must be at least 0 and below 1"):
      malicious_clients(ratio, 95)


def test_share_of_items_with_a_benign_row():
  benign = [[0, 3, 2, 9], [0, 0, 0, 0], [1, 1, 1, 1]]
  assert np.array_equal(share_broken(median_rule(), benign, 3), [2 / 3, np.nan, 1.0], equal_nan=True)
  malicious = [[9, 2, 2, 0], [1, 1, 1, 1], [0, 1, 0, 2]]
  found = share_broken(mean_rule(), benign, malicious)
  assert np.array_equal(found, [2 / 3, np.nan, 0.5], equal_nan=True)


@pytest.mark.parametrize("name", [name for name in RULES if name not in ("mean", "trimmed_mean 0", "krum")])
@pytest.mark.parametrize("exponent", [1.2, 2.0, 3.7])
def test_proposition_2(name, exponent):
  rule = RULES[name]
  for malicious in (1, 7, 300):
    constant = 1 / breakdown.zeta(exponent, 1)
    expected = breakdown.proposition_2(exponent, constant, rule.breakdown_point, malicious)
    assert proposition_2(law_of(exponent), rule, malicious) == pytest.approx(max(expected, 0), abs=1e-6)
  law = law_of(exponent, 5, 0.3)
  constant = math.exp(law.log_constant)
  expected = breakdown.proposition_2(exponent, constant, rule.breakdown_point, 40, 0.3)
  assert proposition_2(law, rule, 40) == pytest.approx(expected, abs=1e-6)


def test_proposition_2_at_its_limits():
  law, tail = law_of(2.0), law_of(2.0, 10, 0.5)
  for any_law in (law, tail):
    assert proposition_2(any_law, mean_rule(), 1) == 1
  assert proposition_2(law, mean_rule(), 0) == 0  # degrees up to 0
  # Below x_min a law of the tail says nothing, unless there are no items below.
  assert math.isnan(proposition_2(tail, median_rule(), 9))
  assert proposition_2(tail, median_rule(), 10) > 0.4
  assert proposition_2(law_of(2.0, 10), median_rule(), 9) == 0


@pytest.mark.parametrize("exponent", [1.3, 2.0, 3.0])
def test_under_the_law_at_least_that_share_is_broken(exponent):
  """The proposition's "at least": the integral from x on is more than the sum above x."""
  for malicious in (1, 2, 5, 50):
    exact = breakdown.share_up_to(exponent, 1, malicious)
    least = proposition_2(law_of(exponent), median_rule(), malicious)
    assert least < exact < least + 0.5 / malicious


def test_degrees_that_follow_a_law_are_broken_as_it_says():
  degrees = np.minimum(np.random.default_rng(2).zipf(1.8, 20_000), 10**6)
  law = fit_power_law(degrees, minimum=1)
  for rule in (median_rule(), trimmed_mean_rule(0.1)):
    for malicious in (5, 40):
      counted = float(share_broken(rule, degrees, malicious))
      assert proposition_2(law, rule, malicious) == pytest.approx(counted, abs=0.03)


def test_negatives_protect_items():
  """What proposition 2 leaves out: clients upload negatives too, which are benign rows of cold items."""
  dataset = load("synthetic")
  malicious = malicious_clients(0.05, dataset.num_users)
  counts = draw_counts(dataset, num_malicious=malicious, num_rounds=1)
  by_degree = share_broken(median_rule(), interactions_per_item(dataset), malicious)
  assert by_degree > 0.6
  assert share_broken(median_rule(), counts.benign, counts.malicious)[0] < 0.02
  assert (leaves_range(median_rule(), *counts) == is_broken(median_rule(), *counts)).all()


def test_the_analysis_knows_nothing_of_jax():
  import fedrecjax.analysis as package

  modules = [value for value in vars(package).values() if type(value).__name__ == "module"]
  assert len(modules) == 6
  for module in modules:
    assert jax not in vars(module).values() and jnp not in vars(module).values()
