"""What every benign client does to its rows before it sends them, beside any defence."""

from __future__ import annotations

import jax

from fedrecjax.hyperparameters import traced
from fedrecjax.types import ClientUpdates, ClientView, Defense, State
from fedrecjax.uploads import clip_rows


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
    return jax.random.normal(jax.random.fold_in(jax.random.fold_in(key, client), item), (dim,))

  def transform(state: State, uploads: ClientUpdates, view: ClientView) -> tuple[ClientUpdates, State]:
    row = clip_rows(uploads.row, max_norm)
    client = view.clients[uploads.client]
    # One key per client and item: the noise must not depend on who else is in the round.
    drawn = jax.vmap(noise_of, in_axes=(0, 0, None, None))(client, uploads.item, view.key, row.shape[1])
    return uploads._replace(row=row + noise * max_norm * drawn), state

  return Defense(client_transform=transform)
