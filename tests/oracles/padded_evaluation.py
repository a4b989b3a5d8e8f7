"""Evaluation with every user's held-out items padded to the longest list, in numbers of 32 bits added up in the
simulator's order, so that results can be compared to the bit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from fedrecjax.datasets import Dataset

BEHIND = 2**30
TARGET_NDCG_K = 10


def discounts(k: int) -> np.ndarray:
  """Sums of the gains of the first 0..K ranks, rounded to 32 bits once."""
  return np.concatenate([[0.0], np.cumsum(1 / np.log2(1 + np.arange(1, k + 1)))]).astype(np.float32)


def hit(better: int, equal: int, k: int) -> np.float32:
  return np.clip(np.float32(k - better) / np.float32(equal + 1), np.float32(0), np.float32(1))


def gain(better: int, equal: int, k: int) -> np.float32:
  table = discounts(k)
  return (table[min(better + equal + 1, k)] - table[min(better, k)]) / np.float32(equal + 1)


def standing(scores: np.ndarray, score: np.float32) -> tuple[int, int]:
  """How many scores are better, and how many others are equal; what is not ranked stands behind all."""
  if score == -np.inf:
    return BEHIND, 0
  return int((scores > score).sum()), int((scores == score).sum()) - 1


def padded_lists(dataset: Dataset) -> np.ndarray:
  """Different held-out items of every user, `[N, H]`; M where a user has fewer than H."""
  lists = [list(dict.fromkeys(dataset.test.of(user).tolist())) for user in range(dataset.num_users)]
  padded = np.full((len(lists), max(map(len, lists))), dataset.num_items)
  for user, items in enumerate(lists):
    padded[user, : len(items)] = items
  return padded


def values_of_users(
  dataset: Dataset,
  scores: np.ndarray,
  targets: Sequence[int],
  ks: Sequence[int],
  *,
  unseen: bool,
  candidates: Callable[[int, int], np.ndarray] | None = None,
) -> np.ndarray:
  """Every metric of every user, float32 `[N, 3 * len(ks) + 1]`.

  Args:
    dataset: with one list of held-out items per user.
    scores: of all items for all users, float32 `[N, M]`.
    targets: for exposure.
    ks: list lengths.
    unseen: whether exposure leaves out held-out items.
    candidates: items that a user's held-out item is ranked among, beside itself; None: all that are not masked.
  """
  num_items, padded = dataset.num_items, padded_lists(dataset)
  result = np.full((dataset.num_users, 3 * len(ks) + 1), np.nan, np.float32)
  for user in range(dataset.num_users):
    own = scores[user].copy()
    own[dataset.train.of(user)] = -np.inf
    if dataset.validation is not None:
      own[dataset.validation.of(user)] = -np.inf
    total = np.zeros(2 * len(ks), np.float32)
    for item in padded[user]:
      if item < num_items:
        listed = own if candidates is None else scores[user][np.append(candidates(user, item), item)]
        place = standing(listed, own[item] if candidates is None else scores[user][item])
        total += np.array([hit(*place, k) for k in ks] + [gain(*place, k) for k in ks], np.float32)
    count = int((padded[user] < num_items).sum())
    if count:
      largest = [np.float32(count)] * len(ks) + [discounts(k)[min(count, k)] for k in ks]
      result[user, : 2 * len(ks)] = total / np.array(largest, np.float32)
    if unseen:
      own[padded[user][:count]] = -np.inf
    eligible = [target for target in targets if own[target] != -np.inf]
    if eligible:
      places = [standing(own, own[target]) for target in eligible]
      shares = [sum((hit(*place, k) for place in places), np.float32(0)) / np.float32(len(eligible)) for k in ks]
      gained = sum((gain(*place, TARGET_NDCG_K) for place in places), np.float32(0))
      ideal = discounts(TARGET_NDCG_K)[min(len(eligible), TARGET_NDCG_K)]
      result[user, 2 * len(ks) :] = [*shares, gained / ideal]
  return result
