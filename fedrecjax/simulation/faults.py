"""Which stage of a round made a number that is not finite, looked for in every round of the compiled program."""

from __future__ import annotations

import enum
import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from fedrecjax.clients.local_training import Trained
from fedrecjax.numerics.optimizers import DESCENT
from fedrecjax.simulation.records import Constants, Reports, RoundInput, Structure
from fedrecjax.simulation.round_attack import attacking
from fedrecjax.types import Array, ClientUpdates, ServerState, SimulationState, Update


class Stage(enum.IntEnum):
  """Stages of a round in their order, as what made a number that is not finite; NONE where all are finite."""

  NONE = 0
  IMAGES = 1
  TRAINING = 2
  ATTACK = 3
  RULE = 4
  SERVER = 5
  CLIENTS = 6


def all_finite(values: Any) -> Array:
  """Whether all numbers of a pytree are finite, bool scalar."""
  each = (jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(values))
  return functools.reduce(jnp.logical_and, each, jnp.bool_(True))


def _rows_finite(row: Array, used: Array) -> Array:
  """Whether rows `[E, d]` are finite at the places that are used, bool scalar; others may hold anything."""
  return jnp.all(jnp.isfinite(row) | ~used[:, None])


def stage_at_fault(
  structure: Structure,
  run: Constants,
  before: SimulationState,
  inputs: RoundInput,
  trained: Trained,
  sent: ClientUpdates,
  update: Update,
  server: ServerState,
  private: Array,
) -> Array:
  """The first stage of a round that made a number that is not finite.

  What leaves no trace in parameters or losses is no fault: a rule may have left it out. So a round costs one pass over
  the rows of its update, and only a faulty one is looked at closely.

  Args:
    structure: static.
    run: what does not change.
    before: state before the round.
    inputs: the round's clients.
    trained: what they computed.
    sent: what they sent, attacks included.
    update: of the rule.
    server: after the round.
    private: all clients' vectors after the round.

  Returns:
    A :class:`Stage`, int32 scalar.
  """
  is_benign = inputs.clients < structure.num_benign
  losses = all_finite(jnp.where(is_benign, trained.loss, 0.0))
  used = update.items.item < structure.num_items
  if structure.server_optimizer is DESCENT:
    # Rows are added straight into a table that is too large to be looked at in every round.
    moved = _rows_finite(run.numbers.learning_rate * update.items.row, used) & all_finite(server.public.shared)
  else:
    moved = all_finite(server.public)
  own = all_finite(private.at[inputs.clients].get(mode="clip"))

  def first() -> Array:
    from_attack = attacking(inputs)[sent.client]
    is_sent = sent.item < structure.num_items
    gradients = jnp.where(is_benign[:, None], trained.private, 0.0)
    honest = _rows_finite(sent.row, is_sent & ~from_attack) & all_finite((trained.uploads.shared, gradients))
    fine = {
      Stage.IMAGES: all_finite(before.server.features),
      Stage.TRAINING: honest & losses,
      Stage.ATTACK: _rows_finite(sent.row, is_sent & from_attack) & all_finite(sent.shared),
      Stage.RULE: _rows_finite(update.items.row, used) & all_finite(update.shared),
      Stage.SERVER: moved,
    }
    found = jnp.int32(Stage.CLIENTS)
    for stage in reversed(fine):
      found = jnp.where(fine[stage], found, jnp.int32(stage))
    return found

  return lax.cond(losses & moved & own, lambda: jnp.int32(Stage.NONE), first)


def closed(reports: Reports, state: SimulationState) -> Reports:
  """Reports of rounds, the last of which answers for whatever is not finite after them in any parameter."""
  last = reports.faults[-1]
  unseen = (last == Stage.NONE) & ~all_finite((state.server.public, state.private))
  return reports._replace(faults=reports.faults.at[-1].set(jnp.where(unseen, jnp.int32(Stage.SERVER), last)))
