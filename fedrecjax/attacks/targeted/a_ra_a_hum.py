"""A-ra and A-hum: the attacker invents users and trains the public parameters until the targets suit them."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from fedrecjax.attacks.registry import ATTACKS
from fedrecjax.attacks.targeted.explicit_boosting import boosting_loss
from fedrecjax.clients.user_vectors import vector_without_items
from fedrecjax.methods.hyperparameters import check, traced
from fedrecjax.methods.options import keywords_of
from fedrecjax.types import Attack, AttackView, ClientUpdates, Model, State
from fedrecjax.uploads.rows import item_rows, with_shared


@dataclasses.dataclass(frozen=True, kw_only=True)
class InventedUserOptions:
  """Hyperparameters of :func:`a_ra`.

  Attributes:
    num_users: users that a client invents anew each time, s; 10 is the published code's.
    init_std: standard deviation of their normal distribution, sigma; that of the model's initialisation.
  """

  num_users: int = 10
  init_std: float = 0.01


@dataclasses.dataclass(frozen=True, kw_only=True)
class HardUserOptions(InventedUserOptions):
  """Hyperparameters of :func:`a_hum`.

  Attributes:
    steps: of gradient descent that harden the users; 30 is the published code's.
    step_size: of those; none: the learning rate, as in the published code.
  """

  steps: int = 30
  step_size: float | None = None


def dislike_loss(model: Model, user: jax.Array, target_rows: jax.Array, shared: Any) -> jax.Array:
  """How much a user likes the targets: -log(1 - sigmoid(score)), averaged over them; arguments as `boosting_loss`."""
  vector = vector_without_items(model, user, target_rows[0], shared)
  logits = jax.vmap(model.score_row, in_axes=(None, 0, None))(vector, target_rows, shared)
  return jnp.mean(jax.nn.softplus(logits))


def hard_user(
  model: Model, user: jax.Array, target_rows: jax.Array, shared: Any, *, steps: int, step_size: jax.Array | float
) -> jax.Array:
  """Moves a user by gradient descent until it likes the targets less, all else held fixed.

  Args:
    model: base recommender.
    user: `[d]`.
    target_rows: `[T, d]`.
    shared: the other public parameters.
    steps: number of steps.
    step_size: of each.

  Returns:
    `[d]`.
  """

  def step(_: jax.Array, user: jax.Array) -> jax.Array:
    return user - step_size * jax.grad(dislike_loss, argnums=1)(model, user, target_rows, shared)

  return lax.fori_loop(0, steps, step, user)


def _check_users(name: str, options: InventedUserOptions) -> None:
  for field in ("num_users", "init_std"):
    check(getattr(options, field) > 0, f"{name}.{field} must be positive, got {getattr(options, field)}")


def _invented_users(options: InventedUserOptions) -> Attack:
  def of_client(view: AttackView, key: jax.Array) -> tuple[jax.Array, Any]:
    """What one client uploads: gradients of the targets' rows `[T, d]` and of the shared parameters."""
    table, shared = view.received
    rows, dim = table[view.targets], view.public.items.shape[1]
    users = options.init_std * jax.random.normal(key, (options.num_users, dim), jnp.float32)
    if isinstance(options, HardUserOptions):
      steps, size = options.steps, view.learning_rate if options.step_size is None else options.step_size
      users = jax.vmap(lambda user: hard_user(view.model, user, rows, shared, steps=steps, step_size=size))(users)

    def loss(rows: jax.Array, shared: Any) -> jax.Array:
      return jnp.mean(jax.vmap(boosting_loss, in_axes=(None, 0, None, None))(view.model, users, rows, shared))

    for_rows, for_shared = jax.grad(loss, argnums=(0, 1))(rows, shared)
    return for_rows[:, :dim], for_shared

  def poison(
    state: State, uploads: ClientUpdates, view: AttackView, key: jax.Array
  ) -> tuple[ClientUpdates, State]:
    del uploads
    keys = jax.vmap(jax.random.fold_in, in_axes=(None, 0))(key, view.client)
    rows, shared = jax.vmap(lambda key: of_client(view, key))(keys)
    sent = item_rows(view.slot, view.active, view.targets, rows, view.public.items.shape[0])
    return with_shared(sent, view.slot, view.active, shared, view.num_clients), state

  return Attack(poison)


@ATTACKS.register
@traced
@keywords_of(InventedUserOptions)
def a_ra(options: InventedUserOptions) -> Attack:
  """A-ra: each malicious client invents random users and uploads what makes them like the targets.

  Returns:
    A model-poisoning attack without knowledge: the targets' rows and all shared parameters.

  Raises:
    ValueError: if a number is not positive.

  References:
    Rong et al., "Poisoning Deep Learning Based Recommender Model in Federated Learning Scenarios", 2022.
  """
  _check_users("a_ra", options)
  return _invented_users(options)


@ATTACKS.register
@traced
@keywords_of(HardUserOptions)
def a_hum(options: HardUserOptions) -> Attack:
  """A-hum: as A-ra, but the invented users are first trained to dislike the targets.

  Returns:
    A model-poisoning attack without knowledge: the targets' rows and all shared parameters.

  Raises:
    ValueError: if a number is not positive.

  References:
    Rong et al., "Poisoning Deep Learning Based Recommender Model in Federated Learning Scenarios", 2022.
  """
  _check_users("a_hum", options)
  steps, step_size = options.steps, options.step_size
  check(steps > 0, f"a_hum.steps must be positive, got {steps}")
  check(step_size is None or step_size > 0, f"a_hum.step_size must be positive or none, got {step_size}")
  return _invented_users(options)
