"""The federated round and the scan over rounds; nothing method-specific.

One compiled program trains from one evaluation point to the next. Its shapes are planned on the host from the rounds
actually drawn (:mod:`fedrecjax.participation`); every number is an argument.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from fedrecjax.clients import sample_gradient
from fedrecjax.evaluation import EvaluationData
from fedrecjax.sampling import Complement, draw_negatives
from fedrecjax.server import apply_rows
from fedrecjax.types import (
  Array,
  AttackView,
  ClientUpdates,
  DefenseView,
  ItemRows,
  Loss,
  Model,
  ServerState,
  SimulationState,
  State,
)
from fedrecjax.uploads import concatenate, keep_clients, merge_rows, no_uploads, ragged


class Structure(NamedTuple):
  """Everything static: what distinguishes one compiled program from another, besides the shapes of arrays.

  Attributes:
    num_items: M.
    num_benign: benign clients N.
    num_clients: all clients.
    capacity: training samples planned for a round, P.
    num_negatives: q.
    mean: whether a client's loss is a mean.
    unique_rows: whether the defence needs one row per client and item.
    malicious_data: whether malicious clients hold training data.
    omniscient: whether the attack has been granted all benign uploads.
  """

  num_items: int
  num_benign: int
  num_clients: int
  capacity: int
  num_negatives: int
  mean: bool
  unique_rows: bool
  malicious_data: bool
  omniscient: bool


class Parts(NamedTuple):
  """The functions of the run's methods, as arguments: their numbers are traced.

  Attributes:
    model: base recommender.
    loss: of one sample.
    poison: of the attack, or None.
    client_transforms: what benign clients do to their uploads, in order.
    filter: of the defence, or None.
    aggregate: of the defence.
  """

  model: Model
  loss: Loss
  poison: Any
  client_transforms: tuple[Any, ...]
  filter: Any
  aggregate: Any


class TrainingData(NamedTuple):
  """What clients train on, all lists end to end.

  Attributes:
    start: first sample of each client, int32 `[clients]`.
    length: number of its samples, int32 `[clients]`.
    positive: int32 `[samples]`.
    negatives: int32 `[samples, q]`, or None where they are drawn every round.
    uploaded: items under which the rows of a sample are uploaded, int32 `[samples, 1 + q]`, M where a copy is not
      uploaded; None where every copy counts.
    complement: for drawing negatives every round, else None.
  """

  start: Array
  length: Array
  positive: Array
  negatives: Array | None
  uploaded: Array | None
  complement: Complement | None


class RunData(NamedTuple):
  """All data of a run on the device.

  Attributes:
    training: what clients train on.
    evaluation: what is evaluated, with the targets.
  """

  training: TrainingData
  evaluation: EvaluationData


class Numbers(NamedTuple):
  """Numbers of training, traced.

  Attributes:
    learning_rate: step size of the server.
    client_learning_rate: step size of the clients.
  """

  learning_rate: Array | float
  client_learning_rate: Array | float


class Keys(NamedTuple):
  """One key per purpose, all from the run's key."""

  public: Array
  private: Array
  negatives: Array
  attack: Array
  defense: Array
  clients: Array
  evaluation: Array


def split_key(key: Array) -> Keys:
  """Derives the keys of all purposes from the run's key."""
  return Keys(*(jax.random.fold_in(key, purpose) for purpose in range(len(Keys._fields))))


class RoundInput(NamedTuple):
  """One round's place in the run; see :class:`fedrecjax.participation.Rounds`.

  Attributes:
    number: round from 0, int32 scalar.
    clients: int32 `[C]`.
    malicious: int32 `[A]`.
    slot: int32 `[A]`.
  """

  number: Array
  clients: Array
  malicious: Array
  slot: Array


class _Trained(NamedTuple):
  """What the clients of a round computed: new private vectors, uploads, and the summed loss of benign ones."""

  private: Array
  uploads: ClientUpdates
  loss: Array


def train_clients(
  structure: Structure,
  parts: Parts,
  data: TrainingData,
  numbers: Numbers,
  keys: Keys,
  state: SimulationState,
  inputs: RoundInput,
) -> _Trained:
  """All clients of a round compute their gradients and update their own vectors."""
  public, clients = state.server.public, inputs.clients
  present = clients < structure.num_clients
  length = jnp.where(present, data.length.at[clients].get(mode="clip"), 0)
  layout = ragged(length, structure.capacity)
  sample = data.start.at[clients].get(mode="clip")[layout.segment] + layout.offset
  sample = jnp.where(layout.valid, sample, 0)
  positive = data.positive[sample]
  if data.complement is not None:
    key = jax.random.fold_in(keys.negatives, inputs.number)
    negatives = draw_negatives(
      key, data.complement, jnp.minimum(clients, structure.num_clients - 1)[layout.segment], layout.offset,
      count=structure.num_negatives, num_items=structure.num_items,
    )
  else:
    assert data.negatives is not None
    negatives = data.negatives[sample]
  private = state.private.at[clients].get(mode="clip")
  table = public.items
  gradient = jax.vmap(functools.partial(sample_gradient, parts.model, parts.loss), in_axes=(0, 0, 0, None))(
    private[layout.segment], table[positive], table[negatives], public.shared
  )
  terms = jnp.maximum(length * parts.loss.terms(structure.num_negatives), 1)
  weight = jnp.where(layout.valid, 1.0 / terms[layout.segment] if structure.mean else 1.0, 0.0)
  for_private = jax.ops.segment_sum(
    gradient.private * weight[:, None], layout.segment, clients.shape[0], indices_are_sorted=True
  )
  benign = (clients < structure.num_benign)[layout.segment]
  items = jnp.concatenate([positive[:, None], negatives], axis=1) if data.uploaded is None else data.uploaded[sample]
  items = jnp.where(layout.valid[:, None], items, structure.num_items)
  rows = jnp.concatenate([gradient.positive[:, None], gradient.negatives], axis=1) * weight[:, None, None]
  uploads = ClientUpdates(
    client=jnp.broadcast_to(layout.segment[:, None], items.shape).reshape(-1),
    item=items.reshape(-1),
    row=rows.reshape(-1, rows.shape[-1]),
  )
  return _Trained(
    private=state.private.at[clients].add(-numbers.client_learning_rate * for_private, mode="drop"),
    uploads=uploads,
    loss=jnp.sum(jnp.where(benign, gradient.loss * weight, 0.0)),
  )


