"""P3, targeted model poisoning (Bhagoji et al., 2019), where the "targeted objective" is that a
malicious client's own user likes the targets.

Section 3.1: the change that the malicious objective asks for, times a boost. Section 3.3: the
stealthy agent also minimises its own training loss and rho times the distance between its change
and what the others did before. With one step of gradient descent each: the boosted and the honest
gradient are taken at what was received, the distance's where these two have led.
"""

from typing import Literal

import numpy as np

from tests.oracles import interaction, shilling
from tests.oracles.interaction import Layers

Rows = dict[int, np.ndarray]


def malicious_gradients(
  user: np.ndarray, table: np.ndarray, targets: list[int], layers: Layers | None
) -> tuple[Rows, Layers]:
  """Gradients of the mean over targets of -log sigmoid(score): of the targets' rows and the layers.

  Scores are inner products where there are no layers.
  """
  rows = table[targets]
  if layers is None:
    of_rows, of_layers = shilling.explicit_boosting_gradient(user, rows)[2], []
  else:
    _, of_rows, of_layers = interaction.label_gradients(user, rows, layers, 1)
  return dict(zip(targets, of_rows, strict=True)), of_layers


def add_rows(first: Rows, second: Rows, factor: float) -> Rows:
  """first + factor * second, item by item."""
  total = {item: row.copy() for item, row in first.items()}
  for item, row in second.items():
    total[item] = total.get(item, np.zeros_like(row)) + factor * row
  return total


def length(rows: Rows) -> float:
  """L2 norm of all rows together."""
  return float(np.sqrt(sum(float(row @ row) for row in rows.values())))


def stealthy_rows(
  malicious: Rows,
  honest: Rows,
  change: np.ndarray | None,
  *,
  boost: float,
  stealth: float,
  rho: float,
  learning_rate: float,
  distance: Literal["norm", "squared"],
) -> Rows:
  """What a stealthy client uploads, as a gradient.

  Args:
    malicious: gradient of the malicious objective.
    honest: gradient of the client's own training loss.
    change: [M, d], what the model did in a round before, or None if that is not known.
    boost: factor on the first.
    stealth: weight of the rest.
    rho: weight of the distance.
    learning_rate: of the client's steps.
    distance: between delta and the change, over the items of the upload; its L2 norm or half of
      its square.
  """
  sent = add_rows({item: boost * row for item, row in malicious.items()}, honest, stealth)
  if change is None:
    return sent
  gap = {item: -learning_rate * row - change[item] for item, row in sent.items()}
  size = length(gap)
  if distance == "squared":
    size = 1.0
  # A step on rho * distance moves delta by -learning_rate * rho * gap / size.
  return add_rows(sent, gap, stealth * rho / size) if size > 0 else sent
