"""PSMU: poisoning with synthetic malicious users, invented anew in every round."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fedrecjax.attacks.idle import when_active
from fedrecjax.attacks.invented_clients import user_of_items
from fedrecjax.attacks.promotion import MarginOn, competitors, promotion_loss
from fedrecjax.attacks.registry import ATTACKS
from fedrecjax.attacks.synthetic_users import InnerOptimizer, draw_synthetic, synthetic_user
from fedrecjax.hyperparameters import check, traced
from fedrecjax.types import Attack, AttackContext, AttackView, ClientUpdates
from fedrecjax.uploads import item_rows, with_shared


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
  for name, number in (("num_items", num_items), ("num_negatives", num_negatives), ("inner_steps", inner_steps),
                       ("inner_lr", inner_lr), ("init_std", init_std), ("top_k", top_k)):
    check(number > 0, f"psmu.{name} must be positive, got {number}")
  check(alternatives >= 0, f"psmu.alternatives must not be negative, got {alternatives}")

  def init(key: jax.Array, context: AttackContext) -> jax.Array:
    del key
    allowed = np.setdiff1d(np.arange(context.num_items), context.targets)
    needed = num_items + max(top_k, alternatives)
    if len(allowed) < needed:
      raise ValueError(f"synthetic users of {num_items} items and lists of {needed - num_items} others need {needed}"
                       f" items that are no targets, there are {len(allowed)}")
    return jnp.asarray(allowed, jnp.int32)

  def of_client(allowed: jax.Array, view: AttackView, key: jax.Array) -> tuple[jax.Array, Any]:
    """What one client uploads: gradients of the targets' rows `[T, d]` and of the shared parameters."""
    assert view.loss is not None
    model, received, dim = view.model, view.received, view.public.items.shape[1]
    table, shared = received
    drawn = draw_synthetic(
      key, allowed, num_positives=num_items, num_negatives=num_negatives, num_items=table.shape[0],
      dim=dim, init_std=init_std,
    )
    held = table[drawn.items]
    private = synthetic_user(
      model, view.loss, drawn.private, held, table[drawn.negatives], shared,
      optimizer=inner_optimizer, steps=inner_steps, step_size=inner_lr,
    )
    logits = model.score(received, user_of_items(model, private, held, shared), None)
    above = competitors(logits, drawn.items, view.targets, table, top_k=top_k, alternatives=alternatives)

    def loss(rows: jax.Array, shared: Any) -> jax.Array:
      user = user_of_items(model, private, held, shared)
      return promotion_loss(model, user, rows, table[above.items], above.counted, shared, margin_on=margin_on)

    for_rows, for_shared = jax.grad(loss, argnums=(0, 1))(table[view.targets], shared)
    return for_rows[:, :dim], for_shared

  def poison(
    state: jax.Array, uploads: ClientUpdates, view: AttackView, key: jax.Array
  ) -> tuple[ClientUpdates, jax.Array]:
    del uploads
    keys = jax.vmap(jax.random.fold_in, in_axes=(None, 0))(key, view.client)
    rows, shared = jax.vmap(lambda key: of_client(state, view, key))(keys)
    sent = item_rows(view.slot, view.active, view.targets, rows, view.public.items.shape[0])
    return with_shared(sent, view.slot, view.active, shared if upload_shared else (), view.num_clients), state

  return Attack(when_active(poison), init)