def attack(
  structure: Structure,
  parts: Parts,
  data: RunData,
  numbers: Numbers,
  keys: Keys,
  state: SimulationState,
  inputs: RoundInput,
  own: ClientUpdates,
  benign: ClientUpdates,
) -> tuple[ClientUpdates, State]:
  """What the malicious clients of a round upload, and the attack's next state.

  Args:
    structure: static.
    parts: functions of the methods.
    data: of the run.
    numbers: step sizes.
    keys: of the run.
    state: before the round.
    inputs: the round's clients.
    own: what the malicious clients would upload if they behaved.
    benign: uploads of all others; shown only to an attack that has been granted them.
  """
  active = inputs.malicious >= 0
  view = AttackView(
    public=state.server.public,
    round=inputs.number,
    client=jnp.where(active, inputs.malicious, structure.num_clients - structure.num_benign),
    active=active,
    slot=inputs.slot,
    targets=data.evaluation.targets,
    learning_rate=jnp.asarray(numbers.learning_rate),
    benign=benign if structure.omniscient else None,
  )
  return parts.poison(state.attack, own, view, jax.random.fold_in(keys.attack, inputs.number))


def defend(
  structure: Structure, parts: Parts, server: ServerState, inputs: RoundInput, uploads: ClientUpdates
) -> tuple[ItemRows, State]:
  """The update that the server makes of a round's uploads, and the defence's next state.

  Args:
    structure: static.
    parts: functions of the methods.
    server: before the round.
    inputs: the round's clients.
    uploads: of all clients.
  """
  view = DefenseView(
    public=server.public,
    round=inputs.number,
    num_items=structure.num_items,
    num_clients=inputs.clients.shape[0],
    clients=jnp.sum(inputs.clients < structure.num_clients, dtype=jnp.int32),
    federation=jnp.int32(structure.num_clients),
  )
  state = server.defense
  if structure.unique_rows:
    uploads = merge_rows(uploads, structure.num_items)
  if parts.filter is not None:
    uploads, state = parts.filter(state, uploads, view)
    if structure.unique_rows:
      uploads = merge_rows(uploads, structure.num_items)
  return parts.aggregate(state, uploads, view)


def train_round(
  structure: Structure,
  parts: Parts,
  data: RunData,
  numbers: Numbers,
  keys: Keys,
  state: SimulationState,
  inputs: RoundInput,
) -> tuple[SimulationState, tuple[Array, Array]]:
  """One federated round.

  Args:
    structure: static.
    parts: functions of the methods.
    data: of the run.
    numbers: step sizes.
    keys: of the run.
    state: before the round.
    inputs: the round's clients.

  Returns:
    The state after the round, and (sum of benign clients' losses, number of benign clients).
  """
  trained = train_clients(structure, parts, data.training, numbers, keys, state, inputs)
  uploads = trained.uploads
  is_benign = inputs.clients < structure.num_benign
  own = no_uploads(state.server.public.items.shape[1])
  if parts.poison is not None and structure.malicious_data:
    own = keep_clients(uploads, ~is_benign, structure.num_items)
    uploads = keep_clients(uploads, is_benign, structure.num_items)
  if parts.client_transforms:
    uploads = merge_rows(uploads, structure.num_items)
    for number, transform in enumerate(parts.client_transforms):
      key = jax.random.fold_in(jax.random.fold_in(keys.clients, inputs.number), number)
      uploads = transform(uploads, inputs.clients, key)
  attack_state = state.attack
  if parts.poison is not None:
    poisoned, attack_state = attack(structure, parts, data, numbers, keys, state, inputs, own, uploads)
    uploads = concatenate(uploads, poisoned)
  rows, defense_state = defend(structure, parts, state.server, inputs, uploads)
  public = apply_rows(state.server.public, rows, numbers.learning_rate)
  after = SimulationState(ServerState(public, defense_state), trained.private, attack_state)
  return after, (trained.loss, jnp.sum(is_benign))


def train_rounds(
  structure: Structure,
  parts: Parts,
  data: RunData,
  numbers: Numbers,
  keys: Keys,
  state: SimulationState,
  inputs: RoundInput,
) -> tuple[SimulationState, Array]:
  """Trains for a number of rounds, as one program.

  Args:
    structure: static.
    parts: functions of the methods.
    data: of the run.
    numbers: step sizes.
    keys: of the run.
    state: before the first of these rounds; its memory is used again.
    inputs: the rounds, `[rounds, ...]`.

  Returns:
    The state after the last round, and the mean loss of the benign clients of all of them.
  """

  def one_round(state: SimulationState, inputs: RoundInput) -> tuple[SimulationState, tuple[Array, Array]]:
    return train_round(structure, parts, data, numbers, keys, state, inputs)

  state, (losses, counts) = lax.scan(one_round, state, inputs)
  return state, jnp.sum(losses) / jnp.sum(counts)


jitted_rounds = jax.jit(train_rounds, static_argnames="structure", donate_argnames="state")
