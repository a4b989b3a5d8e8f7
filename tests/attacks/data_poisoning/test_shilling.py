"""Fake profiles: their contents against the oracle, the rest by properties."""

import numpy as np
import pytest
from scipy import stats

from fedrecjax.attacks import bandwagon, popular, random
from fedrecjax.types import AttackContext
from tests.oracles import shilling

M = 60


def context_of(targets, num_malicious=200):
  popularity = np.random.default_rng(0).integers(0, 12, M)  # with ties
  return AttackContext(
    M, num_malicious, np.array(targets, np.int32), 4, np.zeros((0, 0)), popularity
  )


def profiles_of(attack, targets, seed=1, **options):
  return attack.profiles(np.random.default_rng(seed), context_of(targets, **options))


ATTACKS = {
  "random": random(max_rows=24),
  "bandwagon": bandwagon(max_rows=24, popular_share=0.25),
  "popular": popular(max_rows=24),
}


@pytest.mark.parametrize("targets", [[7], [59, 0, 30]], ids=str)
@pytest.mark.parametrize("name", ATTACKS)
def test_profiles_hold_the_targets_and_different_fillers(name, targets):
  profiles = profiles_of(ATTACKS[name], targets)
  assert len(profiles) == 200
  for profile in profiles:
    assert profile[: len(targets)].tolist() == targets
    assert (
      len(set(profile.tolist()))
      == len(profile)
      == len(targets) + shilling.filler_count(24, len(targets))
    )
    assert profile.min() >= 0 and profile.max() < M


@pytest.mark.parametrize("targets", [[7], [59, 0, 30]], ids=str)
def test_popular_profile(targets):
  popularity = context_of(targets).popularity
  expected = shilling.popular_profile(popularity, targets, shilling.filler_count(24, len(targets)))
  assert all(profile.tolist() == expected for profile in profiles_of(ATTACKS["popular"], targets))


def test_random_fillers_are_uniform_over_all_other_items():
  fillers = np.concatenate(
    [profile[1:] for profile in profiles_of(ATTACKS["random"], [7], num_malicious=2000)]
  )
  counts = np.delete(np.bincount(fillers, minlength=M), 7)
  # Eleven of 59 without replacement: the statistic is smaller than chi-square's, so the test is not
  # too strict.
  assert stats.chisquare(counts).pvalue > 1e-4


@pytest.mark.parametrize("max_rows", [40, 60, 80])
@pytest.mark.parametrize("targets", [[7], [59, 0, 30]], ids=str)
def test_bandwagon_takes_its_share_from_the_popular_items(max_rows, targets):
  popularity = context_of(targets).popularity
  pool = shilling.bandwagon_pool(popularity, targets)
  from_pool, others = shilling.bandwagon_counts(max_rows, len(targets))
  profiles = profiles_of(bandwagon(max_rows=max_rows), targets)
  extra = []
  for profile in profiles:
    fillers = profile[len(targets) :]
    assert np.isin(fillers[:from_pool], pool).all()
    assert len(fillers) == from_pool + others
    extra.append(np.isin(fillers[from_pool:], pool).mean())
  # The rest is drawn from all items not chosen yet, popular ones among them.
  left = len(pool) - from_pool
  expected = left / (M - len(targets) - from_pool)
  assert np.mean(extra) == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize("name", ["random", "bandwagon"])
def test_profiles_differ_between_clients_and_seeds(name):
  first, second = (profiles_of(ATTACKS[name], [7], seed=seed) for seed in (1, 2))
  assert len({tuple(profile) for profile in first}) > 150
  assert first[0].tolist() != second[0].tolist()
  assert [one.tolist() for one in first] == [
    one.tolist() for one in profiles_of(ATTACKS[name], [7], seed=1)
  ]


@pytest.mark.parametrize(
  ("name", "knows"), [("random", False), ("bandwagon", True), ("popular", True)]
)
def test_what_they_know(name, knows):
  assert ATTACKS[name].requires == ({"popularity"} if knows else set())


@pytest.mark.parametrize(
  "constructor", [random, bandwagon, popular], ids=["random", "bandwagon", "popular"]
)
@pytest.mark.parametrize(
  ("options", "message"),
  [({"max_rows": 2}, "max_rows=2 leaves no room"), ({"max_rows": 200}, "filler items asked")],
)
def test_profiles_that_do_not_fit(constructor, options, message):
  with pytest.raises(ValueError, match=message):
    profiles_of(constructor(**options), [1, 2])


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_impossible_shares_are_named(share):
  with pytest.raises(ValueError, match=r"bandwagon\.popular_share must (lie in 0\.\.1|be a finite number)"):
    bandwagon(popular_share=share)
