"""The federated round and the scan over rounds; nothing method-specific.

One compiled program trains from one evaluation point to the next. Its shapes are planned on the host from the rounds
actually drawn (:mod:`fedrecjax.federation.participation`); every number is an argument.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
from jax import lax

from fedrecjax.clients.local_steps import train_clients_locally
from fedrecjax.clients.local_training import LocalSettings, Trained, TrainingData, lay_out, train_clients
from fedrecjax.clients.optimizer import step_private
from fedrecjax.clients.pseudo_items import pseudo_uploads
from fedrecjax.clients.tiles import tiles_of
from fedrecjax.clients.user_vectors import vectors_of
from fedrecjax.metrics.detection import flagged_by_filter, verdicts
from fedrecjax.metrics.stealth import foreign_rows, measure_stealth
from fedrecjax.server.step import apply_update
from fedrecjax.simulation.records import Constants, Parts, Reports, RoundInput, RoundReport, Structure, gathered
from fedrecjax.types import (
  Array,
  AttackView,
  ClientUpdates,
  ClientView,
  DefenseView,
  ItemRows,
  Public,
  SimulationState,
  State,
  Update,
)
from fedrecjax.uploads.rows import (
  add_shared,
  by_client,
  compact,
  concatenate,
  keep_clients,
  merge_rows,
  no_uploads,
  packed,
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


def train(structure: Structure, run: Constants, state: SimulationState, view: ClientView, is_benign: Array) -> Trained:
  """What the clients of a round compute from their own data."""
  parts, samples = run.parts, view.samples
  l2 = None
  if structure.l2_rows != "none":
    l2 = run.numbers.l2 * ((view.clients < structure.num_benign) | (not structure.l2_benign))
  settings = LocalSettings(
    mean=structure.mean,
    l2=l2,
    l2_rows=structure.l2_rows,
    dropout=run.numbers.dropout if structure.dropout else None,
  )
  tiles = None
  if structure.own_shared:
    tiles = tiles_of(samples.length, samples.client, samples.first, structure.num_tiles)
  model = parts.model._replace(history=structure.history)
  if structure.local_steps > 1:
    trained = train_clients_locally(
      model, parts.loss, state.server.defense, view, settings, tiles, client_rates(run, view.clients),
      steps=structure.local_steps,
    )
  else:
    trained = train_clients(
      model, parts.loss, parts.client_term, state.server.defense, view, is_benign, settings, tiles
    )
  uploads = trained.uploads
  if l2 is not None and structure.l2_rows == "uploaded" and structure.local_steps == 1:
    uploads = merge_rows(uploads, structure.num_items)
    penalty = l2[uploads.client][:, None] * view.public.items.at[uploads.item].get(mode="clip")
    uploads = uploads._replace(row=uploads.row + penalty)
  if structure.pseudo_items > 0:
    assert trained.rows is not None
    hiding = pseudo_uploads(
      view, trained.rows, is_benign, count=structure.pseudo_items, num_tiles=structure.num_tiles
    )
    # A client may have drawn an item as a negative too, and its places must follow one another.
    uploads = by_client(concatenate(uploads, hiding), is_benign.shape[0])
  return trained._replace(uploads=uploads)


def client_rates(run: Constants, clients: Array) -> Array:
  """Step size of each client of a round, float32 `[C]`."""
  rate = jnp.asarray(run.numbers.client_learning_rate)
  return jnp.broadcast_to(rate, clients.shape) if rate.ndim == 0 else rate.at[clients].get(mode="clip")


def penalize_table(public: Public, update: Update, l2: Array | float) -> Update:
  """Adds the L2 penalty on all public parameters to an aggregated update."""
  num_items = public.items.shape[0]
  items = ItemRows(
    jnp.concatenate([update.items.item, jnp.arange(num_items, dtype=update.items.item.dtype)]),
    jnp.concatenate([update.items.row, l2 * public.items]),
  )
  shared = jax.tree.map(lambda gradient, old: gradient + l2 * old, update.shared, public.shared)
  return update._replace(items=items, shared=shared)


def attack_view(structure: Structure, run: Constants, state: SimulationState, inputs: RoundInput) -> AttackView:
  """What every attacker sees of a round."""
  active = inputs.malicious >= 0
  return AttackView(
    public=state.server.public,
    round=inputs.number,
    client=jnp.where(active, inputs.malicious, structure.num_clients - structure.num_benign),
    active=active,
    slot=inputs.slot,
    targets=run.data.evaluation.targets,
    learning_rate=jnp.asarray(run.numbers.learning_rate),
    benign=None,
    model=run.parts.model._replace(history=structure.history),
    num_clients=inputs.clients.shape[0],
    private=state.private.at[structure.num_benign + inputs.malicious].get(mode="clip"),
    loss=run.parts.loss,
    features=state.server.features,
  )


def attacking(inputs: RoundInput) -> Array:
  """Which places of a round hold a client that attacks in it, bool `[C]`."""
  place = jnp.where(inputs.malicious >= 0, inputs.slot, inputs.clients.shape[0])
  return jnp.zeros(inputs.clients.shape[0], bool).at[place].set(True, mode="drop")


def pool_uploads(structure: Structure, run: Constants, state: SimulationState, inputs: RoundInput) -> ClientUpdates:
  """What the malicious clients of the round's pool would upload if they behaved, one row per client and item."""
  assert inputs.pool is not None
  alone = structure._replace(capacity=structure.pool_capacity, num_tiles=structure.pool_tiles)
  clients = structure.num_benign + inputs.pool
  view = client_view(alone, run, state, inputs._replace(clients=clients))
  uploads = train(alone, run, state, view, jnp.zeros(clients.shape[0], bool)).uploads
  return merge_rows(uploads, structure.num_items)


