"""Explicit boosting: malicious clients pretend to like the targets and upload that gradient alone."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from fedrecjax.attacks.registry import ATTACKS
from fedrecjax.hyperparameters import check, traced
from fedrecjax.types import Attack, AttackContext, AttackView, ClientUpdates, Model
from fedrecjax.uploads import item_rows, with_shared
from fedrecjax.user_vectors import lone_vector


class ExplicitBoostingState(NamedTuple):
  """State of :func:`explicit_boosting`.

  Attributes:
    users: the malicious clients' own vectors, float32 `[malicious, d]`.
  """

  users: jax.Array


def boosting_loss(model: Model, user: jax.Array, target_rows: jax.Array, shared: Any) -> jax.Array:
  """How little a user likes the targets.

  Args:
    model: scores them.
    user: the user's own vector `[d]`; it has no items.
    target_rows: `[T, d]`.
    shared: the other public parameters.

  Returns:
    -log sigmoid(score), averaged over the targets.
  """
  vector = lone_vector(model, user, target_rows[0], shared)
  logits = jax.vmap(model.score_row, in_axes=(None, 0, None))(vector, target_rows, shared)
  return jnp.mean(jax.nn.softplus(-logits))


@ATTACKS.register
@traced
def explicit_boosting(*, init_std: float = 1.0, upload_shared: bool = True) -> Attack:
  """Each malicious client holds a free vector, trains it to like the targets, and uploads the targets' rows.

  Args:
    init_std: standard deviation of the free vectors' normal initialisation; 1.0 is the published code's.
    upload_shared: whether the gradient with respect to the shared parameters is uploaded too, as in the published
      code. Without effect on models that have none.

  Returns:
    A model-poisoning attack without knowledge.

  Raises:
    ValueError: if `init_std` is not positive.

  References:
    Zhang et al., "PipAttack", 2022: the explicit promotion term alone, which is what remains of PipAttack once
    popularity levels are masked (PIECK, supplement A.3, and its published code).
  """
  check(init_std > 0, f"explicit_boosting.init_std must be positive, got {init_std}")

  def init(key: jax.Array, context: AttackContext) -> ExplicitBoostingState:
    shape = (context.num_malicious, context.dim)
    return ExplicitBoostingState(init_std * jax.random.normal(key, shape))

  def poison(
    state: ExplicitBoostingState, uploads: ClientUpdates, view: AttackView, key: jax.Array
  ) -> tuple[ClientUpdates, ExplicitBoostingState]:
    del uploads, key
    table, shared = view.public
    gradient = jax.vmap(jax.grad(boosting_loss, argnums=(1, 2, 3)), in_axes=(None, 0, None, None))
    own = state.users.at[view.client].get(mode="clip")
    for_users, for_targets, for_shared = gradient(view.model, own, table[view.targets], shared)
    users = state.users.at[view.client].add(-view.learning_rate * for_users, mode="drop")
    sent = item_rows(view.slot, view.active, view.targets, for_targets, table.shape[0])
    sent = with_shared(sent, view.slot, view.active, for_shared if upload_shared else (), view.num_clients)
    return sent, ExplicitBoostingState(users)

  return Attack(poison, init)
