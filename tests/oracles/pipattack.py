"""PipAttack (Zhang et al., WSDM 2022): popularity levels, the estimator, and a client's upload.

The estimator is a network with rectifiers between its layers and a softmax over levels at its end;
it is trained on the cross-entropy with the items' levels by Adam. The targets are then moved to
where it, held fixed, takes them for items of the most popular level.
"""

import numpy as np

from tests.oracles.adam import Adam
from tests.oracles.interaction import Layers
from tests.oracles.targeted import Rows, add_rows, length


def levels(popularity: np.ndarray, top: float, middle: float) -> list[int]:
  """Level of each item: 0 for the top share of items, 1 for the next, 2 for the rest.

  Counts are rounded up; of equally popular items the one with the lower id is the more popular.
  """
  count = len(popularity)
  order = sorted(range(count), key=lambda item: (-popularity[item], item))
  first = int(np.ceil(round(top * count, 9)))
  second = int(np.ceil(round((top + middle) * count, 9)))
  result = [2] * count
  for place, item in enumerate(order):
    if place < second:
      result[item] = 0 if place < first else 1
  return result


def forward(row: np.ndarray, layers: Layers) -> list[np.ndarray]:
  """What enters each layer, and the softmax at the end."""
  entering = [row]
  for index, (weights, bias) in enumerate(layers):
    out = entering[-1] @ weights + bias
    if index < len(layers) - 1:
      out = np.where(out > 0, out, 0.0)
    else:
      out = np.exp(out - out.max())
      out = out / out.sum()
    entering.append(out)
  return entering


def cross_entropy(rows: np.ndarray, classes: list[int], layers: Layers) -> float:
  """Mean of -log of the probability of each row's class."""
  return float(
    np.mean([-np.log(forward(row, layers)[-1][k]) for row, k in zip(rows, classes, strict=True)])
  )


def cross_entropy_gradients(
  rows: np.ndarray, classes: list[int], layers: Layers
) -> tuple[np.ndarray, Layers]:
  """Gradients of `cross_entropy` with respect to the rows and to the layers."""
  of_rows = np.zeros_like(rows)
  of_layers = [(np.zeros_like(weights), np.zeros_like(bias)) for weights, bias in layers]
  for number, (row, k) in enumerate(zip(rows, classes, strict=True)):
    *entering, probabilities = forward(row, layers)
    slope = (probabilities - np.eye(len(probabilities))[k]) / len(rows)
    for index in range(len(layers) - 1, -1, -1):
      of_layers[index] = (
        of_layers[index][0] + np.outer(entering[index], slope),
        of_layers[index][1] + slope,
      )
      slope = layers[index][0] @ slope
      if index > 0:
        slope = slope * (entering[index] > 0)
    of_rows[number] = slope
  return of_rows, of_layers


class Estimator:
  """The network and its Adam, which stays from round to round."""

  def __init__(self, layers: Layers) -> None:
    self.layers = [(weights.copy(), bias.copy()) for weights, bias in layers]
    self.adam = [(Adam(weights.shape), Adam(bias.shape)) for weights, bias in layers]

  def train(
    self, table: np.ndarray, classes: list[int], targets: list[int], *, steps: int, rate: float
  ) -> None:
    """Steps on all items but the targets."""
    items = [item for item in range(len(table)) if item not in targets]
    for _ in range(steps):
      _, gradients = cross_entropy_gradients(
        table[items], [classes[item] for item in items], self.layers
      )
      self.layers = [
        (weights - rate * one.direction(more), bias - rate * other.direction(extra))
        for (weights, bias), (one, other), (more, extra) in zip(
          self.layers, self.adam, gradients, strict=True
        )
      ]

  def obfuscation(self, rows: np.ndarray) -> np.ndarray:
    """Gradient of the targets' mean cross-entropy with level 0."""
    return cross_entropy_gradients(rows, [0] * len(rows), self.layers)[0]


def client_rows(
  promotion: Rows, obfuscation: Rows, honest: Rows, *, alpha: float, weight: float
) -> Rows:
  """Gradient of L_exp + alpha L_pop + weight L_rec with respect to the item rows."""
  return add_rows(add_rows(promotion, obfuscation, alpha), honest, weight)


def within(rows: Rows, center: np.ndarray, radius: float) -> Rows:
  """The nearest upload to `rows` at an L2 distance of at most `radius` from the centre's rows."""
  gap = {item: row - center[item] for item, row in rows.items()}
  size = length(gap)
  if size <= radius:
    return rows
  return {item: center[item] + row * radius / size for item, row in gap.items()}
