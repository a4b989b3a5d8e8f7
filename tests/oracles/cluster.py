"""ClusterAttack (Yu et al., AAAI 2023), section 4.1: k-means, the loss of Eq. 2, the bounds of Eq. 3
and the number of clusters of Algorithm 1; and the gradient of ClusterAttack+CL (section 5.4).

All draws (first centres, the random shares of the bounds, contrasts) are arguments. Where the
published code differs from the paper, both readings are given.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tests.oracles.union import contrastive_task


class Clustering(NamedTuple):
  """Centres [K, d], the cluster of each row [M], and the iterations it took."""

  centers: np.ndarray
  labels: list[int]
  iterations: int


def nearest(row: np.ndarray, centers: np.ndarray) -> int:
  """The centre at the smallest Euclidean distance; the first of several."""
  distances = [math.sqrt(sum((a - b) ** 2 for a, b in zip(row, one))) for one in centers]
  return distances.index(min(distances))


def lloyd(
  rows: np.ndarray, centers: np.ndarray, tolerance: float = 1e-4, limit: int = 300
) -> Clustering:
  """Lloyd's iterations: assign rows [M, d], move each centre [K, d] to the mean of its rows.

  A centre without rows stays. They end when the Euclidean length of all centres' shifts together is
  below the tolerance, or after `limit` of them.
  """
  centers = np.array(centers, float)
  labels: list[int] = []
  iterations, shift = 0, math.inf
  while shift >= tolerance and iterations < limit:
    iterations += 1
    labels = [nearest(row, centers) for row in rows]
    moved = centers.copy()
    for cluster in range(len(centers)):
      members = [row for row, label in zip(rows, labels, strict=True) if label == cluster]
      if members:
        moved[cluster] = np.mean(members, axis=0)
    shift = math.sqrt(((moved - centers) ** 2).sum())
    centers = moved
  return Clustering(centers, labels, iterations)


def attack_loss(rows: np.ndarray, found: Clustering, per_cluster: bool = False) -> float:
  """Eq. 2; the published code divides it by the number of clusters."""
  total = 0.0
  for row, label in zip(rows, found.labels, strict=True):
    total += float(((row - found.centers[label]) ** 2).sum())
  return total / len(found.centers) if per_cluster else total


def attack_gradient(
  rows: np.ndarray, found: Clustering, per_cluster: bool = False
) -> np.ndarray:
  """Gradient of `attack_loss` by the rows [M, d], the centres being constants."""
  gradient = np.array(
    [2 * (row - found.centers[label]) for row, label in zip(rows, found.labels, strict=True)]
  )
  return gradient / len(found.centers) if per_cluster else gradient


def norm_statistics(
  uploads: Sequence[dict[int, np.ndarray]], num_items: int, all_rows: bool
) -> tuple[float, float]:
  """Mean and standard deviation (over n - 1) of the norms of honest item gradients.

  Args:
    uploads: the gradient of each item that a sampled client touches, one dict for each of them.
    num_items: M.
    all_rows: whether the M rows of each client's dense gradient count (published code), those of
      untouched items being zero, or only touched ones.
  """
  norms = []
  for upload in uploads:
    for item in range(num_items):
      if item in upload:
        norms.append(math.sqrt(float(upload[item] @ upload[item])))
      elif all_rows:
        norms.append(0.0)
  if not norms:
    return 0.0, 0.0
  mean = sum(norms) / len(norms)
  if len(norms) == 1:
    return mean, 0.0
  return mean, math.sqrt(sum((one - mean) ** 2 for one in norms) / (len(norms) - 1))


def bounded_row(gradient: np.ndarray, bound: float, rescale: bool) -> np.ndarray:
  """Eq. 3; the published code multiplies by bound / (norm + 1e-8) whether the row is long or not."""
  norm = math.sqrt(float(gradient @ gradient))
  if rescale:
    return gradient * (bound / (norm + 1e-8))
  if norm == 0:
    return np.zeros_like(gradient)
  if bound == 0:
    return np.zeros_like(gradient)
  return gradient / max(1.0, norm / bound)


def malicious_upload(
  gradient: np.ndarray,
  shares: np.ndarray,
  mean: float,
  deviation: float,
  most: float,
  rescale: bool,
) -> np.ndarray:
  """What one client uploads, [M, d]; lambda of row i is `most` times shares[i]."""
  return np.array(
    [
      bounded_row(row, mean + most * share * deviation, rescale)
      for row, share in zip(gradient, shares, strict=True)
    ]
  )


class AdaptiveCount:
  """Algorithm 1 with the comparison of the corrected average to the one before it.

  The first loss after a change has no average before it and is not counted (published code).
  """

  def __init__(
    self,
    number: int,
    *,
    smallest: int = 1,
    largest: int = 50,
    threshold: float = 100,
    growth: float = 0.0,
    decay: float = 0.999,
    floor: bool = False,
  ):
    self.number = number
    self.smallest, self.largest = smallest, largest
    self.threshold, self.growth, self.decay = threshold, growth, decay
    self.whole = math.floor if floor else round
    self._reset()

  def _reset(self) -> None:
    self.rising = self.falling = self.time = 0
    self.moving = 0.0
    self.corrected = 0.0

  def see(self, loss: float) -> int:
    """One round of attack; returns the number of clusters after it."""
    self.time += 1
    self.moving = self.decay * self.moving + (1 - self.decay) * loss
    corrected = self.moving / (1 - self.decay**self.time)
    if self.time > 1:
      if corrected > self.corrected:
        self.rising += 1
      else:
        self.falling += 1
    self.corrected = corrected
    if self.rising - self.falling >= self.threshold:
      step = math.sqrt(self.largest - self.number)
      self.number = min(self.whole(self.number + step), self.largest)
    elif self.falling - self.rising >= self.threshold:
      step = math.sqrt(self.number - self.smallest)
      self.number = max(self.whole(self.number - step), self.smallest)
    else:
      return self.number
    self.threshold *= 1 + self.growth
    self._reset()
    return self.number


def with_contrastive_task(
  gradient: np.ndarray,
  rows: np.ndarray,
  items: Sequence[int],
  partners: Sequence[int],
  negatives: Sequence[Sequence[int]],
  *,
  weight: float = 1.0,
  temperature: float = 1.0,
  reduction: str = "sum",
) -> np.ndarray:
  """Gradient of L_attack + alpha L_cl by the rows [M, d], for a client with the given items."""
  total = gradient.copy()
  _, slopes = contrastive_task(
    rows, items, partners, negatives, weight=weight, temperature=temperature, reduction=reduction
  )
  for item, slope in slopes.items():
    total[item] += slope
  return total
