"""Optimisers of one array of parameters, in NumPy, from their papers.

Each has `direction(gradient)`: what a step of size 1 subtracts from the parameters. State moves on.
"""

import numpy as np

from tests.oracles.adam import Adam


class Descent:
  """The gradient itself: x <- x - eta g. No state."""

  def __init__(self, shape: tuple[int, ...]) -> None:
    del shape

  def direction(self, gradient: np.ndarray) -> np.ndarray:
    return gradient


class Momentum:
  """The heavy ball (Polyak, 1964), which at a server is FedAvgM (Hsu et al., 2019).

  b_t = 0.9 b_(t-1) + g_t, from b_0 = 0; the direction is b_t.
  """

  def __init__(self, shape: tuple[int, ...], decay: float = 0.9) -> None:
    self.decay = decay
    self.ball = np.zeros(shape)

  def direction(self, gradient: np.ndarray) -> np.ndarray:
    self.ball = self.decay * self.ball + gradient
    return self.ball


class Adagrad:
  """Diagonal Adagrad (Duchi, Hazan and Singer, 2011, Figure 1).

  G_t = G_(t-1) + g_t^2; the direction is g_t / sqrt(G_t + epsilon). The paper begins with G_0 = 0 and
  has its constant delta beside the root; optax begins with 0.1 and has it under the root.
  """

  def __init__(self, shape: tuple[int, ...], start: float = 0.1, epsilon: float = 1e-7) -> None:
    self.epsilon = epsilon
    self.squares = np.full(shape, start)

  def direction(self, gradient: np.ndarray) -> np.ndarray:
    self.squares = self.squares + gradient**2
    return gradient / np.sqrt(self.squares + self.epsilon)


class Yogi:
  """Yogi (Zaheer et al., 2018, Algorithm 2).

  m_t = beta_1 m_(t-1) + (1 - beta_1) g_t; v_t = v_(t-1) - (1 - beta_2) sign(v_(t-1) - g_t^2) g_t^2; the
  direction is m_t / (sqrt(v_t) + epsilon). optax divides m_t and v_t by 1 - beta^t, as Adam does, and
  begins with 1e-6 in both.
  """

  def __init__(
    self,
    shape: tuple[int, ...],
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-3,
    start: float = 1e-6,
  ) -> None:
    self.beta1, self.beta2, self.epsilon = beta1, beta2, epsilon
    self.step_number = 0
    self.first = np.full(shape, start)
    self.second = np.full(shape, start)

  def direction(self, gradient: np.ndarray) -> np.ndarray:
    self.step_number += 1
    square = gradient**2
    self.first = self.beta1 * self.first + (1 - self.beta1) * gradient
    self.second = self.second - (1 - self.beta2) * np.sign(self.second - square) * square
    first = self.first / (1 - self.beta1**self.step_number)
    second = self.second / (1 - self.beta2**self.step_number)
    return first / (np.sqrt(second) + self.epsilon)


class RmsProp:
  """RMSProp (Tieleman and Hinton, 2012, lecture 6.5).

  v_t = 0.9 v_(t-1) + 0.1 g_t^2, from v_0 = 0; the direction is g_t / sqrt(v_t + epsilon). The lecture
  has no epsilon; optax has it under the root.
  """

  def __init__(self, shape: tuple[int, ...], decay: float = 0.9, epsilon: float = 1e-8) -> None:
    self.decay, self.epsilon = decay, epsilon
    self.squares = np.zeros(shape)

  def direction(self, gradient: np.ndarray) -> np.ndarray:
    self.squares = self.decay * self.squares + (1 - self.decay) * gradient**2
    return gradient / np.sqrt(self.squares + self.epsilon)


BY_NAME = {
  "sgd": Descent,
  "momentum": Momentum,
  "adam": Adam,
  "adagrad": Adagrad,
  "yogi": Yogi,
  "rmsprop": RmsProp,
}
