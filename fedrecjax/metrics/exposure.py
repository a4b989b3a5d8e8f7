"""How far targets have been promoted: exposure ratio and NDCG of the targets; unbatched, one user at a time.

A target that the user has in its training data is not eligible for that user. Ties are treated as in
:mod:`fedrecjax.metrics.ranking`.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from fedrecjax.metrics.ranking import Standing, discounts, gain, hit


def exposure_ratio(place: Standing, eligible: jax.Array, k: int) -> jax.Array:
  """Share of a user's eligible targets that stand among the first K (ER@K).

  Args:
    place: where the targets stand in the user's full ranking, `[T]`.
    eligible: which targets the user does not have yet, bool `[T]`.
    k: list length.

  Returns:
    Scalar in 0..1; 0 for a user without eligible targets, whom the mean over users leaves out.

  References:
    Rong et al., FedRecAttack, 2022, Eq. 8; equal to Zhang et al., 2024 (PIECK), Eq. 3, for one target.
  """
  return jnp.sum(jnp.where(eligible, hit(place, k), 0.0)) / jnp.maximum(jnp.sum(eligible, dtype=jnp.int32), 1)


def target_ndcg(place: Standing, eligible: jax.Array, k: int) -> jax.Array:
  """Discounted gain of a user's eligible targets over that of the best possible ranking of them.

  Args:
    place: where the targets stand in the user's full ranking, `[T]`.
    eligible: which targets the user does not have yet, bool `[T]`.
    k: list length.

  Returns:
    Scalar in 0..1; 0 for a user without eligible targets.

  References:
    Rong et al., FedRecAttack, 2022, section VI-A.
  """
  ideal = jnp.asarray(discounts(k))[jnp.clip(jnp.sum(eligible, dtype=jnp.int32), 1, k)]
  return jnp.sum(jnp.where(eligible, gain(place, k), 0.0)) / ideal
