"""PipAttack: the targets are boosted and made to look popular to a network that tells popular items from others."""

from __future__ import annotations

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from fedrecjax.attacks.attacked_rounds import when_active
from fedrecjax.attacks.registry import ATTACKS
from fedrecjax.attacks.targeted.boosted_targeted import targeted_uploads
from fedrecjax.attacks.targeted.popularity_estimator import (
  Estimator,
  init_estimator,
  obfuscation_gradient,
  popularity_classes,
  train_estimator,
)
from fedrecjax.attacks.targeted.stealthy_uploads import LastSeen, added_to_honest, distances, last_change, nothing_seen
from fedrecjax.methods.hyperparameters import check, traced
from fedrecjax.types import Attack, AttackContext, AttackView, ClientUpdates
from fedrecjax.uploads.rows import clip_factor, item_rows, merge_rows


class PipAttackState(NamedTuple):
  """State of :func:`pipattack`.

  Attributes:
    estimator: of popularity, which all malicious clients share.
    classes: popularity level of each item, int32 `[M]`.
    seen: the item table as they last received it; None without the distance constraint.
  """

  estimator: Estimator
  classes: jax.Array
  seen: LastSeen | None


def near(sent: ClientUpdates, center: jax.Array, radius: jax.Array | float, num_clients: int) -> ClientUpdates:
  """Moves the item rows of each client, taken together, straight towards a centre until they are near it.

  Args:
    sent: one row per client and item.
    center: `[M, d]`.
    radius: largest L2 distance of a client, over the rows that it sends.
    num_clients: C.
  """
  gap = sent.row - center.at[sent.item].get(mode="clip")
  gap = jnp.where((sent.item < center.shape[0])[:, None], gap, 0.0)
  factor = clip_factor(distances(gap, sent.client, num_clients), radius)[sent.client]
  return sent._replace(row=sent.row + (factor[:, None] - 1) * gap)


@ATTACKS.register
@traced
def pipattack(
  *,
  alpha: float = 60.0,
  honest: float | None = 1.0,
  tau: float | None = None,
  last_update: Literal["share", "whole"] = "share",
  hidden: tuple[int, ...] = (16, 8),
  estimator_steps: int = 20,
  estimator_rate: float = 1e-3,
  top_share: float = 0.1,
  middle_share: float = 0.45,
) -> Attack:
  """PipAttack: explicit promotion of the targets, and embeddings that look like those of popular items.

  A malicious client labels the targets as liked by its own vector, as `boosted_targeted` does. All malicious clients
  share a network that tells the popularity level of an item from its embedding. It is trained on in every round with
  an attacker, then held fixed; the targets are pushed to where it takes them for items of the top level.

  Args:
    alpha: weight of the popularity obfuscation beside the promotion; both are means over the targets.
    honest: weight of the client's honest upload, to which the rest is added; none: it is not sent.
    tau: largest L2 distance of an upload's item rows to the last update of the model at these rows, in units of
      gradients; none: no constraint.
    last_update: for `tau`: one client's "share" of it, its n-th part for n clients in a full round, which is a normal
      upload where the server adds uploads up; or the "whole", for servers that average. Each attacker sends about the
      same again, so that the whole makes sums grow without bound.
    hidden: widths of the estimator's hidden layers; 16+8 makes it 32-16-8-3 for d = 32.
    estimator_steps: of Adam on all items but the targets, in each round with an attacker.
    estimator_rate: their step size.
    top_share: share of the items in the top level of popularity, rounded up.
    middle_share: share of the items in the next level; there are three.

  Returns:
    A model-poisoning attack of clients with data of their own that knows how popular items are.

  Raises:
    ValueError: if a number is out of its range.

  References:
    Zhang et al., "PipAttack: Poisoning Federated Recommender Systems for Manipulating Item Promotion", WSDM 2022. There
    is no published code of its authors; docs/fidelity_attacks.md says what is taken from where.
  """
  check(alpha >= 0, f"pipattack.alpha must not be negative, got {alpha}")
  check(honest is None or honest > 0, f"pipattack.honest must be positive or none, got {honest}")
  check(tau is None or tau > 0, f"pipattack.tau must be positive or none, got {tau}")
  check(len(hidden) > 0 and min(hidden) > 0, f"pipattack.hidden must be positive widths, at least one, got {hidden}")
  check(estimator_steps > 0, f"pipattack.estimator_steps must be positive, got {estimator_steps}")
  check(estimator_rate > 0, f"pipattack.estimator_rate must be positive, got {estimator_rate}")
  check((top_share > 0) & (top_share < 1), f"pipattack.top_share must lie between 0 and 1, got {top_share}")
  check((middle_share > 0) & (top_share + middle_share <= 1),
        f"pipattack.middle_share must be positive and at most 1 with top_share, got {middle_share}")

  def init(key: jax.Array, context: AttackContext) -> PipAttackState:
    assert context.popularity is not None
    return PipAttackState(
      estimator=init_estimator(key, context.dim, hidden),
      classes=jnp.asarray(popularity_classes(context.popularity, top_share, middle_share), jnp.int32),
      seen=None if tau is None else nothing_seen(context),
    )

  def poison(
    state: PipAttackState, uploads: ClientUpdates, view: AttackView, key: jax.Array
  ) -> tuple[ClientUpdates, PipAttackState]:
    del key
    table = view.public.items
    num_items = table.shape[0]
    estimator = train_estimator(
      state.estimator, table, state.classes, view.targets, steps=estimator_steps, rate=estimator_rate
    )
    popular = alpha * obfuscation_gradient(estimator.layers, table[view.targets])
    rows = jnp.broadcast_to(popular, (view.slot.shape[0], *popular.shape))
    sent = targeted_uploads(view, 1.0)
    # The same places as those of the promotion: a client's rows for a target are one row.
    sent = sent._replace(row=sent.row + item_rows(view.slot, view.active, view.targets, rows, num_items).row)
    if honest is not None:
      sent = added_to_honest(uploads, honest, sent, view.num_clients)
    if tau is None:
      return sent, state._replace(estimator=estimator)
    assert state.seen is not None
    change, known = last_change(state.seen, table, view.round)
    sent = merge_rows(sent, num_items)
    parts = view.num_clients if last_update == "share" else 1
    nearer = near(sent, -change / (parts * view.learning_rate), tau, view.num_clients)
    sent = sent._replace(row=jnp.where(known, nearer.row, sent.row))
    return sent, state._replace(estimator=estimator, seen=LastSeen(table, view.round))

  return Attack(when_active(poison), init, requires=frozenset({"popularity", "own_data"}), colludes=True)