@functools.partial(jax.jit, static_argnames="structure")
def round_pool(structure: Structure, run: Constants, state: SimulationState, inputs: RoundInput) -> ClientUpdates:
  """The same in rounds with an attacker, and unused places in others.

  Most rounds of some federations have no attacker, and the pool may be as large as a round.
  """
  shape = jax.eval_shape(lambda: pool_uploads(structure, run, state, inputs))
  empty = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shape)
  empty = empty._replace(item=jnp.full_like(empty.item, structure.num_items))
  somebody = jnp.any(inputs.malicious >= 0)
  return lax.cond(somebody, lambda: pool_uploads(structure, run, state, inputs), lambda: empty)


def attack(
  structure: Structure,
  run: Constants,
  state: SimulationState,
  inputs: RoundInput,
  own: ClientUpdates,
  benign: ClientUpdates,
) -> tuple[ClientUpdates, State]:
  """What the malicious clients of a round upload, and the attack's next state.

  Args:
    structure: static.
    run: what does not change.
    state: before the round.
    inputs: the round's clients.
    own: what the malicious clients would upload if they behaved.
    benign: uploads of all others; shown only to an attack that has been granted them.
  """
  view = attack_view(structure, run, state, inputs)
  view = view._replace(benign=benign if structure.omniscient else None)
  if structure.pool_capacity > 0:
    # Behaving means the model and its loss alone.
    parts = Parts(run.parts.model, run.parts.loss, *[None] * (len(Parts._fields) - 2))
    view = view._replace(pool=round_pool(structure, run._replace(parts=parts), state, inputs))
  return run.parts.poison(state.attack, own, view, jax.random.fold_in(run.keys.attack, inputs.number))


def claimed_samples(is_benign: Array, present: Array, length: Array) -> Array:
  """Training pairs that each client of a round says it has, float32 `[C]`.

  Malicious clients without data claim the average of the round's benign ones, so that weights by sample count
  neither silence nor favour them.
  """
  length = length.astype(jnp.float32)
  average = jnp.sum(jnp.where(is_benign, length, 0.0)) / jnp.maximum(jnp.sum(is_benign), 1)
  return jnp.where(present, jnp.where(is_benign | (length > 0), length, average), 0.0)


def without_dropped(view: DefenseView, before: ClientUpdates, after: ClientUpdates) -> DefenseView:
  """The round as a rule sees it after filters: clients of which nothing is left take no part in it."""

  def sends(uploads: ClientUpdates) -> Array:
    used = (uploads.item < view.num_items).astype(jnp.int32)
    rows = jnp.zeros(view.num_clients, jnp.int32).at[uploads.client].add(used) > 0
    return rows if uploads.sent is None else rows | uploads.sent

  present = view.present & (sends(after) | ~sends(before))
  return view._replace(present=present, clients=jnp.sum(present, dtype=jnp.int32))


def defend(
  structure: Structure, parts: Parts, state: State, view: DefenseView, uploads: ClientUpdates, malicious: Array
) -> tuple[Update, State, Array | None]:
  """The update that the server makes of a round's uploads.

  Args:
    structure: static.
    parts: functions of the methods.
    state: of the defence.
    view: what the server may read.
    uploads: of all clients.
    malicious: which places of the round hold a malicious client, bool `[C]`; for the verdicts alone.

  Returns:
    The update, the defence's next state, and the verdicts where the defence rejects or rescales uploads.
  """
  if structure.unique_rows or parts.filter is not None:
    uploads = merge_rows(uploads, structure.num_items)
  sent = uploads
  flagged = None
  place = jnp.arange(sent.item.shape[0])
  if parts.filter is not None:
    uploads, state = parts.filter(state, uploads, view)
    flagged = flagged_by_filter(sent, uploads, structure.num_items)
    view = without_dropped(view, sent, uploads)
    if structure.unique_rows:
      uploads, place = compact(uploads, structure.num_items)
  update, state = parts.aggregate(state, uploads, view)
  if update.kept is not None:
    rejected = jnp.zeros(place.shape[0], bool).at[place].set(
      ~update.kept & (uploads.item < structure.num_items), mode="drop"
    )
    flagged = rejected if flagged is None else flagged | rejected
  if flagged is None:
    return update, state, None
  used = sent.item < structure.num_items
  return update, state, verdicts(flagged & used, used, sent.client, malicious)


