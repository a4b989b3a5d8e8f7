"""Explicit boosting: malicious clients pretend to like the targets and upload that gradient alone."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from fedrecjax.attacks.registry import ATTACKS
from fedrecjax.hyperparameters import check, traced
from fedrecjax.types import Attack, AttackContext, AttackView, ClientUpdates
from fedrecjax.uploads import item_rows


class ExplicitBoostingState(NamedTuple):
  """State of :func:`explicit_boosting`.

  Attributes:
    users: the malicious clients' own vectors, float32 `[malicious, d]`.
  """

  users: jax.Array


def boosting_loss(user: jax.Array, target_rows: jax.Array) -> jax.Array:
  """-log sigmoid(user . target), averaged over the targets `[T, d]`."""
  return jnp.mean(jax.nn.softplus(-target_rows @ user))


@ATTACKS.register
@traced
def explicit_boosting(*, init_std: float = 1.0) -> Attack:
  """Each malicious client holds a free vector, trains it to like the targets, and uploads the targets' rows.

  Args:
    init_std: standard deviation of the free vectors' normal initialisation; 1.0 is the published code's.

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
    table = view.public.items
    gradient = jax.vmap(jax.grad(boosting_loss, argnums=(0, 1)), in_axes=(0, None))
    for_users, for_targets = gradient(state.users.at[view.client].get(mode="clip"), table[view.targets])
    users = state.users.at[view.client].add(-view.learning_rate * for_users, mode="drop")
    sent = item_rows(view.slot, view.active, view.targets, for_targets, table.shape[0])
    return sent, ExplicitBoostingState(users)

  return Attack(poison, init)
