"""Losses of one positive item against its negatives; pure and unbatched."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from fedrecjax.types import Loss


def _bce_sample(positive: jax.Array, negatives: jax.Array) -> jax.Array:
  return jax.nn.softplus(-positive) + jnp.sum(jax.nn.softplus(negatives))


def _bpr_sample(positive: jax.Array, negatives: jax.Array) -> jax.Array:
  return jnp.sum(jax.nn.softplus(negatives - positive))


def _bce_terms(num_negatives: int) -> int:
  return 1 + num_negatives


def _bpr_terms(num_negatives: int) -> int:
  return num_negatives


def bce() -> Loss:
  """Binary cross-entropy of sigmoid(logit): label 1 for the positive, 0 for its negatives.

  References:
    Zhang et al., "Preventing the Popular Item Embedding Based Attack in Federated Recommendations", 2024, Eq. 2.

  >>> float(bce().sample(jnp.zeros(()), jnp.zeros(1)))  # 2 ln 2
  1.3862943649291992
  """
  return Loss(sample=_bce_sample, terms=_bce_terms)


def bpr() -> Loss:
  """Bayesian personalised ranking: -log sigmoid(positive - negative), one term per negative.

  References:
    Rendle et al., "BPR: Bayesian Personalized Ranking from Implicit Feedback", 2009.

  >>> float(bpr().sample(jnp.zeros(()), jnp.zeros(2)))  # 2 ln 2
  1.3862943649291992
  """
  return Loss(sample=_bpr_sample, terms=_bpr_terms)


LOSSES = {"bce": bce, "bpr": bpr}
