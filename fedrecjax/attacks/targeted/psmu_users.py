"""Synthetic users as PSMU and its relatives use them: whom they stand for, and how far targets are from their lists."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from fedrecjax.attacks.targeted.invented_clients import user_of_items
from fedrecjax.attacks.targeted.promotion_loss import Competitors, MarginOn, competitors, promotion_loss
from fedrecjax.attacks.targeted.synthetic_users import InnerOptimizer, draw_synthetic, synthetic_user
from fedrecjax.methods.hyperparameters import check
from fedrecjax.types import AttackContext, AttackView, ClientUpdates, ImageView, Loss, Model, Public
from fedrecjax.uploads.rows import item_rows, with_shared


@dataclasses.dataclass(frozen=True, kw_only=True)
class SyntheticUserOptions:
  """Hyperparameters of synthetic users and of what lifts targets onto their lists.

  Attributes:
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
  """

  num_items: int = 30
  num_negatives: int = 4
  inner_optimizer: InnerOptimizer = "adam"
  inner_steps: int = 30
  inner_lr: float = 1e-3
  init_std: float = 0.01
  top_k: int = 5
  alternatives: int = 0
  margin_on: MarginOn = "prob"


@dataclasses.dataclass(frozen=True, kw_only=True)
class PsmuOptions(SyntheticUserOptions):
  """Hyperparameters of malicious clients that upload gradients for synthetic users.

  Attributes:
    upload_shared: whether the gradient of the shared parameters is uploaded (Eq. 15).
  """

  upload_shared: bool = True


class SyntheticUser(NamedTuple):
  """A user that the attacker has invented and trained.

  Attributes:
    items: its items, int32 `[n]`.
    private: its own vector `[d]`.
  """

  items: jax.Array
  private: jax.Array


class Recommender(NamedTuple):
  """The recommender as an attacker knows it.

  Attributes:
    model: functions of the base recommender.
    loss: of one sample.
    received: the parameters as the model's functions take them.
    dim: d.
  """

  model: Model
  loss: Loss
  received: Public
  dim: int


def known_to(view: AttackView | ImageView) -> Recommender:
  """The recommender as an attacker or a provider sees it."""
  assert view.loss is not None
  return Recommender(view.model, view.loss, view.received, view.public.items.shape[1])


def check_synthetic(owner: str, options: SyntheticUserOptions) -> None:
  """Raises ValueError, naming the attack's field, if a number is out of its range."""
  for name in ("num_items", "num_negatives", "inner_steps", "inner_lr", "init_std", "top_k"):
    number = getattr(options, name)
    check(number > 0, f"{owner}.{name} must be positive, got {number}")
  check(options.alternatives >= 0, f"{owner}.alternatives must not be negative, got {options.alternatives}")


def allowed_items(options: SyntheticUserOptions, context: AttackContext) -> jax.Array:
  """Items that synthetic users may hold: all but targets, int32 `[M - T]`.

  Raises:
    ValueError: if there are too few of them.
  """
  allowed = np.setdiff1d(np.arange(context.num_items), context.targets)
  others = max(options.top_k, options.alternatives)
  if len(allowed) < options.num_items + others:
    raise ValueError(f"synthetic users of {options.num_items} items and lists of {others} others need"
                     f" {options.num_items + others} items that are no targets, there are {len(allowed)}; lower"
                     " num_items, top_k, alternatives or attacker.num_targets")
  return jnp.asarray(allowed, jnp.int32)


def check_users(context: AttackContext) -> None:
  """Raises ValueError if a provider would have no user to be led by."""
  if context.num_malicious == 0:
    raise ValueError("attacker.malicious_ratio leaves no synthetic user, which the images would be made for")


def invented_user(
  options: SyntheticUserOptions, known: Recommender, allowed: jax.Array, key: jax.Array
) -> SyntheticUser:
  """Draws a user's items among those allowed and trains its vector on them (Yuan et al., 2023, Eq. 13)."""
  table, shared = known.received
  drawn = draw_synthetic(
    key, allowed, num_positives=options.num_items, num_negatives=options.num_negatives, num_items=table.shape[0],
    dim=known.dim, init_std=options.init_std,
  )
  private = synthetic_user(
    known.model, known.loss, drawn.private, table[drawn.items], table[drawn.negatives], shared,
    optimizer=options.inner_optimizer, steps=options.inner_steps, step_size=options.inner_lr,
  )
  return SyntheticUser(drawn.items, private)


def competitors_of(
  options: SyntheticUserOptions, known: Recommender, user: SyntheticUser, targets: jax.Array
) -> Competitors:
  """The items that each target is to be lifted above for a user, as the parameters are."""
  table, shared = known.received
  vector = user_of_items(known.model, user.private, table[user.items], shared)
  return competitors(
    known.model.score(known.received, vector, None), user.items, targets, table[:, : known.dim], top_k=options.top_k,
    alternatives=options.alternatives,
  )


def shortfall(
  options: SyntheticUserOptions, known: Recommender, user: SyntheticUser, above: Competitors, rows: jax.Array,
  shared: Any,
) -> jax.Array:
  """How far other items stand above the targets for a user, a sum (Yuan et al., 2023, Eq. 14 for one user).

  Args:
    options: hyperparameters.
    known: the recommender, of which all rows but the targets' are.
    user: the synthetic user.
    above: from :func:`competitors_of`.
    rows: of the targets as the model's functions take them, `[T, d]`.
    shared: the other public parameters.
  """
  table = known.received.items
  vector = user_of_items(known.model, user.private, table[user.items], shared)
  return promotion_loss(
    known.model, vector, rows, table[above.items], above.counted, shared, margin_on=options.margin_on
  )


def promotion_gradients(
  options: SyntheticUserOptions, known: Recommender, user: SyntheticUser, targets: jax.Array
) -> tuple[jax.Array, Any]:
  """What a malicious client uploads for a user (Yuan et al., 2023, Eq. 15 and 16).

  Returns:
    Gradients of the targets' embeddings `[T, d]` and of the shared parameters.
  """
  table, shared = known.received
  above = competitors_of(options, known, user, targets)
  for_rows, for_shared = jax.grad(
    lambda rows, shared: shortfall(options, known, user, above, rows, shared), argnums=(0, 1)
  )(table[targets], shared)
  return for_rows[:, : known.dim], for_shared


def promoting_uploads(view: AttackView, rows: jax.Array, shared: Any, *, upload_shared: bool) -> ClientUpdates:
  """Uploads of targets' rows alone (Yuan et al., 2023, Eq. 16).

  Args:
    view: of the round.
    rows: gradients of the targets' embeddings, of each malicious client `[A, T, d]`.
    shared: of the shared parameters, a pytree of `[A, ...]`.
    upload_shared: whether these are sent.
  """
  sent = item_rows(view.slot, view.active, view.targets, rows, view.public.items.shape[0])
  return with_shared(sent, view.slot, view.active, shared if upload_shared else (), view.num_clients)
