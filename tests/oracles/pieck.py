"""PIECK (Zhang et al., ICDE) on matrix factorisation: popular item mining, PIECK-IPE, PIECK-UEA.

The paper and the published code differ at several points. Both readings are given, under names:
the paper's is Algorithm 1, Eq. 8 and Eq. 10; the published one is the notes on that code, sections
6 to 8.
"""

import itertools
from collections.abc import Sequence
from typing import Literal

import numpy as np

from tests.oracles.logistic import negative_log_sigmoid, sigmoid

Weighting = Literal["subset", "list", "ones", "equal"]
Metric = Literal["cosine", "kl"]
Reading = Literal["paper", "published"]


def delta_norm_mining(
  tables: Sequence[np.ndarray], num_popular: int, exclude: Sequence[int]
) -> list[int]:
  """Algorithm 1: the items whose vectors moved most, summed over consecutive participations.

  Args:
    tables: R + 1 tables [M, d], as received at consecutive participations of one malicious client.
    num_popular: N.
    exclude: items that are never chosen. Algorithm 1 excludes none.

  Returns:
    N item ids, the largest accumulated Delta-Norm first; ties go to the smaller id.

  Raises:
    ValueError: if fewer than N items are left after the exclusion.
  """
  num_items = len(tables[0])
  delta_norm = [0.0] * num_items
  for earlier, later in itertools.pairwise(tables):
    for item in range(num_items):
      delta_norm[item] += float(np.linalg.norm(later[item] - earlier[item]))
  candidates = [item for item in range(num_items) if item not in exclude]
  if len(candidates) < num_popular:
    raise ValueError(f"cannot choose {num_popular} of {len(candidates)} items")
  return sorted(candidates, key=lambda item: (-delta_norm[item], item))[:num_popular]


def mine_published(
  first: np.ndarray, second: np.ndarray, targets: Sequence[int], num_popular: int
) -> list[int]:
  """Mining as in the published code: a single difference, the targets excluded.

  Args:
    first: [M, d], received at the first participation.
    second: [M, d], received at the second.
    targets: target items.
    num_popular: N.

  Returns:
    N item ids in rank order, ties to the smaller id (the code leaves ties to its top-k routine).
  """
  return delta_norm_mining([first, second], num_popular, targets)


def cosine(popular_item: np.ndarray, target: np.ndarray) -> float:
  """cos(v_k, v_j) of two vectors [d]; 0 if one of them is zero, which the paper leaves open."""
  product = float(np.linalg.norm(popular_item) * np.linalg.norm(target))
  if product == 0.0:
    return 0.0
  return float(popular_item @ target) / product


def cosine_gradient(popular_item: np.ndarray, target: np.ndarray) -> np.ndarray:
  """Gradient [d] of `cosine` with respect to the target.

  With a = v_k and b = v_j, cos = a.b / (|a| |b|). The quotient rule with d|b|/db = b / |b| gives
  a / (|a| |b|) - (a.b) b / (|a| |b|^3) = a / (|a| |b|) - cos * b / |b|^2. Zero if a vector is zero.
  """
  popular_norm = float(np.linalg.norm(popular_item))
  target_norm = float(np.linalg.norm(target))
  if popular_norm * target_norm == 0.0:
    return np.zeros_like(target)
  similarity = cosine(popular_item, target)
  return popular_item / (popular_norm * target_norm) - similarity * target / target_norm**2


def split_popular(target: np.ndarray, popular: np.ndarray) -> tuple[list[int], list[int]]:
  """P+ and P- of section IV-C.

  Args:
    target: [d].
    popular: [N, d] in rank order.

  Returns:
    Positions in `popular` with cos > 0, and those with cos <= 0, each in rank order.
  """
  positive, negative = [], []
  for position, popular_item in enumerate(popular):
    if cosine(popular_item, target) > 0.0:
      positive.append(position)
    else:
      negative.append(position)
  return positive, negative


