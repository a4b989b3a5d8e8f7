"""Attacks on the statistics of honest gradients: LIE (Baruch et al., 2019), Fang et al. (2020) and its
Gaussian baseline, read for clients that send rows of single items.

An upload is (client, item, row [d]). A client's row for an item is the sum of what it sent for it. An
item's statistics are over the clients that sent it; or over all that sent anything, with zero rows
for the others.
"""

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from scipy import stats

from tests.oracles import krum

Upload = tuple[int, int, np.ndarray]
Direction = Literal["minus", "plus", "against"]


def rows_by_item(uploads: Sequence[Upload], *, zeros: bool = False) -> dict[int, np.ndarray]:
  """Rows [n, d] of every item that anybody sent, one for each client, clients by number."""
  summed: dict[int, dict[int, np.ndarray]] = {}
  for client, item, row in uploads:
    of_item = summed.setdefault(item, {})
    of_item[client] = of_item.get(client, 0.0) + np.asarray(row, float)
  if zeros:
    everybody = {client for client, _, _ in uploads}
    for of_item in summed.values():
      nothing = np.zeros_like(next(iter(of_item.values())))
      for client in everybody:
        of_item.setdefault(client, nothing)
  return {
    item: np.array([of_item[client] for client in sorted(of_item)])
    for item, of_item in summed.items()
  }


def mean_and_deviation(rows: np.ndarray, *, sample: bool = False) -> tuple[np.ndarray, np.ndarray]:
  """Of each coordinate of [n, d]; the deviation of a single row is 0 in either form."""
  mean = sum(rows) / len(rows)
  squares = sum((row - mean) ** 2 for row in rows)
  divisor = len(rows) - 1 if sample else len(rows)
  return mean, np.sqrt(squares / max(divisor, 1))


def largest_z(clients: int, malicious: int, otherwise: float) -> float:
  """z_max of Algorithm 3, at least 0.

  s = floor(n / 2 + 1) - m more clients make a majority with the m attackers. Of the n - m honest ones
  all but s must be nearer to the mean: the quantile of (n - m - s) / (n - m). Without need of others
  (s <= 0) there is no bound, and `otherwise` is returned.
  """
  supporters = math.floor(clients / 2 + 1) - malicious
  if supporters <= 0:
    return otherwise
  honest = clients - malicious
  if honest <= supporters:
    return 0.0
  return max(float(stats.norm.ppf((honest - supporters) / honest)), 0.0)


def lie_row(
  rows: np.ndarray, z: float, direction: Direction, *, sample: bool = False
) -> np.ndarray:
  """The row that all attackers send; "against" goes from each coordinate's mean towards zero."""
  mean, deviation = mean_and_deviation(rows, sample=sample)
  result = np.zeros(len(mean))
  for j, (middle, spread) in enumerate(zip(mean, deviation, strict=True)):
    if direction == "plus" or (direction == "against" and middle < 0):
      result[j] = middle + z * spread
    elif direction == "minus" or middle > 0:
      result[j] = middle - z * spread
  return result


def clipped(wanted: np.ndarray, rows: np.ndarray, z: float, *, sample: bool = False) -> np.ndarray:
  """A malicious row whose coordinates may be z deviations from the mean of honest rows [n, d]."""
  mean, deviation = mean_and_deviation(rows, sample=sample)
  low, high = mean - z * deviation, mean + z * deviation
  return np.array(
    [
      min(max(value, bottom), top)
      for value, bottom, top in zip(wanted, low, high, strict=True)
    ]
  )


def partial_interval(
  rows: np.ndarray, nearest: float, farthest: float, *, sample: bool = False
) -> tuple[np.ndarray, np.ndarray]:
  """Fang et al., 4.3: lower and upper ends of the interval of each coordinate, from mean and deviation.

  Honest gradients that are positive on average are answered from below the mean, negative ones from
  above; at zero the mean is sent.
  """
  mean, deviation = mean_and_deviation(rows, sample=sample)
  low, high = mean.copy(), mean.copy()
  for j, sign in enumerate(np.sign(mean)):
    if sign > 0:
      low[j], high[j] = mean[j] - farthest * deviation[j], mean[j] - nearest * deviation[j]
    if sign < 0:
      low[j], high[j] = mean[j] + nearest * deviation[j], mean[j] + farthest * deviation[j]
  return low, high


def full_interval(rows: np.ndarray, factor: float) -> tuple[np.ndarray, np.ndarray]:
  """Fang et al., 4.3, full knowledge: beyond the smallest or largest honest value of each coordinate."""
  low, high = np.zeros(rows.shape[1]), np.zeros(rows.shape[1])
  for j, column in enumerate(rows.T):
    smallest, largest, average = column.min(), column.max(), column.mean()
    if average > 0 and smallest > 0:
      low[j], high[j] = smallest / factor, smallest
    elif average > 0:
      low[j], high[j] = factor * smallest, smallest
    elif average < 0 and largest > 0:
      low[j], high[j] = largest, factor * largest
    elif average < 0:
      low[j], high[j] = largest, largest / factor
  return low, high


def against_krum(
  rows: np.ndarray, copies: int, *, threshold: float, from_mean: bool = False
) -> tuple[np.ndarray, float]:
  """Fang et al., 4.2: the row center - length * sign(mean) of which Krum selects a copy, and the length.

  Krum is applied in full to the honest rows and all copies, of which it distrusts as many. The first
  length is the bound of Theorem 1,
  sqrt(min_i sum of the n - c - 2 smallest D(w_i, w_l)^2 / ((n - 2 c - 1) d)) + max_i D(w_i, w) / sqrt(d),
  with n rows in all, c of them copies, w the center; the number of summands is at least one where there is
  another honest row, the divisor at least d. It is halved until a copy scores below all honest rows
  or it is below the threshold.

  Args:
    rows: honest rows [n - c, d].
    copies: c, at least one.
    threshold: see above.
    from_mean: whether the center is the mean of the honest rows, and not zero.
  """
  honest, dim = rows.shape
  count = honest + copies
  direction = np.sign(rows.mean(axis=0))
  center = rows.mean(axis=0) if from_mean else np.zeros(dim)
  squares = krum.pairwise(rows, squared=True)
  summed = []
  for row in range(honest):
    others = np.sort(np.delete(squares[row], row))
    summed.append(others[: max(count - copies - 2, 1)].sum())
  length = math.sqrt(min(summed) / (max(count - 2 * copies - 1, 1) * dim))
  length += max(np.linalg.norm(row - center) for row in rows) / math.sqrt(dim)
  while length >= threshold:
    crafted = center - length * direction
    everything = np.concatenate([rows, np.tile(crafted, (copies, 1))])
    score = krum.scores(krum.pairwise(everything, squared=True), range(count), copies, "n-f-2")
    if score[honest] < min(score[row] for row in range(honest)):
      break
    length /= 2
  return center - length * direction, length
