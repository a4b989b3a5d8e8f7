"""Adam (Kingma and Ba, 2015, Algorithm 1)."""

import numpy as np


class Adam:
  """Moments of one array of parameters, and the direction of each step.

  Args:
    shape: of the parameters.
  """

  def __init__(
    self, shape: tuple[int, ...], beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8
  ) -> None:
    self.beta1, self.beta2, self.epsilon = beta1, beta2, epsilon
    self.step_number = 0
    self.first = np.zeros(shape)
    self.second = np.zeros(shape)

  def direction(self, gradient: np.ndarray) -> np.ndarray:
    """What a step of size 1 subtracts from the parameters; the moments move on."""
    self.step_number += 1
    self.first = self.beta1 * self.first + (1 - self.beta1) * gradient
    self.second = self.beta2 * self.second + (1 - self.beta2) * gradient**2
    first = self.first / (1 - self.beta1**self.step_number)
    second = self.second / (1 - self.beta2**self.step_number)
    return first / (np.sqrt(second) + self.epsilon)


class LazyAdam:
  """Adam of a table whose rows stand still, moments and all, in steps that do not touch them.

  The number of steps, by which moments are unbiased, is that of the table and not of the row.

  Args:
    num_rows: of the table.
    dim: numbers in each.
  """

  def __init__(self, num_rows: int, dim: int) -> None:
    self.steps = 0
    self.first = np.zeros((num_rows, dim))
    self.second = np.zeros((num_rows, dim))

  def step(
    self, table: np.ndarray, gradients: dict[int, np.ndarray], learning_rate: float
  ) -> np.ndarray:
    """The table [M, d] after a step; `gradients` [d] by row are of the touched ones alone."""
    self.steps += 1
    table = table.copy()
    for row, gradient in gradients.items():
      for column, slope in enumerate(gradient):
        first = 0.9 * self.first[row, column] + 0.1 * slope
        second = 0.999 * self.second[row, column] + 0.001 * slope * slope
        self.first[row, column], self.second[row, column] = first, second
        unbiased = first / (1 - 0.9**self.steps)
        deviation = (second / (1 - 0.999**self.steps)) ** 0.5
        table[row, column] -= learning_rate * unbiased / (deviation + 1e-8)
    return table
