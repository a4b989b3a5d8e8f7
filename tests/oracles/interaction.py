"""Attacks on a learnt interaction function: A-ra, A-hum (Rong et al., 2022), and explicit boosting
and PIECK-UEA (Zhang et al., 2024) where the score of a pair is a small network's output.

The network concatenates the user's and the item's vector and has rectifiers between its layers and
none after the last: its output is a logit. Gradients are derived by hand.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tests.oracles.logistic import negative_log_sigmoid, sigmoid

Layers = list[tuple[np.ndarray, np.ndarray]]
"""Weights [inputs, outputs] and biases [outputs] of each layer, the last one with one output."""


class Gradients(NamedTuple):
  """Of a scalar with respect to a user's vector [d], items' rows [T, d] and the layers."""

  user: np.ndarray
  rows: np.ndarray
  layers: Layers


def logit(user: np.ndarray, row: np.ndarray, layers: Layers) -> float:
  """Score of one pair."""
  signal = np.concatenate([user, row])
  for index, (weights, bias) in enumerate(layers):
    signal = signal @ weights + bias
    if index < len(layers) - 1:
      signal = np.maximum(signal, 0.0)
  return float(signal[0])


def logit_gradients(user: np.ndarray, row: np.ndarray, layers: Layers) -> Gradients:
  """Gradients of `logit`, layer by layer from the last; `rows` is [1, d]."""
  inputs = [np.concatenate([user, row])]
  for weights, bias in layers[:-1]:
    inputs.append(np.maximum(inputs[-1] @ weights + bias, 0.0))
  slope = np.ones(1)
  backwards: Layers = []
  for index in range(len(layers) - 1, -1, -1):
    weights, _ = layers[index]
    backwards.append((np.outer(inputs[index], slope), slope))
    slope = weights @ slope
    if index > 0:
      # A rectifier passes a slope on where its output is above zero.
      slope = slope * (inputs[index] > 0)
  return Gradients(slope[: len(user)], slope[len(user) :][None], backwards[::-1])


def zero_layers(layers: Layers) -> Layers:
  """Arrays of zeros of the same shapes."""
  return [(np.zeros_like(weights), np.zeros_like(bias)) for weights, bias in layers]


def add_layers(first: Layers, second: Layers, factor: float) -> Layers:
  """first + factor * second."""
  return [
    (weights + factor * more, bias + factor * other)
    for (weights, bias), (more, other) in zip(first, second, strict=True)
  ]


def label_loss(user: np.ndarray, rows: np.ndarray, layers: Layers, label: int) -> float:
  """Binary cross-entropy of one user with all rows [T, d] towards one label, averaged over them."""
  sign = 1.0 if label == 1 else -1.0
  losses = [negative_log_sigmoid(sign * logit(user, row, layers)) for row in rows]
  return sum(losses) / len(rows)


def label_gradients(user: np.ndarray, rows: np.ndarray, layers: Layers, label: int) -> Gradients:
  """Gradients of `label_loss`."""
  count = len(rows)
  for_user = np.zeros_like(user)
  for_rows = np.zeros_like(rows)
  for_layers = zero_layers(layers)
  for index, row in enumerate(rows):
    # d/ds of the cross-entropy of sigmoid(s) with a label is sigmoid(s) - label.
    slope = (sigmoid(logit(user, row, layers)) - label) / count
    one = logit_gradients(user, row, layers)
    for_user = for_user + slope * one.user
    for_rows[index] = slope * one.rows[0]
    for_layers = add_layers(for_layers, one.layers, slope)
  return Gradients(for_user, for_rows, for_layers)


def harden(
  user: np.ndarray, rows: np.ndarray, layers: Layers, steps: int, step_size: float
) -> np.ndarray:
  """A-hum's hard user: gradient steps towards label 0 for the targets, all else held fixed."""
  for _ in range(steps):
    user = user - step_size * label_gradients(user, rows, layers, 0).user
  return user


def invented_users(
  users: np.ndarray, rows: np.ndarray, layers: Layers, steps: int = 0, step_size: float = 0.0
) -> tuple[np.ndarray, Layers]:
  """Upload of one client of A-ra, or of A-hum with `steps` above 0.

  Args:
    users: [s, d], the invented users as drawn.
    rows: [T, d], the targets' rows.
    layers: of the network.
    steps: that harden each of them.
    step_size: of those.

  Returns:
    Gradients of the mean over users and targets of the loss towards label 1: with respect to the
    rows [T, d] and to the layers.
  """
  for_rows = np.zeros_like(rows)
  for_layers = zero_layers(layers)
  for user in users:
    one = label_gradients(harden(user, rows, layers, steps, step_size), rows, layers, 1)
    for_rows = for_rows + one.rows / len(users)
    for_layers = add_layers(for_layers, one.layers, 1 / len(users))
  return for_rows, for_layers


def user_approximation(
  rows: np.ndarray, popular: np.ndarray, layers: Layers, *, batches: int, repeats: int
) -> tuple[np.ndarray, Layers]:
  """Upload of one client of PIECK-UEA as the published code for MF accumulates it.

  The mined list is cut into batches in rank order; every backward pass adds to buffers that are
  never cleared, and after each the buffers' 1 / repeats is added to the upload. One batch and one
  repeat is the mean of Eq. 10.

  Args:
    rows: [T, d], the targets' rows; the loss is averaged over them.
    popular: [N, d], the mined items in rank order, standing in for users.
    layers: of the network.
    batches: number of batches.
    repeats: passes over each.

  Returns:
    Gradients with respect to the rows [T, d] and to the layers.
  """
  size = len(popular) // batches
  row_buffer, row_upload = np.zeros_like(rows), np.zeros_like(rows)
  layer_buffer, layer_upload = zero_layers(layers), zero_layers(layers)
  for batch in range(batches):
    members: Sequence[np.ndarray] = popular[batch * size : (batch + 1) * size]
    for _ in range(repeats):
      for member in members:
        one = label_gradients(member, rows, layers, 1)
        row_buffer = row_buffer + one.rows / (size * batches)
        layer_buffer = add_layers(layer_buffer, one.layers, 1 / (size * batches))
      row_upload = row_upload + row_buffer / repeats
      layer_upload = add_layers(layer_upload, layer_buffer, 1 / repeats)
  return row_upload, layer_upload
