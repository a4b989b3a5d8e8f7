"""What the simulator is timed against: one epoch of federated MF in plain NumPy, client by client and vectorised.

Both do the arithmetic of :func:`fedrecjax.simulation.round.train_round` for BCE with fixed negatives and plain sums;
the benchmark checks that all three arrive at the same item table before it believes any time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class NumpyRun(NamedTuple):
  """A run's training data and parameters as NumPy arrays; see :class:`fedrecjax.simulation.round.TrainingData`.

  Attributes:
    start: int `[clients]`.
    length: int `[clients]`.
    positive: int `[samples]`.
    negatives: int `[samples, q]`.
    private: float32 `[clients, d]`, changed in place.
    items: float32 `[M, d]`, changed in place.
    learning_rate: of server and clients.
  """

  start: np.ndarray
  length: np.ndarray
  positive: np.ndarray
  negatives: np.ndarray
  private: np.ndarray
  items: np.ndarray
  learning_rate: float


Aggregate = Callable[[np.ndarray], np.ndarray]


def _sigmoid(score: np.ndarray) -> np.ndarray:
  return 1 / (1 + np.exp(-score))


def client_by_client(run: NumpyRun, rounds: np.ndarray, aggregate: Aggregate | None = None) -> None:
  """Trains one epoch as published codes do: a loop over clients, and over items where a rule is given.

  Args:
    run: changed in place.
    rounds: clients of each round `[rounds, C]`; numbers from the number of clients on are empty places.
    aggregate: rows `[n, d]` of one item to its update `[d]`; None adds them up.
  """
  for clients in rounds:
    uploads = []
    for client in clients[clients < len(run.length)]:
      entries = slice(run.start[client], run.start[client] + run.length[client])
      if run.length[client] == 0:
        continue
      items = np.concatenate([run.positive[entries], run.negatives[entries].reshape(-1)])
      label = np.zeros(len(items), np.float32)
      label[: run.length[client]] = 1
      user, rows = run.private[client], run.items[items]
      error = (_sigmoid(rows @ user) - label) / len(items)
      unique, inverse = np.unique(items, return_inverse=True)
      uploads.append((unique, np.bincount(inverse, error).astype(np.float32)[:, None] * user))
      run.private[client] = user - run.learning_rate * (error @ rows)
    if aggregate is None:
      for unique, gradient in uploads:
        run.items[unique] -= run.learning_rate * gradient
    else:
      _apply_rule(run, uploads, aggregate)


def _apply_rule(run: NumpyRun, uploads: list[tuple[np.ndarray, np.ndarray]], aggregate: Aggregate) -> None:
  items = np.concatenate([unique for unique, _ in uploads])
  rows = np.concatenate([gradient for _, gradient in uploads])
  order = np.argsort(items, kind="stable")
  items, rows = items[order], rows[order]
  touched, first = np.unique(items, return_index=True)
  for item, group in zip(touched, np.split(rows, first[1:]), strict=True):
    run.items[item] -= run.learning_rate * aggregate(group)


def vectorised(run: NumpyRun, rounds: np.ndarray) -> None:
  """Trains one epoch with a few array operations per round; arguments as in :func:`client_by_client`."""
  for clients in rounds:
    clients = clients[clients < len(run.length)]
    length = run.length[clients]
    segment = np.repeat(np.arange(len(clients)), length)
    offset = np.arange(length.sum()) - np.repeat(np.cumsum(length) - length, length)
    sample = run.start[clients][segment] + offset
    items = np.concatenate([run.positive[sample][:, None], run.negatives[sample]], axis=1)
    users = run.private[clients]
    rows, own = run.items[items], users[segment]
    error = _sigmoid(np.einsum("sqd,sd->sq", rows, own))
    error[:, 0] -= 1
    error /= (length * items.shape[1])[segment][:, None]
    gradient = np.zeros_like(users)
    np.add.at(gradient, segment, np.einsum("sq,sqd->sd", error, rows))
    for_items = (error[..., None] * own[:, None]).reshape(-1, rows.shape[-1])
    np.add.at(run.items, items.reshape(-1), -run.learning_rate * for_items)
    run.private[clients] = users - run.learning_rate * gradient


def median_rule(rows: np.ndarray) -> np.ndarray:
  """Coordinate-wise median on the scale of a sum, by `np.median`."""
  return np.median(rows, axis=0) * len(rows)


def trimmed_rule(rows: np.ndarray) -> np.ndarray:
  """Mean without the 5 % largest and smallest values of each coordinate, on the scale of a sum, by `np.sort`."""
  trimmed = int(0.05 * len(rows))
  return np.sort(rows, axis=0)[trimmed : len(rows) - trimmed].mean(axis=0) * len(rows)


def krum_rule(rows: np.ndarray) -> np.ndarray:
  """The row nearest to its n - f - 2 nearest neighbours, f 5 % of n, on the scale of a sum, by a Gram matrix."""
  count = len(rows)
  neighbors = max(count - int(0.05 * count) - 2, 1)
  squares = (rows * rows).sum(axis=1)
  distances = squares[:, None] + squares - 2 * rows @ rows.T
  np.fill_diagonal(distances, np.inf)
  nearest = np.partition(distances, min(neighbors, count) - 1, axis=1)[:, :neighbors]
  return rows[nearest.sum(axis=1).argmin()] * count


RULES: dict[str, Aggregate | None] = {
  "none": None, "median": median_rule, "trimmed_mean": trimmed_rule, "krum": krum_rule,
}
