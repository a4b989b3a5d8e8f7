"""What every benign client does to its rows before it sends them, beside any defence."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp

from fedrecjax.methods.hyperparameters import traced
from fedrecjax.numerics.noise import laplace_noise, shared_noise
from fedrecjax.types import ClientUpdates, ClientView, Defense, State
from fedrecjax.uploads.rows import clip_rows


@traced
def clip_and_noise(*, max_norm: float, noise: float = 0.0) -> Defense:
  """Clips each uploaded row and adds normal noise to it.

  Args:
    max_norm: the largest L2 norm of a row, C.
    noise: standard deviation of the noise in units of `max_norm`, mu.

  Returns:
    A defence with a client transform only.

  References:
    Rong et al., FedRecAttack, 2022, Eq. 5.
  """

  def noise_of(client: jax.Array, item: jax.Array, key: jax.Array, dim: int) -> jax.Array:
    return jax.random.normal(jax.random.fold_in(jax.random.fold_in(key, client), item), (dim,), jnp.float32)

  def transform(state: State, uploads: ClientUpdates, view: ClientView) -> tuple[ClientUpdates, State]:
    row = clip_rows(uploads.row, max_norm)
    client = view.clients[uploads.client]
    # One key per client and item: the noise must not depend on who else is in the round.
    drawn = jax.vmap(noise_of, in_axes=(0, 0, None, None))(client, uploads.item, view.key, row.shape[1])
    return uploads._replace(row=row + noise * max_norm * drawn), state

  return Defense(client_transform=transform, adds_shared=True)


@traced
def privatize(*, clip: float, noise: float = 0.0) -> Defense:
  """Local differential privacy: clips every uploaded number and adds Laplace noise to it.

  Args:
    clip: largest absolute value of a number, delta.
    noise: scale of the noise, lambda; an upload has a privacy budget of 2 delta / lambda.

  Returns:
    A defence with a client transform only, which works on shared parameters as on item rows.

  References:
    Wu et al., "FedGNN: Federated Graph Neural Network for Privacy-Preserving Recommendation", 2021.
  """

  def transform(state: State, uploads: ClientUpdates, view: ClientView) -> tuple[ClientUpdates, State]:
    client, row = view.clients[uploads.client], jnp.clip(uploads.row, -clip, clip)
    uploads = uploads._replace(row=row + noise * laplace_noise(view.key, client, uploads.item, row.shape[1]))
    if uploads.sent is None:
      return uploads, state
    sent = uploads.sent
    numbers = itertools.count()

    def of_array(leaf: jax.Array) -> jax.Array:
      flat = jnp.clip(leaf.reshape(leaf.shape[0], -1), -clip, clip)
      flat += noise * shared_noise(view.key, view.clients, next(numbers), flat.shape[1])
      return jnp.where(sent[:, None], flat, 0.0).reshape(leaf.shape)

    return uploads._replace(shared=jax.tree.map(of_array, uploads.shared)), state

  return Defense(client_transform=transform)
