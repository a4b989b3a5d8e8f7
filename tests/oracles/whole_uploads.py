"""Robust rules over whole uploads: each client is one vector of all M * d item gradients.

This is how the rules were first stated (Yin et al., 2018; Blanchard et al., 2017; Sun et al., 2019)
and how ClusterAttack's server sees its clients: an item that a client did not send is a block of
zeros like any other. Everything is dense, [n, M * d] for the n clients that take part, in float64.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np

TrimReading = Literal["extremes", "around_median"]
TooFew = Literal["median", "zero"]


def dense(
  uploads: Sequence[tuple[int, int, np.ndarray]],
  clients: Sequence[int],
  num_items: int,
  dimension: int,
) -> np.ndarray:
  """Whole uploads as a matrix.

  Args:
    uploads: (client, item, row [d]); rows of one client for one item add up.
    clients: all clients of the round, also those that sent nothing.
    num_items: M.
    dimension: d.

  Returns:
    [n, M * d], in the order of `clients`.
  """
  place = {client: number for number, client in enumerate(clients)}
  table = np.zeros((len(clients), num_items, dimension))
  for client, item, row in uploads:
    table[place[client], item] += row
  return table.reshape(len(clients), num_items * dimension)


def with_shared(vectors: np.ndarray, gradients: Sequence[np.ndarray]) -> np.ndarray:
  """Whole uploads of a model with parameters that all items share, such as an NCF's weights.

  Args:
    vectors: [n, M * d], the item gradients.
    gradients: [n, ...] for each such parameter; zeros for clients that did not send it.

  Returns:
    [n, M * d + s] for s numbers in all of these parameters.
  """
  return np.concatenate([vectors, *(one.reshape(len(vectors), -1) for one in gradients)], axis=1)


def norms(vectors: np.ndarray) -> np.ndarray:
  """L2 norm of each client's vector. Returns [n]."""
  return np.sqrt(np.sum(vectors**2, axis=1))


def inner_products(vectors: np.ndarray) -> np.ndarray:
  """<x_i, x_j> of all pairs. Returns [n, n]."""
  products = [np.sum(vectors * one, axis=1) for one in vectors]
  return np.array(products).reshape(len(vectors), len(vectors))


def distances(vectors: np.ndarray, *, squared: bool) -> np.ndarray:
  """|x_i - x_j| of all pairs, or its square, from the differences themselves. Returns [n, n]."""
  squares = [np.sum((vectors - one) ** 2, axis=1) for one in vectors]
  result = np.array(squares).reshape(len(vectors), len(vectors))
  return result if squared else np.sqrt(result)


def sum_(vectors: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
  """Sum over clients of w_c x_c, with w_c = 1 unless given (such as sample counts). Returns
  [M * d].
  """
  total = np.zeros(vectors.shape[1])
  for number, vector in enumerate(vectors):
    total += vector if weights is None else weights[number] * vector
  return total


def mean(vectors: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
  """Sum of w_c x_c over the sum of w_c, of all clients of the round: FedAvg's average for sample
  counts w_c. Returns [M * d], zeros if the weights sum to zero.
  """
  total = float(len(vectors) if weights is None else np.sum(weights))
  return sum_(vectors, weights) / total if total else np.zeros(vectors.shape[1])


def median(vectors: np.ndarray) -> np.ndarray:
  """Median of every coordinate; for an even n the mean of the two in the middle. Returns
  [M * d].
  """
  count = len(vectors)
  if count == 0:
    return np.zeros(vectors.shape[1])
  ascending = np.sort(vectors, axis=0)
  return (ascending[(count - 1) // 2] + ascending[count // 2]) / 2


def _without_extremes(vectors: np.ndarray, trimmed: int) -> np.ndarray:
  ascending = np.sort(vectors, axis=0)
  return np.mean(ascending[trimmed : len(vectors) - trimmed], axis=0)


def _around_median(vectors: np.ndarray, trimmed: int) -> np.ndarray:
  count = len(vectors)
  ascending = np.sort(vectors, axis=0)
  twice_the_median = ascending[(count - 1) // 2] + ascending[count // 2]
  result = np.zeros(vectors.shape[1])
  for coordinate, values in enumerate(vectors.T):
    # Nearest first; of equally near ones the smaller. Twice the distance needs no division.
    nearest_first = np.lexsort((values, np.abs(2 * values - twice_the_median[coordinate])))
    result[coordinate] = np.mean(values[nearest_first[: count - trimmed]])
  return result


def trimmed_mean(
  vectors: np.ndarray, trimmed: int, reading: TrimReading, *, too_few: TooFew = "median"
) -> np.ndarray:
  """Coordinate-wise trimmed mean over all clients.

  Args:
    vectors: [n, M * d]. Which value is nearer the median is decided in float64: exact for short
      binary fractions, not for decimal ones.
    trimmed: f.
    reading: "extremes" leaves out the f smallest and the f largest values; "around_median" keeps
      the n - f values nearest the median, the smaller of two equally near ones.
    too_few: what to return if nothing is left.

  Returns:
    [M * d].
  """
  left = len(vectors) - (2 * trimmed if reading == "extremes" else trimmed)
  if left <= 0:
    return median(vectors) if too_few == "median" else np.zeros(vectors.shape[1])
  keep = _without_extremes if reading == "extremes" else _around_median
  return keep(vectors, trimmed)


def norm_bound(vectors: np.ndarray, max_norm: float) -> np.ndarray:
  """Each client's vector, scaled down to the norm `max_norm` if it is longer. Returns
  [n, M * d].
  """
  result = vectors.copy()
  for number, norm in enumerate(norms(vectors)):
    if norm > max_norm:
      result[number] *= max_norm / norm
  return result
