"""PSMU (Yuan et al., 2023), Eq. 13 to 16, for one synthetic user whose items are already drawn.

Models are MF (no network), NCF, and LightGCN, where the user's vector comes from the graph of its
items. Gradients are by hand.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from tests.oracles import models_lightgcn, models_ncf, training
from tests.oracles.adam import Adam
from tests.oracles.logistic import sigmoid
from tests.oracles.models_ncf import Network
from tests.oracles.pair_loss import Loss

Graph = Literal["none", "star"]
"""Whether the model is LightGCN, with one layer, summed."""


def own_gradient(
  user: np.ndarray,
  table: np.ndarray,
  network: Network | None,
  items: Sequence[int],
  negatives: np.ndarray,
  *,
  loss: Loss,
  graph: Graph,
) -> np.ndarray:
  """Gradient of the recommendation loss with respect to the user's own vector."""
  options = {"loss": loss, "reduction": "mean"}
  if graph == "star":
    result = models_lightgcn.client_gradients(
      user, table, network, items, negatives, layers=1, combine="sum", **options
    )
  elif network is None:
    result = training.client_gradients(
      user, table, items, negatives, duplicates="sum", **options
    )
  else:
    result = models_ncf.client_gradients(user, table, network, items, negatives, **options)
  return result[1]


def trained_user(
  user: np.ndarray,
  table: np.ndarray,
  network: Network | None,
  items: Sequence[int],
  negatives: np.ndarray,
  *,
  steps: int,
  rate: float,
  optimizer: Literal["adam", "sgd"],
  loss: Loss,
  graph: Graph,
) -> np.ndarray:
  """Eq. 13 by so many steps: only the user's own vector moves."""
  adam = Adam(user.shape)
  for _ in range(steps):
    slope = own_gradient(user, table, network, items, negatives, loss=loss, graph=graph)
    user = user - rate * (adam.direction(slope) if optimizer == "adam" else slope)
  return user


def final_user(
  user: np.ndarray, table: np.ndarray, items: Sequence[int], graph: Graph
) -> np.ndarray:
  """The vector that items are scored with."""
  if graph == "none":
    return user
  nodes = np.vstack([user, table[np.array(items)]])
  return (models_lightgcn.combined(len(items), 1, "sum") @ nodes)[0]


def scores(user: np.ndarray, table: np.ndarray, network: Network | None) -> np.ndarray:
  """Logits [M] for a final user vector."""
  if network is None:
    return table @ user
  return np.array([models_ncf.score(user, row, network) for row in table])


def recommended(logits: np.ndarray, held: Sequence[int], k: int) -> list[int]:
  """The k items of highest score that the user does not hold; of equal ones the lower id first."""
  candidates = [item for item in range(len(logits)) if item not in held]
  return sorted(candidates, key=lambda item: (-logits[item], item))[:k]


def similar(
  table: np.ndarray, target: int, targets: Sequence[int], held: Sequence[int], count: int
) -> list[int]:
  """The items of highest cosine with a target, neither targets nor held."""
  candidates = [item for item in range(len(table)) if item not in held and item not in targets]

  def cosine(item: int) -> float:
    return float(
      table[item] @ table[target] / np.linalg.norm(table[item]) / np.linalg.norm(table[target])
    )

  return sorted(candidates, key=lambda item: (-cosine(item), item))[:count]


def attack_gradients(
  user: np.ndarray,
  table: np.ndarray,
  network: Network | None,
  targets: Sequence[int],
  held: Sequence[int],
  above: Sequence[Sequence[int]],
  *,
  margin_on: Literal["prob", "logit"],
) -> tuple[float, np.ndarray, Network | None]:
  """Eq. 14 for one user, and its gradients.

  Args:
    user: final vector.
    table: [M, d].
    network: of NCF, or None for inner products.
    targets: items.
    held: the user's items; targets among them are left out.
    above: for each target the set of items that it is compared with; targets among them are left
      out, and repeated ones count once.
    margin_on: whether r is a probability.

  Returns:
    The sum of sigmoid(r_j - r_t), its gradients with respect to the targets' rows [T, d] (Eq. 16)
    and the network (Eq. 15).
  """

  def preference(item: int) -> tuple[float, float]:
    """r and its derivative with respect to the logit."""
    logit = scores(user, table[[item]], network)[0]
    if margin_on == "logit":
      return logit, 1.0
    return sigmoid(logit), sigmoid(logit) * sigmoid(-logit)

  def parts(item: int) -> tuple[np.ndarray, Network | None]:
    if network is None:
      return user, None
    return models_ncf.score_gradients(user, table[item], network)[1:]

  value = 0.0
  rows = np.zeros((len(targets), table.shape[1]))
  total = None if network is None else models_ncf.zeros(network)
  for number, target in enumerate(targets):
    if target in held:
      continue
    r_target, slope_target = preference(target)
    for item in set(above[number]) - set(targets):
      r_item, slope_item = preference(item)
      one = sigmoid(r_item - r_target)
      slope = one * (1 - one)
      value += one
      of_row, of_network = parts(target)
      rows[number] -= slope * slope_target * of_row
      if network is not None:
        total = models_ncf.add(total, models_ncf.scaled(of_network, -slope * slope_target))
        total = models_ncf.add(total, models_ncf.scaled(parts(item)[1], slope * slope_item))
  return value, rows, total
