"""FL-WBC: clients add noise where their gradient hardly changes, since that is where an attack's effect would stay."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.extend.random import threefry_2x32

from fedrecjax.defenses.registry import DEFENSES
from fedrecjax.hyperparameters import check, traced
from fedrecjax.search import count_up_to
from fedrecjax.types import ClientUpdates, ClientView, Defense, DefenseContext


class FlWbcState(NamedTuple):
  """What the clients of :func:`fl_wbc` remember, over all pairs of a client and an item whose row it uploads.

  Attributes:
    indptr: where each client's pairs begin, int32 `[federation + 1]`.
    held: item of each pair, int32 `[pairs]`, sorted within a client.
    previous: row of each pair at the client's last participation, float32 `[pairs, d]`; infinite before the first,
      which no noise reaches.
  """

  indptr: jax.Array
  held: jax.Array
  previous: jax.Array


def laplace_noise(key: jax.Array, client: jax.Array, item: jax.Array, dim: int) -> jax.Array:
  """Laplace(0, 1) numbers that depend on the key, the client and the item, and on nobody else in the round.

  Client and item are the counter of one hash per two numbers: a key for every row takes three times as long on a CPU.

  Args:
    key: of the round.
    client: int32 `[E]`.
    item: int32 `[E]`.
    dim: d.

  Returns:
    float32 `[E, d]`.
  """
  hashes = -(-dim // 2)
  words = jax.random.bits(key, (2,))
  first = jnp.broadcast_to(client.astype(jnp.uint32)[:, None], (client.shape[0], hashes))
  second = item.astype(jnp.uint32)[:, None] * hashes + jnp.arange(hashes, dtype=jnp.uint32)
  bits = jnp.concatenate(list(threefry_2x32((words[0], words[1]), jnp.stack([first, second]))), axis=1)[:, :dim]
  # 23 bits make a uniform number strictly between 0 and 1, another the sign.
  magnitude = -jnp.log(((bits >> 9).astype(jnp.float32) + 0.5) * 2.0**-23)
  return jnp.where(bits & 1, magnitude, -magnitude)


def place_of(
  state: FlWbcState, client: jax.Array, item: jax.Array, num_items: int
) -> tuple[jax.Array, jax.Array]:
  """Where the rows of pairs are remembered.

  Args:
    state: says which pairs there are.
    client: int32 `[E]`.
    item: int32 `[E]`.
    num_items: M.

  Returns:
    Places int32 `[E]`, and which of the pairs are remembered, bool `[E]`; the places of others mean nothing.
  """
  start, end = (state.indptr.at[client + step].get(mode="clip") for step in (0, 1))
  place = start - 1 + count_up_to(state.held, start, end - start, item, longest=num_items)
  return place, (place >= start) & (state.held.at[place].get(mode="clip") == item)


@DEFENSES.register
@traced
def fl_wbc(*, scale: float = 1e-4) -> Defense:
  """Each client adds Laplace noise to its rows, only at coordinates whose change is no larger than the noise.

  The original compares a client's gradients of two steps of the same round and moves its weights by
  learning rate times noise, which is noise on the gradient. Our clients compute one gradient per participation, so
  theirs is compared with that of their previous participation, which is our reading; at its first participation a
  client adds nothing. Gradients are compared before noise.

  The original perturbs every weight. A client of a recommender that did so would send all M rows; here it perturbs
  those that it uploads anyway. Rows that another part of the defence makes it send beside the items of its samples
  are left alone, and so are shared parameters.

  Benign clients follow it, and so do malicious ones that only poison their data. Rows that an attack makes itself are
  not perturbed.

  Args:
    scale: of the noise, in units of the gradient; 1e-4 is the published code's default.

  Returns:
    A defence with a client transform only.

  Raises:
    ValueError: if `scale` is not positive.

  References:
    Sun et al., "FL-WBC: Enhancing Robustness against Model Poisoning Attacks in Federated Learning from a Client
    Perspective", 2021, and its published code.
  """
  check(scale > 0, f"fl_wbc.scale must be positive, got {scale}")

  def init(key: jax.Array, context: DefenseContext) -> FlWbcState:
    del key
    assert context.indptr is not None and context.held is not None
    return FlWbcState(
      indptr=jnp.asarray(context.indptr, jnp.int32),
      held=jnp.asarray(context.held, jnp.int32),
      previous=jnp.full((len(context.held), context.dim), jnp.inf),
    )

  def transform(state: FlWbcState, uploads: ClientUpdates, view: ClientView) -> tuple[ClientUpdates, FlWbcState]:
    client, row = view.clients[uploads.client], uploads.row
    place, known = place_of(state, client, uploads.item, view.num_items)
    previous = state.previous.at[place].get(mode="clip")
    noise = scale * laplace_noise(view.key, client, uploads.item, row.shape[1])
    perturbed = known[:, None] & (jnp.abs(row - previous) <= jnp.abs(noise))
    # Rows that stay the same need not be stored. Asking whether they do makes the writing wait for the reading; without
    # an order between the two XLA copies all remembered rows, six times the work of a round at 1.6 million pairs.
    changed = known & jnp.any(row != previous, axis=1)
    stored = state.previous.at[jnp.where(changed, place, len(state.previous))].set(row, mode="drop")
    return uploads._replace(row=jnp.where(perturbed, row + noise, row)), state._replace(previous=stored)

  return Defense(client_transform=transform, init=init, requires=frozenset({"fixed_negatives"}))
