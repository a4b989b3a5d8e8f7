"""Explicit boosting: malicious clients pretend to like the targets and upload that gradient."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from fedrecjax.attacks.registry import ATTACKS
from fedrecjax.attacks.targeted.invented_clients import invented_loss, outside, user_of_items
from fedrecjax.clients.user_vectors import vector_without_items
from fedrecjax.methods.hyperparameters import check, traced
from fedrecjax.types import Attack, AttackContext, AttackView, ClientUpdates, Model
from fedrecjax.uploads.rows import item_rows, with_shared


class ExplicitBoostingState(NamedTuple):
  """State of :func:`explicit_boosting`.

  Attributes:
    users: the malicious clients' own vectors, float32 `[malicious, d]`.
    negatives: that each has beside each target, int32 `[malicious, T, q]`; None for free vectors.
  """

  users: jax.Array
  negatives: jax.Array | None = None


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
  vector = vector_without_items(model, user, target_rows[0], shared)
  logits = jax.vmap(model.score_row, in_axes=(None, 0, None))(vector, target_rows, shared)
  return jnp.mean(jax.nn.softplus(-logits))


def own_boosting_loss(model: Model, private: jax.Array, target_rows: jax.Array, shared: Any) -> jax.Array:
  """:func:`boosting_loss` of a client's own vector; in models of histories, which have none, of an empty history."""
  if model.encode is not None:
    private = user_of_items(model, private, target_rows[:0], shared)
  return boosting_loss(model, private, target_rows, shared)


@ATTACKS.register
@traced
def explicit_boosting(
  *,
  init_std: float = 1.0,
  upload_shared: bool = True,
  reading: Literal["free", "client"] = "free",
  num_negatives: int = 4,
) -> Attack:
  """Each malicious client holds a vector, trains it to like the targets, and uploads the targets' rows.

  Args:
    init_std: standard deviation of the vectors' normal initialisation; 1.0 is PIECK's published code's.
    upload_shared: whether the gradient with respect to the shared parameters is uploaded too, as in the published
      codes. Without effect on models that have none.
    reading: "free" is a free vector, trained on the targets alone (PIECK's published code); "client" an ordinary
      client that holds the targets, trains on them and on negatives by the run's loss, a mean over its terms, and
      uploads the rows of both (A-hum's published code).
    num_negatives: for "client": negatives beside each target, drawn once; 4 is A-hum's published code's.

  Returns:
    A model-poisoning attack without knowledge.

  Raises:
    ValueError: if a number is not positive; by `init`, if there is no item but targets to draw negatives from.

  References:
    Zhang et al., "PipAttack", 2022: the explicit promotion term alone, which is what remains of PipAttack once
    popularity levels are masked (PIECK, supplement A.3, and its published code).
  """
  check(init_std > 0, f"explicit_boosting.init_std must be positive, got {init_std}")
  check(num_negatives > 0, f"explicit_boosting.num_negatives must be positive, got {num_negatives}")

  def init(key: jax.Array, context: AttackContext) -> ExplicitBoostingState:
    shape = (context.num_malicious, context.dim)
    users = init_std * jax.random.normal(key, shape, jnp.float32)
    if reading == "free":
      return ExplicitBoostingState(users)
    targets = jnp.asarray(context.targets, jnp.int32)
    if context.num_items <= targets.shape[0]:
      raise ValueError(f"all {context.num_items} items are targets, so that no negative can be drawn")

    def draw(client: jax.Array) -> jax.Array:
      own = jax.random.fold_in(jax.random.fold_in(key, 1), client)
      bits = jax.random.bits(own, (targets.shape[0], num_negatives), jnp.uint32)
      return outside(bits, targets, context.num_items)

    return ExplicitBoostingState(users, jax.vmap(draw)(jnp.arange(context.num_malicious, dtype=jnp.int32)))

  def free(
    state: ExplicitBoostingState, uploads: ClientUpdates, view: AttackView, key: jax.Array
  ) -> tuple[ClientUpdates, ExplicitBoostingState]:
    del uploads, key
    table, shared = view.received
    gradient = jax.vmap(jax.grad(boosting_loss, argnums=(1, 2, 3)), in_axes=(None, 0, None, None))
    own = state.users.at[view.client].get(mode="clip")
    for_users, for_targets, for_shared = gradient(view.model, own, table[view.targets], shared)
    users = state.users.at[view.client].add(-view.learning_rate * for_users, mode="drop")
    sent = item_rows(
      view.slot, view.active, view.targets, for_targets[..., : view.public.items.shape[1]], table.shape[0]
    )
    sent = with_shared(sent, view.slot, view.active, for_shared if upload_shared else (), view.num_clients)
    return sent, ExplicitBoostingState(users)

  def ordinary(
    state: ExplicitBoostingState, uploads: ClientUpdates, view: AttackView, key: jax.Array
  ) -> tuple[ClientUpdates, ExplicitBoostingState]:
    del uploads, key
    assert view.loss is not None and state.negatives is not None
    loss, (table, shared) = view.loss, view.received

    def of_client(own: jax.Array, negatives: jax.Array) -> Any:
      def total(own: jax.Array, positives: jax.Array, others: jax.Array, shared: Any) -> jax.Array:
        return invented_loss(view.model, loss, own, positives, others, shared)

      return jax.grad(total, argnums=(0, 1, 2, 3))(own, table[view.targets], table[negatives], shared)

    own, negatives = (leaf.at[view.client].get(mode="clip") for leaf in (state.users, state.negatives))
    for_users, for_targets, for_negatives, for_shared = jax.vmap(of_client)(own, negatives)
    users = state.users.at[view.client].add(-view.learning_rate * for_users, mode="drop")
    places = view.slot.shape[0]
    targets = jnp.broadcast_to(view.targets, (places, *view.targets.shape))
    items = jnp.concatenate([targets, negatives.reshape(places, -1)], axis=1)
    rows = jnp.concatenate([for_targets, for_negatives.reshape(places, -1, table.shape[1])], axis=1)
    sent = item_rows(view.slot, view.active, items, rows[..., : view.public.items.shape[1]], table.shape[0])
    sent = with_shared(sent, view.slot, view.active, for_shared if upload_shared else (), view.num_clients)
    return sent, state._replace(users=users)

  return Attack(free if reading == "free" else ordinary, init)
