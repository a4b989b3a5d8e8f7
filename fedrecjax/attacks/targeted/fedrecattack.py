"""FedRecAttack: the attacker approximates users from public interactions and descends on a loss of exposure."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from fedrecjax.attacks.attacked_rounds import when_active
from fedrecjax.attacks.registry import ATTACKS
from fedrecjax.attacks.targeted.exposure_loss import Reference, exposure_gradient
from fedrecjax.attacks.targeted.fedrecattack_uploads import Shares, share_out
from fedrecjax.attacks.targeted.user_approximation import (
  Approximation,
  PublicLists,
  init_approximation,
  public_lists,
  refresh,
)
from fedrecjax.methods.hyperparameters import check, traced
from fedrecjax.types import Array, Attack, AttackContext, AttackView, ClientUpdates
from fedrecjax.uploads.rows import item_rows, with_shared


class FedRecAttackState(NamedTuple):
  """State of :func:`fedrecattack`.

  Attributes:
    lists: what is public of users' interactions.
    approximation: of those users' vectors.
    sets: items of each malicious client, int32 `[malicious, kappa]`; -1 before it has taken part.
  """

  lists: PublicLists
  approximation: Approximation
  sets: Array


@ATTACKS.register
@traced
def fedrecattack(
  *,
  max_rows: int = 60,
  row_norm: float = 1.0,
  strength: float = 1.0,
  list_length: int = 10,
  reference: Reference = "others",
  approximation_rate: float = 0.01,
  passes: int = 1,
  batch: int = 256,
  num_negatives: int = 1,
  init_std: float = 0.01,
  selection_variance: float = 1e-7,
  upload_variance: float = 1e-7,
  upload_shared: bool = False,
) -> Attack:
  """FedRecAttack: pulls targets just above what approximated users would be recommended, in inconspicuous uploads.

  In each round with malicious clients the attacker moves its approximation of the users on by Adam, finds for each
  of them the item that a target has to overtake, and shares the gradient of all margins among the round's malicious
  clients, each of which sends the rows of its own few items. Users nothing of whom is public are not approximated;
  if there are no others, clients send noise.

  Args:
    max_rows: item rows that a malicious client uploads, the targets among them, kappa (section V-A).
    row_norm: bound of their L2 norm, C (Eq. 23).
    strength: factor on the gradient, zeta (Eq. 20).
    list_length: K of the attacker's loss; the published code's, since the paper does not state it.
    reference: what a target has to overtake. "others": the worst of the K best items that are no targets, as in the
      published code (of several targets of a user the second has to overtake the item above it, and so on).
      "list": the worst non-target among the K best items of all (Eq. 15), a higher bar once a target is listed.
    approximation_rate: step size of Adam on the approximated users (Eq. 19), the published code's.
    passes: over all users in each round with malicious clients; 1 is the published code's.
    batch: users in a step of Adam, the published code's.
    num_negatives: negatives per public item, drawn anew in each pass.
    init_std: standard deviation of the approximated users before the first round.
    selection_variance: of the noise on the gradient by whose row norms clients choose their items, the published
      code's; Eq. 22 has none (0).
    upload_variance: of the noise on uploaded rows, the published code's; Eq. 23 has none (0).
    upload_shared: whether the gradient with respect to the shared parameters is uploaded too, divided evenly among
      the round's malicious clients. The paper attacks item rows alone.

  Returns:
    A model-poisoning attack that knows a part of the interactions (`attacker.public_share`).

  Raises:
    ValueError: if a number is out of its range.

  References:
    Rong et al., "FedRecAttack: Model Poisoning Attack to Federated Recommendation", 2022, section IV, Algorithm 1;
    docs/fidelity_attacks.md compares it with its published code.
  """
  for field, value in (
    ("max_rows", max_rows), ("row_norm", row_norm), ("strength", strength), ("list_length", list_length),
    ("approximation_rate", approximation_rate), ("passes", passes), ("batch", batch),
    ("num_negatives", num_negatives), ("init_std", init_std),
  ):
    check(value > 0, f"fedrecattack.{field} must be positive, got {value}")
  for field, value in (("selection_variance", selection_variance), ("upload_variance", upload_variance)):
    check(value >= 0, f"fedrecattack.{field} must not be negative, got {value}")

  def init(key: Array, context: AttackContext) -> FedRecAttackState:
    num_targets = len(context.targets)
    if not num_targets <= max_rows <= context.num_items:
      raise ValueError(
        f"fedrecattack.max_rows must lie between the {num_targets} targets and the {context.num_items} items,"
        f" got {max_rows}"
      )
    if list_length > context.num_items - num_targets:
      raise ValueError(f"fedrecattack.list_length={list_length} is more than there are items beside the targets")
    lists = public_lists(context.interactions, batch)
    return FedRecAttackState(
      lists,
      init_approximation(key, lists.start.shape[0], context.dim, init_std),
      jnp.full((context.num_malicious, max_rows), -1, jnp.int32),
    )

  def attack(state: FedRecAttackState, view: AttackView, key: Array) -> tuple[Shares, Any, Approximation]:
    for_users, for_uploads = jax.random.split(key)
    received = view.received
    approximation = refresh(
      state.approximation, state.lists, view.model, received, for_users,
      learning_rate=approximation_rate, passes=passes, batch=batch, num_negatives=num_negatives,
    )
    wanted = exposure_gradient(
      view.model, received, approximation.users, state.lists, view.targets,
      list_length=list_length, reference=reference, with_shared=upload_shared,
    )
    table, shared = jax.tree.map(lambda leaf: strength * leaf, wanted)
    table = table[:, : view.public.items.shape[1]]
    shares = share_out(
      table, state.sets, view.client, view.active, view.targets, for_uploads,
      row_norm=row_norm, selection_variance=selection_variance, upload_variance=upload_variance,
    )
    return shares, shared, approximation

  def poison(
    state: FedRecAttackState, uploads: ClientUpdates, view: AttackView, key: Array
  ) -> tuple[ClientUpdates, FedRecAttackState]:
    del uploads
    shares, shared, approximation = attack(state, view, key)
    places, num_items = view.client.shape[0], view.public.items.shape[0]
    slot, active = view.slot[shares.place], view.active[shares.place]
    sent = item_rows(slot, active, shares.items, shares.rows, num_items)
    share = 1 / jnp.maximum(jnp.sum(active, dtype=jnp.int32), 1)
    each = jax.tree.map(lambda leaf: jnp.broadcast_to(share * leaf, (places, *leaf.shape)), shared)
    sent = with_shared(sent, slot, active, each, view.num_clients)
    return sent, FedRecAttackState(state.lists, approximation, shares.sets)

  return Attack(when_active(poison), init, requires=frozenset({"public_interactions"}), colludes=True)
