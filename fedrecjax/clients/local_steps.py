"""Several steps of gradient descent at each client before it uploads: FedAvg.

Every client of a round works on copies of the rows of its items, of the shared parameters and of its own vector, and
uploads how far its copies went, in units of its step size: the sum of its steps' gradients. With one step that is the
gradient.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from fedrecjax.clients.local_training import LocalSettings, Trained, draw_dropout, local_gradients, own_copies
from fedrecjax.clients.tiles import Tiles
from fedrecjax.numerics.ordering import in_order
from fedrecjax.types import Array, ClientUpdates, ClientView, Loss, Model, Samples, State, beside_features


def row_slots(samples: Samples, num_items: int) -> tuple[Array, Array, Array]:
  """One slot for each pair of a client and an item that it uploads.

  Args:
    samples: of a round.
    num_items: M.

  Returns:
    The slot of each sample's items, int32 `[P, 1 + q]`, arbitrary where a copy is not uploaded, and client and item
    of each slot, int32 `[P * (1 + q)]`; items are M at unused slots, which come last.
  """
  items = samples.uploaded
  clients = jnp.broadcast_to(samples.client[:, None], items.shape).reshape(-1)
  item, place = in_order(items.reshape(-1), num_items)
  client = clients[place]
  first = jnp.ones(item.shape[0], bool).at[1:].set((item[1:] != item[:-1]) | (client[1:] != client[:-1]))
  slot = jnp.cumsum(first & (item < num_items), dtype=jnp.int32) - 1
  used = jnp.where(item < num_items, slot, item.shape[0])
  of_slot = jnp.zeros_like(client).at[used].set(client, mode="drop")
  item_of_slot = jnp.full_like(item, num_items).at[used].set(item, mode="drop")
  slots = jnp.zeros_like(place).at[place].set(jnp.maximum(slot, 0).astype(place.dtype))
  return slots.reshape(items.shape), of_slot, item_of_slot


def train_clients_locally(
  model: Model, loss: Loss, state: State, view: ClientView, settings: LocalSettings, tiles: Tiles | None,
  rate: Array, *, steps: int,
) -> Trained:
  """All clients of a round take several steps of gradient descent on their own copies.

  Args:
    model: base recommender.
    loss: of one sample.
    state: of the defence, which has no part in this.
    view: what the clients know.
    settings: how they train.
    tiles: of the samples; clients' shared parameters differ from the second step on. None where there are none.
    rate: step size of each client, float32 `[C]`.
    steps: number of steps, static.

  Returns:
    How far vectors, rows and shared parameters went against the gradient, divided by the client's step size; the loss
    is the one before the first step. Gradients are added up: the difference of start and end, divided by a small step
    size, would have no digits left in float32.
  """
  samples, dim = view.samples, view.public.items.shape[1]
  slots, client, item = row_slots(samples, view.num_items)
  table, shared = beside_features(view.public, view.features)
  # Features stay as they are through all steps.
  trained = jnp.arange(table.shape[1], dtype=jnp.int32) < dim
  start = (view.private, table.at[item].get(mode="clip"), own_copies(shared, samples.length.shape[0]))

  def one_step(number: Array, carry: tuple[Any, Any, Array]) -> tuple[Any, Any, Array]:
    (private, rows, shared), total, first_loss = carry
    dropout = None
    now = view._replace(key=jax.random.fold_in(view.key, number))
    if settings.dropout is not None:
      dropout = draw_dropout(now.key, now, settings.dropout, table.shape[1])
    gradients = local_gradients(
      model, loss, now, private, rows[slots], shared, mean=settings.mean, tiles=tiles, dropout=dropout
    )
    for_rows = jnp.where(trained, jnp.zeros_like(rows).at[slots].add(gradients.rows), 0.0)
    for_private = gradients.private
    if settings.l2 is not None:
      for_private += settings.l2[:, None] * private
      if settings.l2_rows == "uploaded":
        penalized = (item < view.num_items)[:, None] & trained
        for_rows += settings.l2[client][:, None] * jnp.where(penalized, rows, 0.0)
      if settings.l2_rows == "copies":
        uploaded = (samples.uploaded < view.num_items).astype(rows.dtype)
        copies = jnp.zeros(rows.shape[0], rows.dtype).at[slots].add(uploaded)
        for_rows += (settings.l2[client] * copies)[:, None] * jnp.where(trained, rows, 0.0)
    moved = (
      private - rate[:, None] * for_private,
      rows - rate[client][:, None] * for_rows,
      jax.tree.map(lambda old, step: old - rate.reshape(-1, *(1,) * (old.ndim - 1)) * step, shared, gradients.shared),
    )
    total = jax.tree.map(jnp.add, total, (for_private, for_rows, gradients.shared))
    return moved, total, jnp.where(number == 0, gradients.loss, first_loss)

  nothing = jax.tree.map(jnp.zeros_like, start)
  no_loss = jnp.zeros(samples.length.shape[0], jnp.float32)
  _, total, losses = lax.fori_loop(0, steps, one_step, (start, nothing, no_loss))
  private, rows, shared = total
  uploads = ClientUpdates(
    client=client,
    item=item,
    row=rows[:, :dim],
    shared=shared,
    sent=samples.trained > 0 if jax.tree.leaves(shared) else None,
  )
  return Trained(private, uploads, losses, state)
