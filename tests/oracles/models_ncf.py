"""Federated NCF: one client's loss and gradients.

The network is PIECK's and A-hum's: user and item vectors side by side, layers with ReLU, one output
with a bias and the sigmoid in the loss. With the branch of generalised matrix factorisation (He et
al., 2017, Eq. 12) each vector has as many further numbers again, whose products u_i v_i enter the
output layer beside the last hidden layer.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tests.oracles.pair_loss import Loss, Reduction, loss_and_slopes


class Network(NamedTuple):
  """The shared parameters, or their gradients.

  Attributes:
    hidden: (weights [inputs, outputs], bias [outputs]) of each hidden layer, the first one's inputs
      the user's numbers and then the item's.
    output: weights [inputs], the last hidden layer's numbers and then the products.
    bias: of the output.
  """

  hidden: list[tuple[np.ndarray, np.ndarray]]
  output: np.ndarray
  bias: float


def zeros(network: Network) -> Network:
  """A network of the same shape with nothing in it, for adding gradients up."""
  hidden = [(np.zeros_like(weights), np.zeros_like(bias)) for weights, bias in network.hidden]
  return Network(hidden, np.zeros_like(network.output), 0.0)


def add(first: Network, second: Network) -> Network:
  """Adds two networks, number by number."""
  hidden = [
    (weights + more, bias + other)
    for (weights, bias), (more, other) in zip(first.hidden, second.hidden, strict=True)
  ]
  return Network(hidden, first.output + second.output, first.bias + second.bias)


def score(user: np.ndarray, row: np.ndarray, network: Network, *, products: int = 0) -> float:
  """The logit of one pair; `products` of the numbers at the end of both vectors are multiplied."""
  return _forward(user, row, network, products)[0]


def _forward(
  user: np.ndarray, row: np.ndarray, network: Network, products: int
) -> tuple[float, list[np.ndarray], list[np.ndarray]]:
  deep = len(user) - products
  signal = np.concatenate([user[:deep], row[:deep]])
  inputs, sums = [], []
  for weights, bias in network.hidden:
    inputs.append(signal)
    sums.append(weights.T @ signal + bias)
    signal = np.maximum(sums[-1], 0.0)
  last = np.concatenate([signal, user[deep:] * row[deep:]])
  return float(network.output @ last + network.bias), [*inputs, last], sums


def score_gradients(
  user: np.ndarray, row: np.ndarray, network: Network, *, products: int = 0
) -> tuple[np.ndarray, np.ndarray, Network]:
  """Derivatives of the logit by the chain rule, layer by layer from the end.

  Returns:
    With respect to the user's vector, the item's row and the network.
  """
  deep = len(user) - products
  _, inputs, sums = _forward(user, row, network, products)
  width = len(network.output) - products
  slope = network.output[:width]
  hidden = []
  for (weights, _), entering, total in reversed(
    list(zip(network.hidden, inputs[:-1], sums, strict=True))
  ):
    slope = slope * (total > 0)
    hidden.append((np.outer(entering, slope), slope))
    slope = weights @ slope
  of_product = network.output[width:]
  of_user = np.concatenate([slope[:deep], of_product * row[deep:]])
  of_row = np.concatenate([slope[deep:], of_product * user[deep:]])
  return of_user, of_row, Network(hidden[::-1], inputs[-1], 1.0)


def scaled(network: Network, factor: float) -> Network:
  """The network's numbers times a factor."""
  hidden = [(factor * weights, factor * bias) for weights, bias in network.hidden]
  return Network(hidden, factor * network.output, factor * network.bias)


def client_gradients(
  user: np.ndarray,
  table: np.ndarray,
  network: Network,
  positives: Sequence[int],
  negatives: np.ndarray,
  *,
  loss: Loss,
  reduction: Reduction,
  products: int = 0,
) -> tuple[float, np.ndarray, dict[int, np.ndarray], Network]:
  """One benign client; arguments as those of `training.client_gradients`.

  Returns:
    The loss, and the gradients of the user's vector, of the items by id and of the network.
  """
  pairs = [(positive, *others) for positive, others in zip(positives, negatives, strict=True)]
  logits = [[score(user, table[item], network, products=products) for item in one] for one in pairs]
  value, of_positive, of_negative = loss_and_slopes(
    np.array([one[0] for one in logits]),
    np.array([one[1:] for one in logits]).reshape(negatives.shape),
    loss=loss,
    reduction=reduction,
  )
  of_user, rows, of_network = np.zeros(len(user)), {}, zeros(network)
  for j, items in enumerate(pairs):
    for item, slope in zip(items, (of_positive[j], *of_negative[j]), strict=True):
      user_part, row, network_part = score_gradients(user, table[item], network, products=products)
      of_user += slope * user_part
      rows[int(item)] = rows.get(int(item), 0.0) + slope * row
      of_network = add(of_network, scaled(network_part, slope))
  return value, of_user, rows, of_network
