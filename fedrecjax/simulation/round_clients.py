"""The part of a round that clients take: what they know, and what they compute from their own data."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from fedrecjax.clients.local_steps import train_clients_locally
from fedrecjax.clients.local_training import LocalSettings, Trained, TrainingData, lay_out, train_clients
from fedrecjax.clients.penalty import penalties
from fedrecjax.clients.pseudo_items import pseudo_uploads
from fedrecjax.clients.tiles import tiles_of
from fedrecjax.clients.user_vectors import vectors_of
from fedrecjax.simulation.contracts import checked_method
from fedrecjax.simulation.records import Constants, RoundInput, Structure
from fedrecjax.types import (
  Array,
  ClientView,
  SimulationState,
)
from fedrecjax.uploads.rows import (
  by_client,
  concatenate,
  merge_rows,
)


def client_view(structure: Structure, run: Constants, state: SimulationState, inputs: RoundInput) -> ClientView:
  """What the clients of a round know."""
  data = run.data.training
  samples = lay_out(
    data, inputs.clients, jax.random.fold_in(run.keys.negatives, inputs.number), capacity=structure.capacity,
    num_negatives=structure.num_negatives, num_items=structure.num_items, histories=structure.history > 0,
  )
  return ClientView(
    public=state.server.public,
    private=state.private.at[inputs.clients].get(mode="clip"),
    clients=inputs.clients,
    round=inputs.number,
    samples=samples,
    outside=data.complement,
    key=jax.random.fold_in(run.keys.clients, inputs.number),
    num_items=structure.num_items,
    neighbors=neighbor_vectors(data, state.private, inputs.clients, inputs.number >= run.numbers.neighbors_from),
    features=state.server.features,
  )


def neighbor_vectors(
  data: TrainingData, private: Array, clients: Array, expanded: Array
) -> tuple[Array, Array] | None:
  """The vectors of the clients' neighbours as they are now `[C, K, d]`, and which are used `[C, K]`.

  Args:
    data: knows who is whose neighbour.
    private: all clients' vectors.
    clients: int32 `[C]`.
    expanded: whether neighbours are used at all by now.
  """
  if data.neighbors is None:
    return None
  vectors, used = vectors_of(data.neighbors, private, clients)
  return vectors, used & expanded


def train(structure: Structure, run: Constants, state: SimulationState, view: ClientView, hostile: Array) -> Trained:
  """What the clients of a round compute from their own data.

  Those that attack by their data alone run the software that every client runs: they hide items and follow the
  defence's term. Others that attack are asked only for what the model and its loss make of their data.

  Args:
    structure: static.
    run: what does not change.
    state: before the round.
    view: what the clients know.
    hostile: clients that attack in this round, bool `[C]`.
  """
  parts, samples = run.parts, view.samples
  following = ~hostile | (parts.poison is None)
  l2 = None
  if structure.l2_rows != "none":
    penalized = ~hostile | (not structure.l2_benign)
    # Whoever has nothing to train on has no loss, and stays where it is.
    l2 = run.numbers.l2 * (penalized & (samples.trained > 0))
  settings = LocalSettings(
    mean=structure.mean,
    l2=l2,
    l2_rows=structure.l2_rows,
    dropout=run.numbers.dropout if structure.dropout else None,
  )
  tiles = None
  if structure.own_shared:
    tiles = tiles_of(samples.length, samples.client, samples.first, structure.num_tiles)
  model = checked_method("model", parts.model)._replace(history=structure.history)
  loss = checked_method("loss", parts.loss)
  if structure.local_steps > 1:
    trained = train_clients_locally(
      model, loss, state.server.defense, view, settings, tiles, client_rates(run, view.clients),
      steps=structure.local_steps,
    )
  else:
    trained = train_clients(
      model, loss, parts.client_term, state.server.defense, view, following, settings, tiles
    )
  uploads = trained.uploads
  if l2 is not None:
    if structure.l2_rows == "uploaded" and structure.local_steps == 1:
      uploads = merge_rows(uploads, structure.num_items)
      penalty = l2[uploads.client][:, None] * view.public.items.at[uploads.item].get(mode="clip")
      uploads = uploads._replace(row=uploads.row + penalty)
    trained = trained._replace(penalty=penalties(l2, structure.l2_rows, view, uploads))
  if structure.pseudo_items > 0:
    assert trained.rows is not None
    hiding = pseudo_uploads(
      view, trained.rows, following, count=structure.pseudo_items, num_tiles=structure.num_tiles
    )
    # A client may have drawn an item as a negative too, and its places must follow one another.
    uploads = by_client(concatenate(uploads, hiding), hostile.shape[0])
  return trained._replace(uploads=uploads)


def client_rates(run: Constants, clients: Array) -> Array:
  """Step size of each client of a round, float32 `[C]`."""
  rate = run.numbers.client_learning_rate
  return jnp.broadcast_to(rate, clients.shape) if rate.ndim == 0 else rate.at[clients].get(mode="clip")
