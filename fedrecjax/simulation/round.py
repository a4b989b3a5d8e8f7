"""The federated round and the scan over rounds; nothing method-specific.

One compiled program trains from one evaluation point to the next. Its shapes are planned on the host from the rounds
actually drawn (:mod:`fedrecjax.federation.participation`); every number is an argument.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax

from fedrecjax.clients.local_training import Trained
from fedrecjax.clients.optimizer import step_private
from fedrecjax.metrics.stealth import foreign_rows, measure_stealth, rows_outside
from fedrecjax.simulation.contracts import checked_parts
from fedrecjax.simulation.faults import all_finite, closed, rows_finite, stage_at_fault
from fedrecjax.simulation.records import Constants, Reports, RoundInput, RoundReport, Structure, gathered
from fedrecjax.simulation.round_attack import attack, attacking, chosen_samples
from fedrecjax.simulation.round_clients import client_rates, client_view, train
from fedrecjax.simulation.round_server import Sent, serve
from fedrecjax.types import (
  ClientView,
  SimulationState,
)
from fedrecjax.uploads.rows import (
  add_shared,
  concatenate,
  keep_clients,
  merge_rows,
  no_uploads,
  packed,
)


def send(
  structure: Structure, run: Constants, state: SimulationState, inputs: RoundInput, view: ClientView, trained: Trained
) -> Sent:
  """From what clients have computed to what they send: benign clients transform theirs, malicious ones attack.

  Where somebody is malicious, or the defence asks for it, uploads have one row per client and item, in order of items.
  """
  parts, num_items, hostile = run.parts, structure.num_items, attacking(inputs)
  uploads, defense_state, attack_state = trained.uploads, trained.state, state.attack
  own = no_uploads(state.server.public.items.shape[1])
  if parts.poison is not None and structure.own_rows > 0:
    own = packed(keep_clients(uploads, hostile, num_items), structure.own_rows, num_items)
    uploads = keep_clients(uploads, ~hostile, num_items)
  if parts.client_transform is not None:
    uploads, defense_state = parts.client_transform(defense_state, merge_rows(uploads, num_items), view)
  foreign, outside, finite, told = jnp.int32(0), jnp.int32(0), jnp.bool_(True), None
  if parts.poison is not None:
    poisoned, attack_state, told = attack(structure, run, state, inputs, own, uploads)
    foreign = foreign_rows(poisoned, hostile, num_items)
    outside = rows_outside(poisoned.item, num_items)
    finite = rows_finite(poisoned.row, poisoned.item < num_items) & all_finite(poisoned.shared)
    if not structure.own_shared:
      poisoned = add_shared(poisoned)
    uploads = concatenate(uploads, poisoned)
  somebody = structure.num_clients > structure.num_benign
  if somebody or structure.unique_rows or parts.filter is not None:
    # Malicious rows were put behind all others, which a rule must not see: some break ties by the order of rows.
    in_order_of_clients = hostile.shape[0] if parts.poison is not None else None
    uploads = merge_rows(uploads, num_items, num_clients=in_order_of_clients)
  stealth = None
  if somebody:
    sending = ~hostile & (view.samples.trained > 0)
    stealth = measure_stealth(uploads, hostile, sending, foreign, num_items)
  return Sent(uploads, attack_state, defense_state, stealth, outside, finite, told)


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
  is_benign = inputs.clients < structure.num_benign
  view = chosen_samples(structure, run, state, inputs, client_view(structure, run, state, inputs))
  trained = train(structure, run, state, view, attacking(inputs))
  sent = send(structure, run, state, inputs, view, trained)
  served = serve(structure, run, state, inputs, view.samples.trained, sent)
  private, optimizer = step_private(
    structure.client_optimizer, state.client_optimizer, state.private, inputs.clients, trained.private,
    client_rates(run, inputs.clients), table=structure.client_table,
  )
  loss = jnp.sum(jnp.where(is_benign, trained.loss, 0.0))
  penalty = None if trained.penalty is None else jnp.sum(jnp.where(is_benign, trained.penalty, 0.0))
  fault = stage_at_fault(
    structure, inputs, trained, sent.finite, served.update, run.numbers.learning_rate, served.server.public, private
  )
  report = RoundReport(
    loss, jnp.sum(is_benign, dtype=jnp.int32), served.verdicts, sent.stealth,
    jnp.stack([sent.outside, served.outside]), fault, served.update.idle, sent.told,
    penalty,
  )
  return SimulationState(served.server, private, sent.attack, optimizer), report


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
  run = run._replace(parts=checked_parts(run.parts))

  def one_round(state: SimulationState, inputs: RoundInput) -> tuple[SimulationState, RoundReport]:
    return train_round(structure, run, state, inputs)

  state, reports = lax.scan(one_round, state, inputs)
  return state, closed(gathered(reports), state)


jitted_rounds = jax.jit(train_rounds, static_argnames="structure", donate_argnames="state")