def softmax(vector: np.ndarray) -> np.ndarray:
  """The distribution [d] of a vector [d]."""
  powers = np.exp(vector - vector.max())
  return powers / powers.sum()


def divergence(popular_item: np.ndarray, target: np.ndarray) -> float:
  """KL(v_k, v_j) of Eq. 9: sum over the d places of p log(p / q), p and q the two softmaxes."""
  p, q = softmax(popular_item), softmax(target)
  return float(sum(p[place] * np.log(p[place] / q[place]) for place in range(len(p))))


def closeness(popular_item: np.ndarray, target: np.ndarray, metric: Metric) -> float:
  """What the attack makes large: the cosine, or for "kl" minus the divergence."""
  if metric == "cosine":
    return cosine(popular_item, target)
  return -divergence(popular_item, target)


def closeness_gradient(popular_item: np.ndarray, target: np.ndarray, metric: Metric) -> np.ndarray:
  """Gradient [d] of `closeness` with respect to the target.

  Of KL(p, softmax(b)) only the sum of -p log softmax(b) depends on b; its derivative is
  softmax(b) - p.
  """
  if metric == "cosine":
    return cosine_gradient(popular_item, target)
  return softmax(popular_item) - softmax(target)


def subsets(target: np.ndarray, popular: np.ndarray, partition: bool) -> list[list[int]]:
  """P+ and P-, or without the partition all positions as one."""
  return list(split_popular(target, popular)) if partition else [list(range(len(popular)))]


def ipe_weights(subset: Sequence[int], num_popular: int, weighting: Weighting) -> list[float]:
  """kappa of Eq. 8 for the members of P+ or P-.

  Args:
    subset: positions in the mined list, in rank order.
    num_popular: N, the length of the mined list.
    weighting: "subset" ranks the members inside the subset, r = 1..n, and normalises there:
      (n - r + 1) / (n (n + 1) / 2). "list" takes rank and normalisation from the whole list, so
      the weights of a subset do not sum to 1. Without kappa (Table VI) "ones" leaves the factor
      out, and "equal" puts 1 / n in its place.

  Returns:
    One weight per member.
  """
  if weighting in ("ones", "equal"):
    return [1.0 if weighting == "ones" else 1.0 / len(subset) for _ in subset]
  weights = []
  for rank_in_subset, position in enumerate(subset, start=1):
    if weighting == "subset":
      rank, size = rank_in_subset, len(subset)
    else:
      rank, size = position + 1, num_popular
    weights.append((size - rank + 1) / (size * (size + 1) / 2))
  return weights


def ipe_loss(
  target: np.ndarray,
  popular: np.ndarray,
  strength: float,
  weighting: Weighting,
  *,
  num_targets: int = 1,
  metric: Metric = "cosine",
  partition: bool = True,
) -> float:
  """One target's term of Eq. 8.

  -(1 / |T|) * sum over P+ and P- of lambda * sum_k kappa(v_k) cos(v_k, v_j) / |P*|. An empty subset
  contributes 0. Both readings divide by |P*| on top of the normalised weights, as Eq. 8 does.

  Args:
    target: [d].
    popular: [N, d] in rank order, constants.
    strength: lambda.
    weighting: see `ipe_weights`.
    num_targets: |T|.
    metric: see `closeness`.
    partition: see `subsets`.

  Returns:
    The loss.
  """
  loss = 0.0
  for subset in subsets(target, popular, partition):
    weights = ipe_weights(subset, len(popular), weighting)
    for weight, position in zip(weights, subset, strict=True):
      loss -= strength * weight * closeness(popular[position], target, metric) / len(subset)
  return loss / num_targets


