"""Oracle of the ranking metrics, against arithmetic by hand and all orders of the ties."""

import itertools
import math

import numpy as np
import pytest

from tests.oracles import ranking

LOG2_3 = math.log2(3.0)
# Order: item 3, then 1 and 4 and 5 tied, then 0, then 2.
SCORES = np.array([0.1, 0.5, -2.0, 0.9, 0.5, 0.5])
ALL = np.ones(6, dtype=bool)


def test_ranks_among_ties():
  assert ranking.rank_distribution(SCORES, ALL, 3) == {1: 1.0}
  assert ranking.rank_distribution(SCORES, ALL, 4) == pytest.approx({2: 1 / 3, 3: 1 / 3, 4: 1 / 3})
  assert ranking.rank_distribution(SCORES, ALL, 2) == {6: 1.0}


def test_only_candidates_are_ranked():
  candidates = np.array([True, True, True, False, True, False])
  assert ranking.rank_distribution(SCORES, candidates, 1) == {1: 0.5, 2: 0.5}
  assert ranking.rank_distribution(SCORES, candidates, 3) == {}


def test_hit_and_gain():
  # Ranks 2, 3, 4 with K = 3: two of three positions hit; gains 1/log2 3 and 1/log2 4 = 1/2.
  ranks = ranking.rank_distribution(SCORES, ALL, 4)
  assert ranking.expected_hit(ranks, 3) == pytest.approx(2 / 3)
  assert ranking.expected_gain(ranks, 3) == pytest.approx((1 / LOG2_3 + 0.5) / 3)
  assert ranking.expected_hit(ranks, 1) == 0
  assert ranking.expected_gain(ranks, 1) == 0


def test_exposure():
  # Item 3 is in train and masked: 1, 4, 5 tie for ranks 1 to 3. K = 2: item 4 hits with 2/3, item 0
  # at rank 4 does not.
  assert ranking.exposure(SCORES, [3], [4], 2) == pytest.approx(2 / 3)
  assert ranking.exposure(SCORES, [3], [4, 0], 2) == pytest.approx(1 / 3)
  # A target in train is not eligible, so it is not in the divisor either.
  assert ranking.exposure(SCORES, [3], [4, 3], 2) == pytest.approx(2 / 3)
  assert math.isnan(ranking.exposure(SCORES, [3], [3], 2))
  assert math.isnan(ranking.exposure(SCORES, [3], [], 2))


def test_target_ndcg():
  # One target: ideal 1. Rank 4 (item 0 with item 3 masked): 1/log2 5.
  assert ranking.target_ndcg(SCORES, [3], [0], 10) == pytest.approx(1 / math.log2(5))
  # Items 3 and 0 with nothing masked: ranks 1 and 5; ideal ranks 1 and 2.
  expected = (1 + 1 / math.log2(6)) / (1 + 1 / LOG2_3)
  assert ranking.target_ndcg(SCORES, [], [3, 0], 10) == pytest.approx(expected)
  # K = 1: item 0 gains nothing and the ideal list has one place.
  assert ranking.target_ndcg(SCORES, [], [3, 0], 1) == pytest.approx(1.0)
  # The tied three are all targets: together they hold ranks 2 to 4 in any order.
  expected = (1 / LOG2_3 + 1 / 2 + 1 / math.log2(5)) / (1 + 1 / LOG2_3 + 1 / 2)
  assert ranking.target_ndcg(SCORES, [], [1, 4, 5], 10) == pytest.approx(expected)
  assert math.isnan(ranking.target_ndcg(SCORES, [3], [3], 10))


def test_held_out_in_the_full_ranking():
  # Items 3 and 1 in train: 4 and 5 tie for ranks 1 and 2.
  hit, gain = ranking.held_out_metrics(SCORES, [3, 1], 5, 1)
  assert hit == pytest.approx(0.5)
  assert gain == pytest.approx(0.5)
  hit, gain = ranking.held_out_metrics(SCORES, [3, 1], 5, 2)
  assert hit == pytest.approx(1.0)
  assert gain == pytest.approx((1 + 1 / LOG2_3) / 2)


def test_held_out_in_train_is_never_hit():
  assert ranking.held_out_metrics(SCORES, [3], 3, 10) == (0, 0)


def test_held_out_in_a_sampled_list():
  # Against 2 and 0 the item 4 is first; against 3 second.
  assert ranking.held_out_metrics(SCORES, [], 4, 1, [2, 0]) == (1.0, 1.0)
  hit, gain = ranking.held_out_metrics(SCORES, [], 4, 2, [3, 0])
  assert hit == pytest.approx(1.0)
  assert gain == pytest.approx(1 / LOG2_3)
  # Item 3 drawn twice takes two places.
  assert ranking.held_out_metrics(SCORES, [], 4, 2, [3, 3]) == (0, 0)
  # No negatives: alone in the list.
  assert ranking.held_out_metrics(SCORES, [], 2, 1, []) == (1.0, 1.0)


def test_held_out_competes_with_its_own_copy():
  # The copy is a tie: ranks 1 and 2.
  hit, gain = ranking.held_out_metrics(SCORES, [], 3, 1, [3, 0])
  assert hit == pytest.approx(0.5)
  assert gain == pytest.approx(0.5)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("k", [1, 2, 4])
def test_expectations_are_means_over_all_orders(seed, k):
  # A uniformly random order of equal scores is a random order of all items followed by a stable
  # sort on the score. All 120 orders of five items are tried.
  generator = np.random.default_rng(seed)
  scores = generator.integers(0, 3, size=6).astype(float)
  train_items, targets = [5], [0, 2, 5]
  hits, exposures, gains = [], [], []
  for order in itertools.permutations(range(5)):
    ranked = sorted(order, key=lambda item: -scores[item])
    ranks = [ranked.index(target) + 1 for target in (0, 2)]
    hits.append(ranks[0] <= k)
    exposures.append(sum(rank <= k for rank in ranks) / 2)
    gains.append(sum(1 / math.log2(1 + rank) for rank in ranks if rank <= k))
  ideal = sum(1 / math.log2(1 + rank) for rank in (1, 2) if rank <= k)
  hit, _ = ranking.held_out_metrics(scores, train_items, 0, k)
  assert hit == pytest.approx(np.mean(hits))
  assert ranking.exposure(scores, train_items, targets, k) == pytest.approx(np.mean(exposures))
  expected = np.mean(gains) / ideal
  assert ranking.target_ndcg(scores, train_items, targets, k) == pytest.approx(expected)


def test_several_held_out_items_are_divided_by_the_best_list():
  # Scores 5 4 3 2: items 0 and 2 stand at ranks 1 and 3.
  scores = np.array([5.0, 4.0, 3.0, 2.0])
  recall, ndcg = ranking.held_out_list_metrics(scores, [], [0, 2], 2)
  assert recall == pytest.approx(0.5)
  # Gain 1 of at most 1 + 1 / log2(3).
  assert ndcg == pytest.approx(1 / (1 + 1 / math.log2(3)))
  assert ranking.held_out_list_metrics(scores, [], [0, 2], 1) == pytest.approx((0.5, 1.0))
  assert ranking.held_out_list_metrics(scores, [1], [0, 2], 2) == pytest.approx((1.0, 1.0))
  assert ranking.held_out_list_metrics(scores, [0], [0, 1], 4) == pytest.approx(
    (0.5, 1 / (1 + 1 / math.log2(3)))
  )


def test_without_a_held_out_item_nothing_is_measured():
  assert all(math.isnan(one) for one in ranking.held_out_list_metrics(np.zeros(3), [], [], 2))
