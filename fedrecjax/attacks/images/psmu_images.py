"""PSMU by images: synthetic users lead the changes of a target's picture, alone or beside PSMU's gradients."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from fedrecjax.attacks.attacked_rounds import when_active
from fedrecjax.attacks.images.changed_images import PixelOptions, changed_images, check_pixels
from fedrecjax.attacks.registry import ATTACKS
from fedrecjax.attacks.targeted.psmu_users import (
  PsmuOptions,
  Recommender,
  SyntheticUser,
  SyntheticUserOptions,
  allowed_items,
  check_synthetic,
  check_users,
  competitors_of,
  invented_user,
  known_to,
  promoting_uploads,
  promotion_gradients,
  shortfall,
)
from fedrecjax.methods.hyperparameters import traced
from fedrecjax.methods.options import keywords_of
from fedrecjax.types import Attack, AttackContext, AttackView, ClientUpdates, ImageView


@dataclasses.dataclass(frozen=True, kw_only=True)
class PsmuVOptions(SyntheticUserOptions, PixelOptions):
  """Hyperparameters of :func:`psmu_v`."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class PsmuPPOptions(PsmuOptions, PixelOptions):
  """Hyperparameters of :func:`psmu_pp`."""


def _users_of(
  options: SyntheticUserOptions, known: Recommender, allowed: jax.Array, numbers: jax.Array, key: jax.Array
) -> SyntheticUser:
  """A synthetic user for each of the numbers `[U]`."""
  return jax.vmap(lambda number: invented_user(options, known, allowed, jax.random.fold_in(key, number)))(numbers)


def _promoting_images(
  options: PsmuVOptions | PsmuPPOptions, view: ImageView, users: SyntheticUser, key: jax.Array
) -> jax.Array:
  """Images that lift their items in the lists of users `[U]` (Yuan et al., 2023, Eq. 17), `[T, H, W, 3]`."""
  known = known_to(view)
  above = jax.vmap(lambda user: competitors_of(options, known, user, view.targets))(users)

  def loss(place: jax.Array, features: jax.Array) -> jax.Array:
    row = jnp.concatenate([view.public.items[view.targets[place]], features])
    of_place = jax.tree.map(lambda leaf: leaf[:, place][:, None], above)

    def of_user(user: SyntheticUser, above: Any) -> jax.Array:
      return shortfall(options, known, user, above, row[None], known.received.shared)

    return jnp.sum(jax.vmap(of_user)(users, of_place))

  return changed_images(options, view, loss, key)


@ATTACKS.register
@traced
@keywords_of(PsmuVOptions)
def psmu_v(options: PsmuVOptions) -> Attack:
  """PSMU(V): the targets' provider changes their pictures so that they rise in the lists of users that it invents.

  Returns:
    An attack by images alone: as many synthetic users as there would be malicious clients, and none of those.

  Raises:
    ValueError: if a number is out of its range; by `init`, if there are too few items.

  References:
    Yuan et al., "Manipulating Visually-aware Federated Recommender Systems and Its Countermeasures", 2023, Eq. 9 and
    17, Algorithm 3.
  """
  check_synthetic("psmu_v", options)
  check_pixels("psmu_v", options)

  def init(key: jax.Array, context: AttackContext) -> jax.Array:
    del key
    check_users(context)
    return allowed_items(options, context)

  def images(state: jax.Array, view: ImageView, key: jax.Array) -> tuple[jax.Array, jax.Array]:
    users = _users_of(options, known_to(view), state, view.users, key)
    return _promoting_images(options, view, users, key), state

  return Attack(init=init, images=images, requires=options.requires)


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
@keywords_of(PsmuPPOptions)
def psmu_pp(options: PsmuPPOptions) -> Attack:
  """PSMU++: the targets' provider changes their pictures, and malicious clients upload gradients, for the same users.

  Each malicious client has one synthetic user an epoch, invented when images are uploaded. The provider is led by all
  of them (Algorithm 3, line 4); a client uploads the gradient for its own, at the parameters of its round.

  Returns:
    An attack by images and by uploads; one row per target and client.

  Raises:
    ValueError: if a number is out of its range; by `init`, if there are too few items.

  References:
    Yuan et al., "Manipulating Visually-aware Federated Recommender Systems and Its Countermeasures", 2023, Section 4.3,
    Algorithms 2 and 3.
  """
  check_synthetic("psmu_pp", options)
  check_pixels("psmu_pp", options)

  def init(key: jax.Array, context: AttackContext) -> SharedUsers:
    del key
    check_users(context)
    count = context.num_malicious
    items = jnp.zeros((count, options.num_items), jnp.int32)
    nobody = SyntheticUser(items, jnp.zeros((count, context.dim), jnp.float32))
    return SharedUsers(allowed_items(options, context), nobody)

  def images(state: SharedUsers, view: ImageView, key: jax.Array) -> tuple[jax.Array, SharedUsers]:
    users = _users_of(options, known_to(view), state.allowed, view.users, key)
    return _promoting_images(options, view, users, key), state._replace(users=users)

  def poison(
    state: SharedUsers, uploads: ClientUpdates, view: AttackView, key: jax.Array
  ) -> tuple[ClientUpdates, SharedUsers]:
    del uploads, key
    known = known_to(view)
    users = jax.tree.map(lambda leaf: leaf.at[view.client].get(mode="clip"), state.users)
    gradients = jax.vmap(lambda user: promotion_gradients(options, known, user, view.targets))(users)
    return promoting_uploads(view, *gradients, upload_shared=options.upload_shared), state

  return Attack(when_active(poison), init, images=images, colludes=True, requires=options.requires)
