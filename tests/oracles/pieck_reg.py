"""The defence of PIECK (Zhang et al., ICDE), section V-B: Eq. 14 to 16 at one benign client.

The paper leaves open what makes a vector a distribution (softmax, as in the notes on the published
code, section 11) and how kappa' is normalised. Where the two disagree both readings are given.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from tests.oracles.pieck import cosine, cosine_gradient

Weighting = Literal["exponential", "quadratic"]
Kl = Literal["user_to_item", "item_to_user"]
KlScale = Literal["sum", "mean"]


def rank_weights(num_popular: int, weighting: Weighting) -> list[float]:
  """kappa' of the mined list: the inverse rank s = N, N - 1, ..., 1 as exp(s) or s^2, normalised."""
  inverse_ranks = range(num_popular, 0, -1)
  if weighting == "exponential":
    raw = [float(np.exp(inverse_rank)) for inverse_rank in inverse_ranks]
  else:
    raw = [float(inverse_rank**2) for inverse_rank in inverse_ranks]
  return [value / sum(raw) for value in raw]


def similarity(
  rows: Sequence[np.ndarray], popular: np.ndarray, weights: Sequence[float]
) -> tuple[float, list[np.ndarray]]:
  """Re_1 of Eq. 14 and its gradients.

  Args:
    rows: vectors [d] of the unpopular entries of the client's list; a repeated item stands there as
      often as in the list, as in the published code (the paper writes a set).
    popular: [N, d] in rank order, constants.
    weights: kappa' of each of them.

  Returns:
    The mean, 0 over no entry, and one gradient [d] per row.
  """
  total = 0.0
  gradients = []
  for row in rows:
    gradient = np.zeros_like(row)
    for weight, popular_item in zip(weights, popular, strict=True):
      total += weight * cosine(popular_item, row)
      gradient = gradient + weight * cosine_gradient(popular_item, row)
    gradients.append(gradient / len(rows))
  return (total / len(rows) if len(rows) else 0.0), gradients


def softmax(vector: np.ndarray) -> np.ndarray:
  """exp(x_i) / sum exp(x_j), [d] -> [d]."""
  powers = np.exp(vector - vector.max())
  return powers / powers.sum()


def divergence(
  user: np.ndarray, popular: np.ndarray, weights: Sequence[float], kl: Kl, kl_scale: KlScale
) -> tuple[float, np.ndarray]:
  """Re_2 of Eq. 15 and its gradient with respect to the user's vector.

  With p the user's and q the item's distribution, and dp_i / du_j = p_i (1[i = j] - p_j):
  KL(p || q) = sum_i p_i log(p_i / q_i) has the slope p_j (log(p_j / q_j) - KL), because the terms
  from differentiating the logarithm add up to 0; KL(q || p) has the slope p_j - q_j.

  Args:
    user: [d].
    popular: [N, d] in rank order, constants.
    weights: kappa' of each of them.
    kl: "item_to_user" is KL(v_k, u_i) as Eq. 15 orders the arguments; "user_to_item" the published
      code's KL(u_i, v_k).
    kl_scale: "sum" over the dimensions is the divergence; "mean" divides it by d, as published.

  Returns:
    The weighted sum and its gradient [d].
  """
  p = softmax(user)
  total = 0.0
  gradient = np.zeros_like(user)
  for weight, popular_item in zip(weights, popular, strict=True):
    q = softmax(popular_item)
    if kl == "user_to_item":
      value = float(sum(p * (np.log(p) - np.log(q))))
      slope = p * (np.log(p) - np.log(q) - value)
    else:
      value = float(sum(q * (np.log(q) - np.log(p))))
      slope = p - q
    if kl_scale == "mean":
      value, slope = value / len(user), slope / len(user)
    total += weight * value
    gradient = gradient + weight * slope
  return total, gradient


def regularisers(
  user: np.ndarray,
  table: np.ndarray,
  entries: Sequence[int],
  popular: Sequence[int],
  *,
  beta: float,
  gamma: float,
  weighting: Weighting,
  kl: Kl,
  kl_scale: KlScale,
) -> tuple[float, np.ndarray, list[np.ndarray]]:
  """What Eq. 16 adds to a client's loss: -beta Re_1 - gamma Re_2.

  Args:
    user: [d].
    table: [M, d], the item vectors that the client received.
    entries: items of the client's list, positives and negatives, repeats included.
    popular: the client's mined items, most popular first.
    beta: weight of Re_1.
    gamma: weight of Re_2.
    weighting: see `rank_weights`.
    kl: see `divergence`.
    kl_scale: see `divergence`.

  Returns:
    The value, its gradient [d] with respect to the user's vector, and with respect to the vector of
    each entry, [d] each; zero for popular ones.
  """
  weights = rank_weights(len(popular), weighting)
  popular_rows = table[list(popular)]
  unpopular = [place for place, item in enumerate(entries) if item not in popular]
  re1, row_gradients = similarity(
    [table[entries[place]] for place in unpopular], popular_rows, weights
  )
  re2, user_gradient = divergence(user, popular_rows, weights, kl, kl_scale)
  gradients = [np.zeros_like(user) for _ in entries]
  for place, gradient in zip(unpopular, row_gradients, strict=True):
    gradients[place] = -beta * gradient
  return -beta * re1 - gamma * re2, -gamma * user_gradient, gradients
