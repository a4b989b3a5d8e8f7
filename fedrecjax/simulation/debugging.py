"""The debug backend: rounds stage by stage and clients one by one, nothing compiled, every number checked.

It takes the place of :func:`fedrecjax.simulation.round.train_rounds` and arrives at the same state but for rounding.
When something fails or is not finite, the message names the round, the stage and, where it happened on a device, the
client.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fedrecjax.clients.tiles import TILE_SAMPLES
from fedrecjax.defenses.chain import change_parts
from fedrecjax.simulation.contracts import checked_parts
from fedrecjax.simulation.records import Constants, Reports, RoundInput, Structure, gathered
from fedrecjax.simulation.round import train_round
from fedrecjax.simulation.round_attack import attacking
from fedrecjax.simulation.round_clients import client_view, train
from fedrecjax.types import SimulationState

_STAGES = {
  "client_term": "the defense's term at the clients",
  "client_transform": "the defense's transform at the clients",
  "poison": "the attack",
  "filter": "the defense's filter",
  "aggregate": "the aggregation rule",
}


class DebugError(RuntimeError):
  """A stage of a round failed or made a number that is not finite; the message says which."""


@contextlib.contextmanager
def _naming(where: str) -> Iterator[None]:
  try:
    yield
  except DebugError:
    raise
  except Exception as error:
    raise DebugError(f"{where} failed: {error}") from error


def _check_finite(where: str, values: Any) -> None:
  for path, leaf in jax.tree_util.tree_leaves_with_path(values):
    if isinstance(leaf, jax.core.Tracer) or not jnp.issubdtype(jnp.asarray(leaf).dtype, jnp.inexact):
      continue
    array = np.asarray(leaf)
    if not np.isfinite(array).all():
      bad = "NaN" if np.isnan(array).any() else "infinite"
      place = jax.tree_util.keystr(path).lstrip(".") or "its result"
      raise DebugError(f"{where} made a number that is {bad}, in {place}")


def _checked(stage: str, function: Callable[..., Any] | None, number: int) -> Callable[..., Any] | None:
  """A method's function, in a chain that of each part, that says where it failed; None stays None."""
  if function is None:
    return None

  def alone(part: Callable[..., Any]) -> Callable[..., Any]:
    where = f"round {number}: {_STAGES[stage]}"

    def call(*arguments: Any) -> Any:
      with _naming(where):
        result, state = part(*arguments)
      _check_finite(where, result)
      return result, state

    return call

  return change_parts(function, alone)


def _round_up(count: int) -> int:
  """A power of two, so that clients of similar sizes share the shapes of their arrays."""
  return 1 << max(count - 1, 255).bit_length()


def debug_client(
  structure: Structure, run: Constants, state: SimulationState, inputs: RoundInput, client: int
) -> None:
  """Trains one client of a round by itself.

  Args:
    structure: static.
    run: what does not change.
    state: before the round.
    inputs: the round's clients.
    client: one of them.

  Raises:
    DebugError: if that fails, or makes a number that is not finite.
  """
  where = f"round {int(inputs.number)}, client {client}: local training"
  capacity = _round_up(int(run.data.training.length[client]))
  alone = structure._replace(
    capacity=capacity, num_tiles=capacity // TILE_SAMPLES if structure.num_tiles > 0 else 0
  )
  with _naming(where):
    view = client_view(alone, run, state, inputs._replace(clients=jnp.array([client], jnp.int32)))
    trained = train(alone, run, state, view, jnp.any(attacking(inputs) & (inputs.clients == client), keepdims=True))
  uploads = trained.uploads
  used = (uploads.item < structure.num_items)[:, None]
  sent = uploads._replace(row=jnp.where(used, uploads.row, 0.0))
  _check_finite(where, {"loss": trained.loss, "gradient of its own vector": trained.private, "uploads": sent})


def debug_round(
  structure: Structure, run: Constants, state: SimulationState, inputs: RoundInput
) -> tuple[SimulationState, Any]:
  """One round without compilation; arguments and result as of :func:`fedrecjax.simulation.round.train_round`.

  Raises:
    DebugError: naming the stage, and the client where there is one.
  """
  number = int(inputs.number)
  run = run._replace(parts=checked_parts(run.parts))
  with jax.disable_jit():
    for client in np.asarray(inputs.clients).tolist():
      if client < structure.num_clients:
        debug_client(structure, run, state, inputs, client)
    stages: dict[str, Any] = {name: _checked(name, getattr(run.parts, name), number) for name in _STAGES}
    parts = run.parts._replace(**stages)
    with _naming(f"round {number}"):
      after, report = train_round(structure, run._replace(parts=parts), state, inputs)
  _check_finite(f"round {number}: the server's step", after.server.public)
  _check_finite(f"round {number}: the clients' step", after.private)
  return after, report


def debug_rounds(
  structure: Structure, run: Constants, state: SimulationState, inputs: RoundInput
) -> tuple[SimulationState, Reports]:
  """Several rounds; arguments and result as of :func:`fedrecjax.simulation.round.train_rounds`."""
  reports = []
  for place in range(inputs.number.shape[0]):
    state, report = debug_round(structure, run, state, jax.tree.map(lambda leaf, place=place: leaf[place], inputs))
    reports.append(report)
  return state, gathered(jax.tree.map(lambda *leaves: jnp.stack(leaves), *reports))
