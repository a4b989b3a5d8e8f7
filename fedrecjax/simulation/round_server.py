"""The part of a round that the server takes: filter, rule and step."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from fedrecjax.defenses.chain import parts_of
from fedrecjax.defenses.presence import without_rejected
from fedrecjax.metrics.detection import flagged_by_filter, verdicts
from fedrecjax.metrics.stealth import rows_outside
from fedrecjax.server.step import apply_update
from fedrecjax.simulation.records import Constants, Parts, RoundInput, Structure
from fedrecjax.simulation.round_attack import attacking
from fedrecjax.types import (
  Array,
  ClientUpdates,
  DefenseView,
  ItemRows,
  Public,
  ServerState,
  SimulationState,
  State,
  Update,
)
from fedrecjax.uploads.rows import (
  compact,
)


class Sent(NamedTuple):
  """What the clients of a round send, and what sending it leaves behind.

  Attributes:
    uploads: of all clients.
    attack: the attack's next state.
    defense: the defence's state after what clients did to their uploads.
    stealth: of malicious uploads, see :class:`fedrecjax.simulation.records.RoundReport`.
    outside: rows of the attack for items that do not exist, int32 scalar.
    finite: whether all that the attack uploads is finite, bool scalar.
    told: by the attack, see :class:`fedrecjax.simulation.records.RoundReport`.
  """

  uploads: ClientUpdates
  attack: State
  defense: State
  stealth: Array | None
  outside: Array
  finite: Array
  told: dict[str, Array] | None


class Served(NamedTuple):
  """What the server makes of a round's uploads.

  Attributes:
    server: after the round.
    verdicts: of each stage of a defence that has some; else None.
    outside: rows of its rule for items that do not exist, int32 scalar.
    update: that it has made of them.
  """

  server: ServerState
  verdicts: Array | None
  outside: Array
  update: Update


def penalize_table(public: Public, update: Update, l2: Array | float) -> Update:
  """Adds the L2 penalty on all public parameters to an aggregated update."""
  num_items = public.items.shape[0]
  items = ItemRows(
    jnp.concatenate([update.items.item, jnp.arange(num_items, dtype=update.items.item.dtype)]),
    jnp.concatenate([update.items.row, l2 * public.items]),
  )
  shared = jax.tree.map(lambda gradient, old: gradient + l2 * old, update.shared, public.shared)
  return update._replace(items=items, shared=shared)


def claimed_samples(is_benign: Array, present: Array, length: Array) -> Array:
  """Training pairs that each client of a round says it has, float32 `[C]`.

  Malicious clients without data claim the average of the round's benign ones, so that weights by sample count
  neither silence nor favour them.
  """
  length = length.astype(jnp.float32)
  average = jnp.sum(jnp.where(is_benign, length, 0.0)) / jnp.maximum(jnp.sum(is_benign, dtype=jnp.int32), 1)
  return jnp.where(present, jnp.where(is_benign | (length > 0), length, average), 0.0)


def defend(
  structure: Structure, parts: Parts, state: State, view: DefenseView, uploads: ClientUpdates, malicious: Array
) -> tuple[Update, State, Array | None]:
  """The update that the server makes of a round's uploads.

  Args:
    structure: static.
    parts: functions of the methods.
    state: of the defence.
    view: what the server may read.
    uploads: of all clients; one row per client and item, in order of items, if the rule needs that or there is a
      filter.
    malicious: which places of the round hold a malicious client, bool `[C]`; for the verdicts alone.

  Returns:
    The update, the defence's next state, and the verdicts of each stage that rejects or rescales uploads
    `[S, 2, 4]`, on what the stage was given; None without such a stage.
  """
  judged = []

  def judge(given: ClientUpdates, flagged: Array) -> None:
    used = given.item < structure.num_items
    judged.append(verdicts(flagged & used, used, given.client, malicious))

  for _, stage in [] if parts.filter is None else parts_of(parts.filter):
    given = uploads
    uploads, state = stage(state, given, view)
    judge(given, flagged_by_filter(given, uploads, structure.num_items))
    view = without_rejected(view, given, uploads)
  if parts.filter is not None and structure.unique_rows:
    uploads, _ = compact(uploads, structure.num_items)
  update, state = parts.aggregate(state, uploads, view)
  if update.kept is not None:
    judge(uploads, ~update.kept)
  return update, state, jnp.stack(judged) if judged else None


def server_view(
  structure: Structure, run: Constants, state: SimulationState, inputs: RoundInput, length: Array
) -> DefenseView:
  """What the server may read of a round.

  Args:
    structure: static.
    run: what does not change.
    state: before the round.
    inputs: the round's clients.
    length: training pairs of each client, `[C]`.
  """
  present = inputs.clients < structure.num_clients
  return DefenseView(
    public=state.server.public,
    round=inputs.number,
    num_items=structure.num_items,
    num_clients=inputs.clients.shape[0],
    present=present,
    clients=jnp.sum(present, dtype=jnp.int32),
    federation=jnp.int32(structure.num_clients),
    samples=claimed_samples(inputs.clients < structure.num_benign, present, length),
    transformation=structure.server_optimizer,
    optimizer=state.server.optimizer,
    learning_rate=run.numbers.learning_rate,
    key=jax.random.fold_in(run.keys.defense, inputs.number),
    malicious=jnp.int32(structure.num_clients - structure.num_benign),
  )


def serve(
  structure: Structure, run: Constants, state: SimulationState, inputs: RoundInput, length: Array, sent: Sent
) -> Served:
  """What the server makes of a round's uploads: filter, rule and step.

  Args:
    structure: static.
    run: what does not change.
    state: before the round.
    inputs: the round's clients.
    length: training pairs of each client, `[C]`.
    sent: what the clients have sent.

  Returns:
    The server after the round, what the defence tells, and the update.
  """
  server, view = state.server, server_view(structure, run, state, inputs, length)
  update, defense, judged = defend(structure, run.parts, sent.defense, view, sent.uploads, attacking(inputs))
  outside = rows_outside(update.items.item, structure.num_items)
  if structure.l2_rows == "table":
    update = penalize_table(server.public, update, run.numbers.l2)
  server = apply_update(structure.server_optimizer, server, update, run.numbers.learning_rate)
  return Served(server._replace(defense=defense), judged, outside, update)
