"""UNION (Yu et al., AAAI 2023), section 4.2: the contrastive task of a client, and the filter.

All draws (partners, negatives, sampled items, reference sets) are arguments. Where the published
code measures or tries something else than Algorithms 2 and 3, both readings are given.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

DECAY = (0.9, 0.999)
EPSILON = 1e-8


def feature(row: np.ndarray, normalized: bool) -> np.ndarray:
  """f of Eq. 4 for matrix factorisation: the item's vector [d], or its direction (0 if zero)."""
  length = math.sqrt(float(row @ row))
  if not normalized:
    return row
  return row / length if length > 0 else np.zeros_like(row)


def _back_through_feature(gradient: np.ndarray, row: np.ndarray, normalized: bool) -> np.ndarray:
  """Gradient by the row from the gradient by its feature: the Jacobian is (I - f f') / |row|."""
  length = math.sqrt(float(row @ row))
  if not normalized:
    return gradient
  if length == 0:
    return np.zeros_like(row)
  jacobian = (np.eye(len(row)) - np.outer(row, row) / length**2) / length
  return jacobian @ gradient


def info_nce(
  anchor: np.ndarray,
  partner: np.ndarray,
  negatives: np.ndarray,
  temperature: float = 1.0,
  normalized: bool = False,
) -> float:
  """One term of Eq. 4: anchor [d], partner [d], negatives [P, d]."""
  anchor = feature(anchor, normalized)
  similarities = [float(anchor @ feature(one, normalized)) for one in (partner, *negatives)]
  numerator = math.exp(similarities[0] / temperature)
  return -math.log(numerator / sum(math.exp(one / temperature) for one in similarities))


class Slopes(NamedTuple):
  """Gradients of `info_nce` by anchor [d], partner [d] and negatives [P, d]."""

  anchor: np.ndarray
  partner: np.ndarray
  negatives: np.ndarray


def info_nce_gradient(
  anchor: np.ndarray,
  partner: np.ndarray,
  negatives: np.ndarray,
  temperature: float = 1.0,
  normalized: bool = False,
) -> Slopes:
  """Gradients of `info_nce`.

  With shares p_j = exp(s_j / t) / sum exp(s / t) the loss is -log p_0, so that its slope by s_0 is
  (p_0 - 1) / t and by another s_j is p_j / t; and s_j is a product of two features.
  """
  rows = np.array([partner, *negatives])
  features = np.array([feature(row, normalized) for row in rows])
  own = feature(anchor, normalized)
  weights = np.exp(features @ own / temperature)
  slopes = weights / weights.sum()
  slopes[0] -= 1.0
  slopes /= temperature
  by_row = [
    _back_through_feature(slope * own, row, normalized)
    for slope, row in zip(slopes, rows, strict=True)
  ]
  by_anchor = _back_through_feature(slopes @ features, anchor, normalized)
  return Slopes(by_anchor, by_row[0], np.array(by_row[1:]).reshape(-1, len(anchor)))


def contrastive_task(
  table: np.ndarray,
  positives: Sequence[int],
  partners: Sequence[int],
  negatives: Sequence[Sequence[int]],
  *,
  weight: float = 1.0,
  temperature: float = 1.0,
  normalized: bool = False,
  reduction: str = "sum",
) -> tuple[float, dict[int, np.ndarray]]:
  """Eq. 4 over a client's items, times alpha.

  Args:
    table: [M, d].
    positives: the client's L items, each an anchor once.
    partners: for each anchor, the place (0..L-1) of the positive sample among them.
    negatives: for each anchor, P items.
    weight: alpha.
    temperature: 1 in Eq. 4.
    normalized: cosine instead of inner products.
    reduction: "sum" is Eq. 4; "mean" divides by L.

  Returns:
    The loss and the gradient of each item that occurs, item -> [d]. A client with fewer than two
    items has no positive sample and hence no task: 0 and nothing.
  """
  gradients: dict[int, np.ndarray] = {}
  if len(positives) < 2:
    return 0.0, gradients
  factor = weight / len(positives) if reduction == "mean" else weight
  loss = 0.0
  for item, partner, others in zip(positives, partners, negatives, strict=True):
    rows = (table[item], table[positives[partner]], table[list(others)])
    loss += factor * info_nce(*rows, temperature, normalized)
    slopes = info_nce_gradient(*rows, temperature, normalized)
    items = [item, positives[partner], *others]
    for one, slope in zip(items, [slopes.anchor, slopes.partner, *slopes.negatives], strict=True):
      gradients[one] = gradients.get(one, 0.0) + factor * slope
  return loss, gradients


class Adam(NamedTuple):
  """The server's optimiser (Kingma and Ba, 2015) before a step: both moments [M, d], steps done."""

  first: np.ndarray
  second: np.ndarray
  steps: int


