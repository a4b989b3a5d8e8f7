"""PSMU by images: synthetic users lead the changes of a target's picture, alone or beside PSMU's gradients."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from fedrecjax.attacks.idle import when_active
from fedrecjax.attacks.images.changed_images import PixelSettings, changed_images, check_pixels
from fedrecjax.attacks.registry import ATTACKS
from fedrecjax.attacks.targeted.promoting_users import (
  Recommender,
  Settings,
  SyntheticUser,
  allowed_items,
  check_settings,
  check_users,
  invent,
  known_to,
  lifted_above,
  promoting_uploads,
  promotion_gradients,
  shortfall,
)
from fedrecjax.attacks.targeted.promotion import MarginOn
from fedrecjax.attacks.targeted.synthetic_users import InnerOptimizer
from fedrecjax.methods.hyperparameters import traced
from fedrecjax.types import Attack, AttackContext, AttackView, ClientUpdates, ImageView


def _users_of(
  settings: Settings, known: Recommender, allowed: jax.Array, numbers: jax.Array, key: jax.Array
) -> SyntheticUser:
  """A synthetic user for each of the numbers `[U]`."""
  return jax.vmap(lambda number: invent(settings, known, allowed, jax.random.fold_in(key, number)))(numbers)


def _promoting_images(
  settings: Settings, pixels: PixelSettings, view: ImageView, users: SyntheticUser, key: jax.Array
) -> jax.Array:
  """Images that lift their items in the lists of users `[U]` (Yuan et al., 2023, Eq. 17), `[T, H, W, 3]`."""
  known = known_to(view)
  above = jax.vmap(lambda user: lifted_above(settings, known, user, view.targets))(users)

  def loss(place: jax.Array, features: jax.Array) -> jax.Array:
    row = jnp.concatenate([view.public.items[view.targets[place]], features])
    of_place = jax.tree.map(lambda leaf: leaf[:, place][:, None], above)

    def of_user(user: SyntheticUser, above: Any) -> jax.Array:
      return shortfall(settings, known, user, above, row[None], known.received.shared)

    return jnp.sum(jax.vmap(of_user)(users, of_place))

  return changed_images(pixels, view, loss, key)


@ATTACKS.register
@traced
def psmu_v(
  *,
  bound: float = 4.0,
  steps: int = 20,
  step_share: float = 0.25,
  restart: bool = True,
  rounded: bool = True,
  adaptive: bool = False,
  num_items: int = 30,
  num_negatives: int = 4,
  inner_optimizer: InnerOptimizer = "adam",
  inner_steps: int = 30,
  inner_lr: float = 1e-3,
  init_std: float = 0.01,
  top_k: int = 5,
  alternatives: int = 0,
  margin_on: MarginOn = "prob",
) -> Attack:
  """PSMU(V): the targets' provider changes their pictures so that they rise in the lists of users that it invents.

  Args:
    bound: largest change of a pixel value, epsilon, in units of 0..255 (Eq. 9); the paper states no norm.
    steps: steps along the signs of the gradient; the paper states no solver.
    step_share: size of a step as a share of the bound.
    restart: whether each epoch starts from the clean picture; else from the last one uploaded.
    rounded: whether pixel values are whole numbers.
    adaptive: whether the provider knows the server's defense of images and takes its derivative for 1.
    num_items: items of a synthetic user, |V+|, drawn anew in each epoch, never targets.
    num_negatives: negatives beside each of them.
    inner_optimizer: of the synthetic user's vector, all else held fixed (Eq. 13).
    inner_steps: number of its steps.
    inner_lr: its step size.
    init_std: standard deviation of the vector's normal initialisation.
    top_k: items on the synthetic user's list, K.
    alternatives: items most similar to a target that it is lifted above, too.
    margin_on: predicted preferences are probabilities, "prob", as written (Eq. 4 and 14), or "logit".

  Returns:
    An attack by images alone: as many synthetic users as there would be malicious clients, and none of those.

  Raises:
    ValueError: if a number is out of its range; by `init`, if there are too few items.

  References:
    Yuan et al., "Manipulating Visually-aware Federated Recommender Systems and Its Countermeasures", 2023, Eq. 9 and
    17, Algorithm 3.
  """
  settings = Settings(
    num_items, num_negatives, inner_optimizer, inner_steps, inner_lr, init_std, top_k, alternatives, margin_on
  )
  pixels = PixelSettings(bound, steps, step_share, restart, rounded, adaptive)
  check_settings("psmu_v", settings)
  check_pixels("psmu_v", pixels)

  def init(key: jax.Array, context: AttackContext) -> jax.Array:
    del key
    check_users(context)
    return allowed_items(settings, context)

  def images(state: jax.Array, view: ImageView, key: jax.Array) -> tuple[jax.Array, jax.Array]:
    users = _users_of(settings, known_to(view), state, view.users, key)
    return _promoting_images(settings, pixels, view, users, key), state

  return Attack(init=init, images=images, requires=frozenset({"image_defense"} if adaptive else ()))


class SharedUsers(NamedTuple):
  """State of PSMU++.

  Attributes:
    allowed: items that synthetic users may hold, int32.
    users: the synthetic user of each malicious client in this epoch, `[malicious]` of each field.
  """

  allowed: jax.Array
  users: SyntheticUser


@ATTACKS.register
@traced
def psmu_pp(
  *,
  bound: float = 4.0,
  steps: int = 20,
  step_share: float = 0.25,
  restart: bool = True,
  rounded: bool = True,
  adaptive: bool = False,
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
  """PSMU++: the targets' provider changes their pictures, and malicious clients upload gradients, for the same users.

  Each malicious client has one synthetic user an epoch, invented when images are uploaded. The provider is led by all
  of them (Algorithm 3, line 4); a client uploads the gradient for its own, at the parameters of its round.

  Args:
    bound: largest change of a pixel value, epsilon, in units of 0..255 (Eq. 9); the paper states no norm.
    steps: steps along the signs of the gradient; the paper states no solver.
    step_share: size of a step as a share of the bound.
    restart: whether each epoch starts from the clean picture; else from the last one uploaded.
    rounded: whether pixel values are whole numbers.
    adaptive: whether the provider knows the server's defense of images and takes its derivative for 1.
    num_items: items of a synthetic user, |V+|, drawn anew in each epoch, never targets.
    num_negatives: negatives beside each of them.
    inner_optimizer: of the synthetic user's vector, all else held fixed (Eq. 13).
    inner_steps: number of its steps.
    inner_lr: its step size.
    init_std: standard deviation of the vector's normal initialisation.
    top_k: items on the synthetic user's list, K.
    alternatives: items most similar to a target that it is lifted above, too.
    margin_on: predicted preferences are probabilities, "prob", as written (Eq. 4 and 14), or "logit".
    upload_shared: whether the gradient of the shared parameters is uploaded (Eq. 15).

  Returns:
    An attack by images and by uploads; one row per target and client.

  Raises:
    ValueError: if a number is out of its range; by `init`, if there are too few items.

  References:
    Yuan et al., "Manipulating Visually-aware Federated Recommender Systems and Its Countermeasures", 2023, Section 4.3,
    Algorithms 2 and 3.
  """
  settings = Settings(
    num_items, num_negatives, inner_optimizer, inner_steps, inner_lr, init_std, top_k, alternatives, margin_on
  )
  pixels = PixelSettings(bound, steps, step_share, restart, rounded, adaptive)
  check_settings("psmu_pp", settings)
  check_pixels("psmu_pp", pixels)

  def init(key: jax.Array, context: AttackContext) -> SharedUsers:
    del key
    check_users(context)
    count = context.num_malicious
    nobody = SyntheticUser(jnp.zeros((count, num_items), jnp.int32), jnp.zeros((count, context.dim)))
    return SharedUsers(allowed_items(settings, context), nobody)

  def images(state: SharedUsers, view: ImageView, key: jax.Array) -> tuple[jax.Array, SharedUsers]:
    users = _users_of(settings, known_to(view), state.allowed, view.users, key)
    return _promoting_images(settings, pixels, view, users, key), state._replace(users=users)

  def poison(
    state: SharedUsers, uploads: ClientUpdates, view: AttackView, key: jax.Array
  ) -> tuple[ClientUpdates, SharedUsers]:
    del uploads, key
    known = known_to(view)
    users = jax.tree.map(lambda leaf: leaf.at[view.client].get(mode="clip"), state.users)
    gradients = jax.vmap(lambda user: promotion_gradients(settings, known, user, view.targets))(users)
    return promoting_uploads(view, *gradients, upload_shared=upload_shared), state

  return Attack(
    when_active(poison), init, images=images, colludes=True,
    requires=frozenset({"image_defense"} if adaptive else ()),
  )
