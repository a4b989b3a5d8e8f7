"""Federated LightGCN: propagation over the graph that one client has, with its matrix.

He et al., 2020, Eq. 7: E^(l+1) = A E^(l) with A_uv = 1 / sqrt(|N_u| |N_v|) for neighbours. PSMU
(Eq. 5 and 6) adds the layers up and puts NCF's network on top. A client's graph has its own
interactions alone: the user is linked to each of its items, and no item to anybody else. An
interaction that occurs twice is two nodes with the same vector.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from tests.oracles import models_ncf
from tests.oracles.models_ncf import Network
from tests.oracles.pair_loss import Loss, Reduction, loss_and_slopes

Combine = Literal["sum", "mean"]


def star(count: int) -> np.ndarray:
  """The normalised adjacency matrix of a user (node 0) with `count` items, [1 + n, 1 + n]."""
  links = np.zeros((count + 1, count + 1))
  links[0, 1:] = links[1:, 0] = 1.0
  degrees = links.sum(axis=1)
  normalised = np.zeros_like(links)
  for one, other in zip(*np.nonzero(links), strict=True):
    normalised[one, other] = 1 / np.sqrt(degrees[one] * degrees[other])
  return normalised


def combined(count: int, layers: int, combine: Combine) -> np.ndarray:
  """The matrix that takes the nodes' own vectors to the sum or mean of their layers 0 to L."""
  layer = total = np.eye(count + 1)
  for _ in range(layers):
    layer = star(count) @ layer
    total = total + layer
  return total / (layers + 1) if combine == "mean" else total


def _score(user: np.ndarray, row: np.ndarray, network: Network | None) -> float:
  return float(user @ row) if network is None else models_ncf.score(user, row, network)


def score_candidates(
  user: np.ndarray,
  table: np.ndarray,
  network: Network | None,
  positives: Sequence[int],
  *,
  layers: int,
  combine: Combine,
) -> np.ndarray:
  """Logits [M] of all items as items that the user is not linked to."""
  final = combined(len(positives), layers, combine) @ np.vstack(
    [user, table[np.array(positives, int)]]
  )
  alone = combined(0, layers, combine)[0, 0]
  return np.array([_score(final[0], alone * row, network) for row in table])


def client_gradients(
  user: np.ndarray,
  table: np.ndarray,
  network: Network | None,
  positives: Sequence[int],
  negatives: np.ndarray,
  *,
  loss: Loss,
  reduction: Reduction,
  layers: int,
  combine: Combine,
) -> tuple[float, np.ndarray, dict[int, np.ndarray], Network | None]:
  """One benign client; as `models_ncf.client_gradients`, inner products where there is no network.

  Positives are scored as the linked items that they are. Negatives have no link: of their layers
  all but the first are zero.
  """
  count = len(positives)
  matrix = combined(count, layers, combine)
  alone = combined(0, layers, combine)[0, 0]
  final = matrix @ np.vstack([user, table[np.array(positives, int)]])
  value, of_positive, of_negative = loss_and_slopes(
    np.array([_score(final[0], row, network) for row in final[1:]]),
    np.array(
      [[_score(final[0], alone * table[item], network) for item in items] for items in negatives]
    ).reshape(negatives.shape),
    loss=loss,
    reduction=reduction,
  )
  of_final = np.zeros_like(final)
  of_network = None if network is None else models_ncf.zeros(network)
  rows: dict[int, np.ndarray] = {}

  def back(row: np.ndarray, slope: float) -> np.ndarray:
    nonlocal of_network
    if network is None or of_network is None:
      of_final[0] += slope * row
      return slope * final[0]
    user_part, row_part, network_part = models_ncf.score_gradients(final[0], row, network)
    of_final[0] += slope * user_part
    of_network = models_ncf.add(of_network, models_ncf.scaled(network_part, slope))
    return slope * row_part

  for j in range(count):
    of_final[1 + j] += back(final[1 + j], of_positive[j])
    for item, slope in zip(negatives[j], of_negative[j], strict=True):
      part = alone * back(alone * table[item], slope)
      rows[int(item)] = rows.get(int(item), 0.0) + part
  of_nodes = matrix.T @ of_final
  for item, part in zip(positives, of_nodes[1:], strict=True):
    rows[int(item)] = rows.get(int(item), 0.0) + part
  return value, of_nodes[0], rows, of_network
