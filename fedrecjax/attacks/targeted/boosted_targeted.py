"""Targeted model poisoning: a boosted gradient of the malicious objective, openly or beside an honest upload."""

from __future__ import annotations

from typing import Any, Literal

import jax
import jax.numpy as jnp

from fedrecjax.attacks.attacked_rounds import when_active
from fedrecjax.attacks.registry import ATTACKS
from fedrecjax.attacks.targeted.explicit_boosting import own_boosting_loss
from fedrecjax.attacks.targeted.stealthy_uploads import LastSeen, added_to_honest, distances, last_change, nothing_seen
from fedrecjax.methods.hyperparameters import check, traced
from fedrecjax.types import Attack, AttackContext, AttackView, ClientUpdates, no_state
from fedrecjax.uploads.rows import item_rows, merge_rows, with_shared

Distance = Literal["norm", "squared"]


def targeted_uploads(view: AttackView, factor: jax.Array | float) -> ClientUpdates:
  """Gradients of `own_boosting_loss` for the clients' own vectors, times a factor."""
  table, shared = view.received
  dim = view.public.items.shape[1]
  assert view.private is not None

  def of_client(private: jax.Array) -> tuple[jax.Array, Any]:
    def loss(rows: jax.Array, shared: Any) -> jax.Array:
      return own_boosting_loss(view.model, private, rows, shared)

    for_rows, for_shared = jax.grad(loss, argnums=(0, 1))(table[view.targets], shared)
    return for_rows[:, :dim], for_shared

  rows, for_shared = jax.tree.map(lambda leaf: factor * leaf, jax.vmap(of_client)(view.private))
  sent = item_rows(view.slot, view.active, view.targets, rows, table.shape[0])
  return with_shared(sent, view.slot, view.active, for_shared, view.num_clients)


def distance_gradient(
  sent: ClientUpdates, change: jax.Array, learning_rate: jax.Array, num_clients: int, kind: Distance
) -> jax.Array:
  """Gradient of the distance between each client's change of the item table and another with respect to its own.

  Args:
    sent: one row per client and item; the client's own change is minus the learning rate times it.
    change: the other change of the table `[M, d]`.
    learning_rate: step size.
    num_clients: C.
    kind: "norm" is the L2 norm over the rows that the client sends, "squared" half its square.

  Returns:
    `[E, d]`.
  """
  num_items = change.shape[0]
  gap = -learning_rate * sent.row - change.at[sent.item].get(mode="clip")
  gap = jnp.where((sent.item < num_items)[:, None], gap, 0.0)
  if kind == "squared":
    return gap
  length = distances(gap, sent.client, num_clients)[sent.client][:, None]
  return jnp.where(length > 0, gap / jnp.where(length > 0, length, 1.0), 0.0)


@ATTACKS.register
@traced
def boosted_targeted(
  *,
  boost: float | None = 1.0,
  stealth: float | None = None,
  rho: float = 1e-4,
  distance: Distance = "norm",
) -> Attack:
  """P3: each malicious client labels the targets as liked by itself and uploads that gradient, boosted.

  A client behaves like others but for its upload, so that its own vector is that of a user. The original takes many
  local steps; here all gradients are at what the client received, as those of others are.

  Args:
    boost: factor on the malicious gradient. 1 is right where the server adds uploads up; none: the number of clients
      in a full round over that of attackers in this one, n/m, which undoes a mean over all clients of a round and is
      too large for a mean over those who touched an item.
    stealth: weight of what makes the upload look honest: the client's honest upload, and `rho` times the gradient of
      the distance between its own change of the item rows and the last change of the model; none: neither is sent.
    rho: weight of the distance; 1e-4 is the published code's.
    distance: the L2 "norm" over the item rows that the client sends (paper), or half of it "squared" (published code).

  Returns:
    A model-poisoning attack of clients with data of their own. The last change is taken per round since attackers last
    took part, as in the published code; there is none before they have.

  Raises:
    ValueError: if a number is out of its range.

  References:
    Bhagoji et al., "Analyzing Federated Learning through an Adversarial Lens", 2019: explicit boosting (3.1) and, for
    `stealth`, one step of alternating minimisation (3.3): the boosted and the honest gradient, then that of the
    distance after both. P3 in Rong et al., FedRecAttack, 2022, Table VIII.
  """
  check(boost is None or boost > 0, f"boosted_targeted.boost must be positive or none, got {boost}")
  check(stealth is None or stealth > 0, f"boosted_targeted.stealth must be positive or none, got {stealth}")
  check(rho >= 0, f"boosted_targeted.rho must not be negative, got {rho}")

  def factor(view: AttackView) -> jax.Array | float:
    return view.num_clients / jnp.maximum(jnp.sum(view.active, dtype=jnp.int32), 1) if boost is None else boost

  def open_poison(
    state: tuple[()], uploads: ClientUpdates, view: AttackView, key: jax.Array
  ) -> tuple[ClientUpdates, tuple[()]]:
    del uploads, key
    return targeted_uploads(view, factor(view)), state

  if stealth is None:
    return Attack(open_poison, no_state, requires=frozenset({"own_data"}), colludes=boost is None)
  weight = stealth

  def init(key: jax.Array, context: AttackContext) -> LastSeen:
    del key
    return nothing_seen(context)

  def poison(
    state: LastSeen, uploads: ClientUpdates, view: AttackView, key: jax.Array
  ) -> tuple[ClientUpdates, LastSeen]:
    del key
    table = view.public.items
    sent = added_to_honest(uploads, weight, targeted_uploads(view, factor(view)), view.num_clients)
    sent = merge_rows(sent, table.shape[0])
    change, known = last_change(state, table, view.round)
    slope = jnp.where(known, distance_gradient(sent, change, view.learning_rate, view.num_clients, distance), 0.0)
    return sent._replace(row=sent.row + weight * rho * slope), LastSeen(table, view.round)

  return Attack(when_active(poison), init, requires=frozenset({"own_data"}), colludes=True)