def ipe_gradient(
  target: np.ndarray,
  popular: np.ndarray,
  strength: float,
  weighting: Weighting,
  *,
  num_targets: int = 1,
  metric: Metric = "cosine",
  partition: bool = True,
) -> np.ndarray:
  """Gradient [d] of `ipe_loss` with respect to the target, the row uploaded by Algorithm 2.

  The split into P+ and P- is piecewise constant in the target, so only the cosines are
  differentiated. Arguments as for `ipe_loss`.
  """
  gradient = np.zeros_like(target)
  for subset in subsets(target, popular, partition):
    weights = ipe_weights(subset, len(popular), weighting)
    for weight, position in zip(weights, subset, strict=True):
      slope = closeness_gradient(popular[position], target, metric)
      gradient = gradient - strength * weight * slope / len(subset)
  return gradient / num_targets


def _mean_label_one_loss(target: np.ndarray, users: np.ndarray) -> float:
  total = 0.0
  for user in users:
    total += negative_log_sigmoid(float(user @ target))
  return total / len(users)


def _mean_label_one_gradient(target: np.ndarray, users: np.ndarray) -> np.ndarray:
  total = np.zeros_like(target)
  for user in users:
    # d/dv of -log sigmoid(u . v) is (sigmoid(u . v) - 1) u.
    total = total + (sigmoid(float(user @ target)) - 1.0) * user
  return total / len(users)


def uea_batches(popular: np.ndarray, num_batches: int) -> list[np.ndarray]:
  """The mined list [N, d] cut in rank order, as in the published code.

  Returns:
    `num_batches` arrays [N // num_batches, d]. The N % num_batches last items are not used.

  Raises:
    ValueError: if there are fewer items than batches.
  """
  batch_size = len(popular) // num_batches
  if batch_size == 0:
    raise ValueError(f"{len(popular)} popular items do not fill {num_batches} batches")
  return [popular[batch * batch_size : (batch + 1) * batch_size] for batch in range(num_batches)]


def uea_loss(
  target: np.ndarray,
  popular: np.ndarray,
  reading: Reading,
  num_batches: int = 5,
  repeats: int = 3,
  *,
  num_targets: int = 1,
) -> float:
  """One target's term of Eq. 10, the popular vectors standing in for users.

  Eq. 10 writes log Psi; Psi is a bare dot product in section III-A, whose logarithm need not exist,
  so Psi is read as sigmoid(v_k . v_j), the score that the loss of Eq. 2 sees.

  Args:
    target: [d].
    popular: [N, d] in rank order, constants.
    reading: "paper" is Eq. 10. "published" is the quantity whose gradient the published code
      uploads: its loop of `uea_gradient` run on losses instead of gradients.
    num_batches: used by "published" only.
    repeats: used by "published" only.
    num_targets: |T|.

  Returns:
    The loss.
  """
  if reading == "paper":
    return _mean_label_one_loss(target, popular) / num_targets
  accumulated = 0.0
  uploaded = 0.0
  for batch in uea_batches(popular, num_batches):
    for _ in range(repeats):
      accumulated += _mean_label_one_loss(target, batch) / (num_batches * num_targets)
      uploaded += accumulated / repeats
  return uploaded


def uea_gradient(
  target: np.ndarray,
  popular: np.ndarray,
  reading: Reading,
  num_batches: int = 5,
  repeats: int = 3,
  *,
  num_targets: int = 1,
) -> np.ndarray:
  """Gradient [d] of `uea_loss` with respect to the target, the row uploaded by Algorithm 3.

  "published" keeps the code's loop: each backward pass adds the gradient of one batch to a buffer
  that is never cleared, and 1 / repeats of the whole buffer is added to the upload each time. The
  target does not move in between. Arguments as for `uea_loss`.
  """
  if reading == "paper":
    return _mean_label_one_gradient(target, popular) / num_targets
  accumulated = np.zeros_like(target)
  uploaded = np.zeros_like(target)
  for batch in uea_batches(popular, num_batches):
    for _ in range(repeats):
      batch_gradient = _mean_label_one_gradient(target, batch)
      accumulated = accumulated + batch_gradient / (num_batches * num_targets)
      uploaded = uploaded + accumulated / repeats
  return uploaded
