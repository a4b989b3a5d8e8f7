"""SimCLR's loss (Chen et al., 2020, Eq. 1 and Algorithm 1), pair by pair."""

import math

import numpy as np


def similarity(one, other):
  """The cosine of two vectors."""
  return float(one @ other / math.sqrt((one @ one) * (other @ other)))


def loss(first, second, temperature):
  """Mean over 2 N views, of which `first[k]` and `second[k]` show image k; both [N, p]."""
  views = [view for pair in zip(first, second, strict=True) for view in pair]
  count = len(views)

  def of_pair(one, other):
    weights = [math.exp(similarity(views[one], views[k]) / temperature) for k in range(count) if k != one]
    return -math.log(math.exp(similarity(views[one], views[other]) / temperature) / sum(weights))

  return float(np.mean([
    of_pair(2 * k, 2 * k + 1) + of_pair(2 * k + 1, 2 * k) for k in range(count // 2)
  ])) / 2
