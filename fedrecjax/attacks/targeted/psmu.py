"""PSMU: poisoning with synthetic malicious users, invented anew in every round."""

from __future__ import annotations

from typing import Any

import jax

from fedrecjax.attacks.attacked_rounds import when_active
from fedrecjax.attacks.registry import ATTACKS
from fedrecjax.attacks.targeted.psmu_users import (
  PsmuOptions,
  allowed_items,
  check_synthetic,
  invented_user,
  known_to,
  promoting_uploads,
  promotion_gradients,
)
from fedrecjax.methods.hyperparameters import traced
from fedrecjax.methods.options import keywords_of
from fedrecjax.types import Attack, AttackContext, AttackView, ClientUpdates


@ATTACKS.register
@traced
@keywords_of(PsmuOptions)
def psmu(options: PsmuOptions) -> Attack:
  """PSMU: each malicious client trains a user on random items and lifts the targets onto that user's list.

  Returns:
    A model-poisoning attack without knowledge; one row per target and client (Eq. 16).

  Raises:
    ValueError: if a number is out of its range; by `init`, if there are too few items.

  References:
    Yuan et al., "Manipulating Visually-aware Federated Recommender Systems and Its Countermeasures", 2023, Eq. 13 to
    16, Algorithm 2; first in Yuan et al., "Manipulating Federated Recommender Systems: Poisoning with Synthetic Users
    and Its Countermeasures", 2023.
  """
  check_synthetic("psmu", options)

  def init(key: jax.Array, context: AttackContext) -> jax.Array:
    del key
    return allowed_items(options, context)

  def poison(
    state: jax.Array, uploads: ClientUpdates, view: AttackView, key: jax.Array
  ) -> tuple[ClientUpdates, jax.Array]:
    del uploads
    known = known_to(view)

    def of_client(key: jax.Array) -> tuple[jax.Array, Any]:
      return promotion_gradients(options, known, invented_user(options, known, state, key), view.targets)

    keys = jax.vmap(jax.random.fold_in, in_axes=(None, 0))(key, view.client)
    return promoting_uploads(view, *jax.vmap(of_client)(keys), upload_shared=options.upload_shared), state

  return Attack(when_active(poison), init)
