"""What popular items look like in a recommender's embeddings: PIECK's observations, measured."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fedrecjax.datasets import Dataset

FloatArray = npt.NDArray[np.floating]
IntArray = npt.NDArray[np.integer]


def delta_norms(before: FloatArray, after: FloatArray) -> FloatArray:
  """How far each item's embedding moved, Delta-Norm (PIECK Eq. 7), `[M, d], [M, d] -> [M]`."""
  return np.linalg.norm(np.asarray(after, np.float64) - np.asarray(before, np.float64), axis=1)


def popularity_ranks(popularity: IntArray, items: IntArray) -> IntArray:
  """Where items stand in order of popularity, from 1; of equally popular ones lower ids come first.

  Args:
    popularity: interactions of each item `[M]`.
    items: item ids `[n]`.

  Returns:
    `[n]`.

  >>> popularity_ranks(np.array([3, 9, 3]), np.array([2, 1])).tolist()
  [3, 1]
  """
  rank = np.empty(len(popularity), np.int64)
  rank[np.argsort(-np.asarray(popularity), kind="stable")] = np.arange(1, len(popularity) + 1)
  return rank[items]


def largest(values: FloatArray | IntArray, count: int) -> IntArray:
  """The ids of the `count` largest values, largest first; of equal ones lower ids come first, `[count]`."""
  return np.argsort(-np.asarray(values), kind="stable")[:count]


def mining_precision(popularity: IntArray, mined: IntArray, *, share: float = 0.15) -> float:
  """Share of mined items that are among the most popular ones.

  Args:
    popularity: interactions of each item `[M]`.
    mined: item ids `[n]`, n >= 1.
    share: of all items that count as popular, rounded down but at least one; 0.15 is PIECK's.
  """
  bound = max(int(share * len(popularity)), 1)
  return float(np.mean(popularity_ranks(popularity, mined) <= bound))


def user_coverage(dataset: Dataset, items: IntArray) -> float:
  """Share of users who have at least one of the items among their training items, UCR (PIECK section IV-D)."""
  return len(covered_users(dataset, items)) / dataset.num_users


def covered_users(dataset: Dataset, items: IntArray) -> IntArray:
  """Users who have at least one of the items among their training items, ascending."""
  return np.unique(dataset.train.users[np.isin(dataset.train.items, items)])


def pairwise_divergence(items: FloatArray, users: FloatArray) -> float:
  """Average Kullback-Leibler divergence of item vectors from user vectors, PKL (PIECK Eq. 9).

  Args:
    items: `[n, d]`; the softmax of a vector is its distribution.
    users: `[m, d]`, likewise.

  Returns:
    Mean over all pairs of KL(item, user), in nats.
  """
  of_items, of_users = (_log_softmax(vectors) for vectors in (items, users))
  weights = np.exp(of_items)
  return float(np.mean(np.sum(weights * of_items, axis=1)) - np.mean(weights @ of_users.T))


def _log_softmax(vectors: FloatArray) -> FloatArray:
  shifted = np.asarray(vectors, np.float64) - np.max(vectors, axis=1, keepdims=True)
  return shifted - np.log(np.sum(np.exp(shifted), axis=1, keepdims=True))


def uniformity(items: FloatArray) -> float:
  """Mean Euclidean distance over all pairs of item vectors `[M, d]`, M >= 2, what UNION judges clients by."""
  items = np.asarray(items, np.float64)
  total = sum(np.linalg.norm(items[:place] - items[place], axis=1).sum() for place in range(1, len(items)))
  return float(total / (len(items) * (len(items) - 1) / 2))
