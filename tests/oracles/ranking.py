"""HR@K, NDCG@K and ER@K of one user, as expectations over a random order of equal scores.

An item with `above` strictly better competitors and `ties` equal ones stands at each of the ranks
above + 1, ..., above + ties + 1 with equal probability. A hit at rank r gains 1 / log2(1 + r).
"""

import math
from collections.abc import Sequence

import numpy as np


def _possible_ranks(score: float, competitors: Sequence[float]) -> dict[int, float]:
  above = sum(1 for other in competitors if other > score)
  ties = sum(1 for other in competitors if other == score)
  return dict.fromkeys(range(above + 1, above + ties + 2), 1.0 / (ties + 1))


def rank_distribution(scores: np.ndarray, candidates: np.ndarray, item: int) -> dict[int, float]:
  """Probability of each rank of an item.

  Args:
    scores: [M].
    candidates: [M] bool, the items that are ranked.
    item: item id.

  Returns:
    Rank, from 1, -> probability. Empty if the item is not a candidate: it is not ranked at all.
  """
  if not candidates[item]:
    return {}
  competitors = [
    float(scores[other]) for other in range(len(scores)) if candidates[other] and other != item
  ]
  return _possible_ranks(float(scores[item]), competitors)


def expected_hit(ranks: dict[int, float], k: int) -> float:
  """HR@K of an item with the given distribution of ranks: the probability of a rank up to K."""
  return sum(probability for rank, probability in ranks.items() if rank <= k)


def expected_gain(ranks: dict[int, float], k: int) -> float:
  """NDCG@K of a single relevant item: the expectation of 1 / log2(1 + rank), 0 beyond K."""
  return sum(probability / math.log2(1 + rank) for rank, probability in ranks.items() if rank <= k)


def _without(num_items: int, masked: Sequence[int]) -> np.ndarray:
  candidates = np.ones(num_items, dtype=bool)
  for item in masked:
    candidates[item] = False
  return candidates


def _eligible(targets: Sequence[int], train_items: Sequence[int]) -> list[int]:
  return [target for target in targets if target not in train_items]


def exposure(
  scores: np.ndarray, train_items: Sequence[int], targets: Sequence[int], k: int
) -> float:
  """ER@K of one user, whose mean over users is Eq. 3 of PIECK for one target.

  Args:
    scores: [M].
    train_items: items masked from the ranking; targets among them are not eligible. A caller that
      masks test items too, as FedRecAttack does, adds them here.
    targets: distinct target items.
    k: length of the recommended list.

  Returns:
    Expected share of the eligible targets within the top K; NaN without an eligible target.
  """
  eligible = _eligible(targets, train_items)
  if not eligible:
    return math.nan
  candidates = _without(len(scores), train_items)
  hits = [expected_hit(rank_distribution(scores, candidates, item), k) for item in eligible]
  return sum(hits) / len(eligible)


def target_ndcg(
  scores: np.ndarray, train_items: Sequence[int], targets: Sequence[int], k: int
) -> float:
  """NDCG@K of the targets for one user (FedRecAttack, notes section 7).

  Arguments as for `exposure`.

  Returns:
    Expected sum of the gains of the eligible targets, over that of the ideal list, which has all
    eligible targets first (its places beyond K gain nothing); NaN without an eligible target.
  """
  eligible = _eligible(targets, train_items)
  if not eligible:
    return math.nan
  candidates = _without(len(scores), train_items)
  gain = sum(expected_gain(rank_distribution(scores, candidates, item), k) for item in eligible)
  ideal = sum(1.0 / math.log2(1 + rank) for rank in range(1, min(k, len(eligible)) + 1))
  return gain / ideal


def held_out_metrics(
  scores: np.ndarray,
  train_items: Sequence[int],
  held_out: int,
  k: int,
  negatives: Sequence[int] | None = None,
) -> tuple[float, float]:
  """HR@K and NDCG@K of one user's held-out item.

  Args:
    scores: [M].
    train_items: items masked from the full ranking. A held-out item among them is not ranked, hence
      never hit. The sampled ranking takes its list as given and does not look at them.
    held_out: the test item.
    k: length of the recommended list.
    negatives: None ranks all items outside `train_items`. Otherwise the list ranked is the held-out
      item and these, one place per entry: repeated negatives take several places, and if the
      held-out item is among them it competes with its own copy as with any item of equal score.

  Returns:
    Expected HR@K and NDCG@K.
  """
  if negatives is None:
    ranks = rank_distribution(scores, _without(len(scores), train_items), held_out)
  else:
    competitors = [float(scores[negative]) for negative in negatives]
    ranks = _possible_ranks(float(scores[held_out]), competitors)
  return expected_hit(ranks, k), expected_gain(ranks, k)


def held_out_list_metrics(
  scores: np.ndarray, masked: Sequence[int], held_out: Sequence[int], k: int
) -> tuple[float, float]:
  """Recall@K and NDCG@K of a user with any number of held-out items (A-hum's notes, "Evaluation").

  Args:
    scores: [M].
    masked: items that are not ranked; a held-out item among them gains nothing.
    held_out: different test items.
    k: length of the recommended list.

  Returns:
    Expected share of the held-out items within the top K, and their expected discounted gain over
    that of the list which has all of them first; NaN twice without a held-out item.
  """
  if not held_out:
    return math.nan, math.nan
  hits = 0.0
  gains = 0.0
  for item in held_out:
    hit, gain = held_out_metrics(scores, masked, item, k)
    hits += hit
    gains += gain
  ideal = 0.0
  for rank in range(1, len(held_out) + 1):
    if rank <= k:
      ideal += 1.0 / math.log2(1 + rank)
  return hits / len(held_out), gains / ideal