def trial_rows(
  table: np.ndarray,
  sampled: Sequence[int],
  upload: dict[int, np.ndarray],
  learning_rate: float,
  adam: Adam | None = None,
) -> np.ndarray:
  """Algorithm 2, line 2: the sampled items' vectors after a step with one client's upload alone.

  Args:
    table: [M, d].
    sampled: T item ids, repeats allowed.
    upload: gradients by item; others are zero.
    learning_rate: eta.
    adam: None is Algorithm 2, v - eta g; else the step that this optimiser would take.

  Returns:
    [T, d].
  """
  rows = []
  for item in sampled:
    gradient = upload.get(item, np.zeros(table.shape[1]))
    if adam is None:
      rows.append(table[item] - learning_rate * gradient)
      continue
    step = adam.steps + 1
    first = (DECAY[0] * adam.first[item] + (1 - DECAY[0]) * gradient) / (1 - DECAY[0] ** step)
    second = (DECAY[1] * adam.second[item] + (1 - DECAY[1]) * gradient**2) / (1 - DECAY[1] ** step)
    rows.append(table[item] - learning_rate * first / (np.sqrt(second) + EPSILON))
  return np.array(rows)


def uniformity(rows: np.ndarray, *, squared: bool) -> float:
  """Algorithm 2, line 3: mean over all pairs of rows [T, d], T >= 2.

  Of squared distances (Eq. 6), or of distances (published code).
  """
  total = 0.0
  for later in range(1, len(rows)):
    for row in rows[:later]:
      square = float(((rows[later] - row) ** 2).sum())
      total += square if squared else math.sqrt(square)
  return 2.0 * total / (len(rows) * (len(rows) - 1))


def within(groups: Sequence[np.ndarray]) -> float:
  """Algorithm 3, line 4: squared distances to each group's mean, added up."""
  return float(sum(((group - group.mean()) ** 2).sum() for group in groups if len(group)))


def best_split(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """2-means of numbers on a line, exactly: the best of all cuts of the sorted numbers.

  Returns:
    The lower and the upper group. Of equally good cuts (to twelve digits) it is the lowest. Numbers
    that are all equal, or fewer than two, are not cut: the upper group is empty.
  """
  values = np.sort(values)
  cuts = [cut for cut in range(1, len(values)) if values[cut] > values[cut - 1]]
  if not cuts:
    return values, values[:0]
  best = min(cuts, key=lambda cut: round(within([values[:cut], values[cut:]]), 12))
  return values[:best], values[best:]


def min_max(values: np.ndarray) -> np.ndarray:
  """Algorithm 3, line 1; zeros where all values are equal, which the paper leaves open."""
  spread = values.max() - values.min()
  return (values - values.min()) / spread if spread > 0 else np.zeros_like(values)


def is_two_clusters(values: np.ndarray, references: np.ndarray) -> bool:
  """Algorithm 3.

  The paper does not say what log 0 is. Two different values among three or more leave w_2 = 0: the
  gap of two clusters is infinite, and there are two. Equal values and fewer than three values are
  one cluster.

  Args:
    values: n numbers.
    references: [B, n], drawn from [0, 1].
  """
  if len(values) < 3 or values.max() == values.min():
    return False
  values = min_max(values)
  lower, upper = best_split(values)
  of_two = within([lower, upper])
  if of_two == 0:
    return True
  logs = [
    [math.log(within([one])), math.log(within(best_split(one)))] for one in references
  ]
  mean = np.mean(logs, axis=0)
  gap = [mean[0] - math.log(within([values])), mean[1] - math.log(of_two)]
  size = len(references)
  spread = math.sqrt(
    (1 + size) / size**2 * sum((of_two_groups - mean[1]) ** 2 for _, of_two_groups in logs)
  )
  return bool(gap[0] < gap[1] - spread)


def rejected(values: Sequence[float], references: np.ndarray, known: int = 0) -> set[int]:
  """Algorithm 2, lines 5 to 11: which of n clients are filtered out.

  Args:
    values: their uniformities.
    references: [B, n].
    known: the published code's f: a smaller cluster of at most f clients goes in any case. 0 is the
      paper's rule.

  Returns:
    Clients by place. Of two clusters of one size, which the paper leaves open, that of the larger
    values.
  """
  values = np.asarray(values, float)
  if len(values) == 0:
    return set()
  lower, upper = best_split(min_max(values))
  if len(upper) == 0:
    return set()
  above = min_max(values) >= upper.min()
  smaller = above if len(upper) <= len(lower) else ~above
  if is_two_clusters(values, references) or smaller.sum() <= known:
    return set(np.flatnonzero(smaller).tolist())
  return set()


def known_attackers(clients: int, ratio: float) -> int:
  """f of the published code: the attackers' share of a round, rounded up (in exact thousandths)."""
  return -(-clients * round(1000 * ratio) // 1000)
