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
