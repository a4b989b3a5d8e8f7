"""The part of a round that attackers take: what they see, the pool of honest uploads, and what they upload."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
from jax import lax

from fedrecjax.simulation.records import Constants, Parts, RoundInput, Structure
from fedrecjax.simulation.round_clients import client_view, train
from fedrecjax.types import (
  Array,
  AttackView,
  ClientUpdates,
  ClientView,
  SimulationState,
  State,
)
from fedrecjax.uploads.rows import (
  merge_rows,
)


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
    learning_rate=run.numbers.learning_rate,
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


def chosen_samples(
  structure: Structure, run: Constants, state: SimulationState, inputs: RoundInput, view: ClientView
) -> ClientView:
  """What the clients of a round train on once an attack has chosen its clients' samples, if it does."""
  if run.parts.samples is None:
    return view
  key = jax.random.fold_in(jax.random.fold_in(run.keys.attack, inputs.number), 1)
  seen = attack_view(structure, run, state, inputs)
  return view._replace(samples=run.parts.samples(state.attack, view.samples, seen, attacking(inputs), key))


def pool_uploads(structure: Structure, run: Constants, state: SimulationState, inputs: RoundInput) -> ClientUpdates:
  """What the malicious clients of the round's pool would upload if they behaved, one row per client and item."""
  assert inputs.pool is not None
  alone = structure._replace(capacity=structure.pool_capacity, num_tiles=structure.pool_tiles, pseudo_items=0)
  clients = structure.num_benign + inputs.pool
  view = client_view(alone, run, state, inputs._replace(clients=clients))
  uploads = train(alone, run, state, view, jnp.ones(clients.shape[0], bool)).uploads
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
) -> tuple[ClientUpdates, State, dict[str, Array] | None]:
  """What the malicious clients of a round upload, the attack's next state, and what it tells of the round.

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
  poisoned, after = run.parts.poison(state.attack, own, view, jax.random.fold_in(run.keys.attack, inputs.number))
  return poisoned, after, None if run.parts.tells is None else run.parts.tells(after, view)
