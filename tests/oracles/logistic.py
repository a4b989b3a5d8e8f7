"""The logistic function and its logarithm, the two forms that every loss here is built from."""

import numpy as np


def sigmoid(score: float) -> float:
  """1 / (1 + exp(-score)), written so that large negative scores do not overflow."""
  return float(np.exp(-np.logaddexp(0.0, -score)))


def negative_log_sigmoid(score: float) -> float:
  """-log sigmoid(score). Its derivative with respect to the score is sigmoid(score) - 1."""
  return float(np.logaddexp(0.0, -score))