def train_round(
  structure: Structure, run: Constants, state: SimulationState, inputs: RoundInput
) -> tuple[SimulationState, RoundReport]:
  """One federated round.

  Args:
    structure: static.
    run: what does not change.
    state: before the round.
    inputs: the round's clients.

  Returns:
    The state after the round, and what it tells about itself.
  """
  parts, server = run.parts, state.server
  present = inputs.clients < structure.num_clients
  is_benign = inputs.clients < structure.num_benign
  hostile = attacking(inputs)
  view = client_view(structure, run, state, inputs)
  if parts.samples is not None:
    key = jax.random.fold_in(jax.random.fold_in(run.keys.attack, inputs.number), 1)
    seen = attack_view(structure, run, state, inputs)
    view = view._replace(samples=parts.samples(state.attack, view.samples, seen, hostile, key))
  trained = train(structure, run, state, view, is_benign)
  uploads, defense_state = trained.uploads, trained.state
  own = no_uploads(server.public.items.shape[1])
  if parts.poison is not None and structure.own_rows > 0:
    own = packed(keep_clients(uploads, hostile, structure.num_items), structure.own_rows, structure.num_items)
    uploads = keep_clients(uploads, ~hostile, structure.num_items)
  if parts.client_transform is not None:
    merged = merge_rows(uploads, structure.num_items)
    uploads, defense_state = parts.client_transform(defense_state, merged, view)
  attack_state, foreign, sent = state.attack, jnp.int32(0), [uploads]
  if parts.poison is not None:
    poisoned, attack_state = attack(structure, run, state, inputs, own, uploads)
    foreign = foreign_rows(poisoned, hostile, structure.num_items)
    if not structure.own_shared:
      poisoned = add_shared(poisoned)
    # Looked at in parts: rows that only the rule reads need not be written down one behind another.
    sent.append(poisoned)
    uploads = concatenate(uploads, poisoned)
  stealth = None
  if structure.num_clients > structure.num_benign:
    sending = ~hostile & (view.samples.trained > 0)
    stealth = measure_stealth(sent, hostile, sending, foreign, structure.num_items)
  update, defense_state, judged = defend(
    structure, parts, defense_state,
    DefenseView(
      public=server.public,
      round=inputs.number,
      num_items=structure.num_items,
      num_clients=inputs.clients.shape[0],
      present=present,
      clients=jnp.sum(present, dtype=jnp.int32),
      federation=jnp.int32(structure.num_clients),
      samples=claimed_samples(is_benign, present, view.samples.trained),
      transformation=structure.server_optimizer,
      optimizer=server.optimizer,
      learning_rate=run.numbers.learning_rate,
      key=jax.random.fold_in(run.keys.defense, inputs.number),
    ),
    uploads, hostile,
  )
  if structure.l2_rows == "table":
    update = penalize_table(server.public, update, run.numbers.l2)
  server = apply_update(structure.server_optimizer, server, update, run.numbers.learning_rate)
  private, optimizer = step_private(
    structure.client_optimizer, state.client_optimizer, state.private, inputs.clients, trained.private,
    client_rates(run, inputs.clients), table=structure.client_table,
  )
  after = SimulationState(server._replace(defense=defense_state), private, attack_state, optimizer)
  return after, RoundReport(jnp.sum(jnp.where(is_benign, trained.loss, 0.0)), jnp.sum(is_benign), judged, stealth)


def train_rounds(
  structure: Structure, run: Constants, state: SimulationState, inputs: RoundInput
) -> tuple[SimulationState, Reports]:
  """Trains for a number of rounds, as one program.

  Args:
    structure: static.
    run: what does not change.
    state: before the first of these rounds; its memory is used again.
    inputs: the rounds, `[rounds, ...]`.

  Returns:
    The state after the last round, and what the rounds tell about themselves.
  """

  def one_round(state: SimulationState, inputs: RoundInput) -> tuple[SimulationState, RoundReport]:
    return train_round(structure, run, state, inputs)

  state, reports = lax.scan(one_round, state, inputs)
  return state, gathered(reports)


jitted_rounds = jax.jit(train_rounds, static_argnames="structure", donate_argnames="state")
