"""FL-WBC: clients add noise where their gradient hardly changes, since that is where an attack's effect would stay."""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from fedrecjax.defenses.registry import DEFENSES
from fedrecjax.methods.hyperparameters import check, traced
from fedrecjax.numerics.binary_search import count_up_to
from fedrecjax.numerics.noise import laplace_noise, shared_noise
from fedrecjax.types import ClientUpdates, ClientView, Defense, DefenseContext


class FlWbcState(NamedTuple):
  """What the clients of :func:`fl_wbc` remember: gradients of their last participation, infinite before the first.

  No noise reaches an infinite change. A pair is a client and an item whose row it uploads.

  Attributes:
    indptr: where each client's pairs begin, int32 `[federation + 1]`.
    held: item of each pair, int32 `[pairs]`, sorted within a client.
    previous: row of each pair, float32 `[pairs, d]`.
    shared: gradient of each shared parameter, float32 `[federation, size]`; None for those that are left alone.
  """

  indptr: jax.Array
  held: jax.Array
  previous: jax.Array
  shared: tuple[jax.Array | None, ...] = ()


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


def perturb(
  row: jax.Array, memory: jax.Array, place: jax.Array, known: jax.Array, noise: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """Adds noise to rows where they have changed by no more than the noise, and remembers the rows without it.

  Args:
    row: `[E, d]`.
    memory: rows as they were the last time, `[places, d]`.
    place: of each row in the memory, int32 `[E]`.
    known: which rows are remembered, bool `[E]`; others are left alone.
    noise: `[E, d]`.

  Returns:
    The rows and the memory.
  """
  previous = memory.at[place].get(mode="clip")
  perturbed = known[:, None] & (jnp.abs(row - previous) <= jnp.abs(noise))
  # Rows that stay the same need not be stored. Asking whether they do makes the writing wait for the reading; without
  # an order between the two XLA copies all remembered rows, six times the work of a round at 1.6 million pairs.
  changed = known & jnp.any(row != previous, axis=1)
  memory = memory.at[jnp.where(changed, place, len(memory))].set(row, mode="drop")
  return jnp.where(perturbed, row + noise, row), memory


@DEFENSES.register
@traced
def fl_wbc(*, scale: float = 1e-4) -> Defense:
  """Each client adds Laplace noise to its rows, only at coordinates whose change is no larger than the noise.

  The original compares a client's gradients of two steps of the same round and moves its weights by
  learning rate times noise, which is noise on the gradient. Our clients compute one gradient per participation, so
  theirs is compared with that of their previous participation, which is our reading; at its first participation a
  client adds nothing. Gradients are compared before noise.

  The original perturbs every weight matrix and no biases. A client of a recommender that did so would send all M rows;
  here it perturbs those that it uploads anyway. Rows that another part of the defence makes it send beside the items of
  its samples are left alone. Of the parameters that all items share it perturbs arrays of two or more dimensions; every
  client of the federation remembers a gradient of each, which takes as much memory as that many copies of them.

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
      previous=jnp.full((len(context.held), context.dim), jnp.inf, jnp.float32),
      shared=tuple(
        jnp.full((context.federation, math.prod(leaf.shape)), jnp.inf, jnp.float32) if len(leaf.shape) > 1 else None
        for leaf in jax.tree.leaves(context.shared)
      ),
    )

  def transform(state: FlWbcState, uploads: ClientUpdates, view: ClientView) -> tuple[ClientUpdates, FlWbcState]:
    client = view.clients[uploads.client]
    place, known = place_of(state, client, uploads.item, view.num_items)
    noise = scale * laplace_noise(view.key, client, uploads.item, uploads.row.shape[1])
    row, previous = perturb(uploads.row, state.previous, place, known, noise)
    leaves, structure = jax.tree.flatten(uploads.shared)
    memories = list(state.shared)
    for number, memory in enumerate(memories):
      if memory is not None:
        assert uploads.sent is not None
        leaf = leaves[number]
        noise = scale * shared_noise(view.key, view.clients, number, memory.shape[1])
        flat, memories[number] = perturb(leaf.reshape(len(leaf), -1), memory, view.clients, uploads.sent, noise)
        leaves[number] = flat.reshape(leaf.shape)
    shared = jax.tree.unflatten(structure, leaves)
    return uploads._replace(row=row, shared=shared), state._replace(previous=previous, shared=tuple(memories))

  return Defense(client_transform=transform, init=init, requires=frozenset({"fixed_negatives"}))
