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
from fedrecjax.simulation.records import Reports, RoundInput, Structure
from fedrecjax.simulation.round_attack import attacking
from fedrecjax.types import Array, Public, SimulationState, Update


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


def rows_finite(row: Array, used: Array) -> Array:
  """Whether rows `[E, d]` are finite at the places that are used, bool scalar; others may hold anything."""
  return jnp.all(jnp.isfinite(row) | ~used[:, None])


@functools.partial(jax.jit, static_argnames="structure")
def stage_at_fault(
  structure: Structure,
  inputs: RoundInput,
  trained: Trained,
  attacked: Array,
  update: Update,
  learning_rate: Array,
  public: Public,
  private: Array,
) -> Array:
  """The first stage of a round that made a number that is not finite.

  What leaves no trace in losses, parameters or the update is no fault: a rule may have left it out. So benign clients'
  rows, which are many, are not looked at, but their losses and the gradients of their vectors, which share every factor
  with them; nor is the item table where the rows that are added to it are fewer.

  Args:
    structure: static.
    inputs: the round's clients.
    trained: what they computed.
    attacked: whether all that an attack has uploaded is finite, bool scalar.
    update: of the rule.
    learning_rate: of the server.
    public: parameters after the round.
    private: all clients' vectors after the round.

  Returns:
    A :class:`Stage`, int32 scalar.
  """
  is_benign, hostile = inputs.clients < structure.num_benign, attacking(inputs)
  losses, gradients = jnp.where(is_benign, trained.loss, 0.0), trained.private
  row, used = update.items.row, update.items.item < structure.num_items
  fewer = row.shape[0] <= structure.num_items
  if structure.server_optimizer is DESCENT and fewer:
    moved = rows_finite(learning_rate * row, used) & all_finite(public.shared)
  else:
    moved = all_finite(public)
  # More rows than items are looked at only if they have left something in the table.
  of_rows = rows_finite(row, used) if fewer else lax.cond(moved, lambda: moved, lambda: rows_finite(row, used))
  updated = of_rows & all_finite(update.shared)
  own = all_finite(private.at[inputs.clients].get(mode="clip"))
  fine = {
    Stage.TRAINING: all_finite((losses, jnp.where(is_benign[:, None], gradients, 0.0))),
    Stage.ATTACK: attacked & all_finite(jnp.where(hostile[:, None], gradients, 0.0)),
    Stage.RULE: updated,
    Stage.SERVER: moved,
    Stage.CLIENTS: own,
  }
  found = jnp.int32(Stage.NONE)
  for stage in reversed(fine):
    found = jnp.where(fine[stage], found, jnp.int32(stage))
  # Uploads count only where they have reached something.
  return jnp.where(all_finite(losses) & updated & moved & own, jnp.int32(Stage.NONE), found)


def closed(reports: Reports, state: SimulationState) -> Reports:
  """Reports of rounds with what is looked at once, after the last of them.

  Images are uploaded before the first of them and answer for features; the last round answers for anything else.
  """
  faults = reports.faults
  unseen = (faults[-1] == Stage.NONE) & ~all_finite((state.server.public, state.private))
  faults = faults.at[-1].set(jnp.where(unseen, jnp.int32(Stage.SERVER), faults[-1]))
  if state.server.features is not None:
    faults = faults.at[0].set(jnp.where(all_finite(state.server.features), faults[0], jnp.int32(Stage.IMAGES)))
  return reports._replace(faults=faults)
