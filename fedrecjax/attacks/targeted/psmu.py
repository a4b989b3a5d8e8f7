"""PSMU: poisoning with synthetic malicious users, invented anew in every round."""

from __future__ import annotations

from typing import Any

import jax

from fedrecjax.attacks.idle import when_active
from fedrecjax.attacks.registry import ATTACKS
from fedrecjax.attacks.targeted.promoting_users import (
  Settings,
  allowed_items,
  check_settings,
  invent,
  known_to,
  promoting_uploads,
  promotion_gradients,
)
from fedrecjax.attacks.targeted.promotion import MarginOn
from fedrecjax.attacks.targeted.synthetic_users import InnerOptimizer
from fedrecjax.methods.hyperparameters import traced
from fedrecjax.types import Attack, AttackContext, AttackView, ClientUpdates


@ATTACKS.register
@traced
def psmu(
  *,
  num_items: int = 30,
  num_negatives: int = 4,
  inner_optimizer: InnerOptimizer = "adam",
  inner_steps: int = 30,
  inner_lr: float = 1e-3,
  init_std: float = 0.01,
  top_k: int = 5,
  alternatives: int = 0,
  margin_on: MarginOn = "prob",
  upload_shared: bool = True,
) -> Attack:
  """PSMU: each malicious client trains a user on random items and lifts the targets onto that user's list.

  Args:
    num_items: items of a synthetic user, |V+|, drawn anew each time, never targets.
    num_negatives: negatives beside each of them; the paper states no number for synthetic users, 4 is its users'.
    inner_optimizer: of the synthetic user's vector, all else held fixed (Eq. 13); the paper states none.
    inner_steps: number of its steps; the paper states none.
    inner_lr: its step size; the paper states none.
    init_std: standard deviation of the vector's normal initialisation; that of the model's.
    top_k: items on the synthetic user's list, K; the paper states none, 5 is that of its ER@5.
    alternatives: items most similar to a target that it is lifted above, too, as in the first paper on PSMU; 0 in the
      second.
    margin_on: predicted preferences are probabilities, "prob", as written (Eq. 4 and 14), or "logit".
    upload_shared: whether the gradient of the shared parameters is uploaded (Eq. 15).

  Returns:
    A model-poisoning attack without knowledge; one row per target and client (Eq. 16).

  Raises:
    ValueError: if a number is out of its range; by `init`, if there are too few items.

  References:
    Yuan et al., "Manipulating Visually-aware Federated Recommender Systems and Its Countermeasures", 2023, Eq. 13 to
    16, Algorithm 2; first in Yuan et al., "Manipulating Federated Recommender Systems: Poisoning with Synthetic Users
    and Its Countermeasures", 2023.
  """
  settings = Settings(
    num_items, num_negatives, inner_optimizer, inner_steps, inner_lr, init_std, top_k, alternatives, margin_on
  )
  check_settings("psmu", settings)

  def init(key: jax.Array, context: AttackContext) -> jax.Array:
    del key
    return allowed_items(settings, context)

  def poison(
    state: jax.Array, uploads: ClientUpdates, view: AttackView, key: jax.Array
  ) -> tuple[ClientUpdates, jax.Array]:
    del uploads
    known = known_to(view)

    def of_client(key: jax.Array) -> tuple[jax.Array, Any]:
      return promotion_gradients(settings, known, invent(settings, known, state, key), view.targets)

    keys = jax.vmap(jax.random.fold_in, in_axes=(None, 0))(key, view.client)
    return promoting_uploads(view, *jax.vmap(of_client)(keys), upload_shared=upload_shared), state

  return Attack(when_active(poison), init)
