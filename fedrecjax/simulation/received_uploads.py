"""What the server receives in chosen rounds of a run, client by client, for analyses that need more than metrics."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import jax
import numpy as np
import numpy.typing as npt

from fedrecjax.defenses.union import draw_round, uniformities
from fedrecjax.simulation.planning import Run, round_inputs
from fedrecjax.simulation.records import Constants, RoundInput, Structure
from fedrecjax.simulation.round import jitted_rounds, send
from fedrecjax.simulation.round_attack import attacking, chosen_samples
from fedrecjax.simulation.round_clients import client_view, train
from fedrecjax.simulation.round_server import server_view
from fedrecjax.types import Array, SimulationState
from fedrecjax.uploads.rows import merge_rows


class Received(NamedTuple):
  """The uploads of a round; entries are rows that somebody uploaded.

  Attributes:
    round: from 0.
    client: place of each entry's client, int32 `[E]`.
    item: int32 `[E]`.
    row: float32 `[E, d]`.
    present: which places hold a client, bool `[C]`.
    malicious: which hold one that attacks, bool `[C]`.
    uniformity: how far apart each client's upload alone would leave sampled items, as UNION's server measures it,
      float32 `[C]`.
  """

  round: int
  client: npt.NDArray[np.int32]
  item: npt.NDArray[np.int32]
  row: npt.NDArray[np.float32]
  present: npt.NDArray[np.bool_]
  malicious: npt.NDArray[np.bool_]
  uniformity: npt.NDArray[np.float32]


@functools.partial(jax.jit, static_argnames=("structure", "num_sampled"))
def _sent(
  structure: Structure, run: Constants, state: SimulationState, inputs: RoundInput, num_sampled: int
) -> tuple[Array, ...]:
  view = chosen_samples(structure, run, state, inputs, client_view(structure, run, state, inputs))
  trained = train(structure, run, state, view, attacking(inputs))
  uploads = merge_rows(
    send(structure, run, state, inputs, view, trained).uploads, structure.num_items, num_clients=inputs.clients.shape[0]
  )
  seen = server_view(structure, run, state, inputs, view.samples.trained)
  draws = draw_round(seen, sample="shared", num_sampled=num_sampled, num_references=1)
  uniformity = uniformities(uploads, seen, draws.items, trial="optimizer", squared=False)
  return uploads.client, uploads.item, uploads.row, seen.present, attacking(inputs), uniformity


def received_uploads(run: Run, rounds: Iterable[int], *, num_sampled: int = 500) -> Iterator[Received]:
  """Executes a planned run and looks at what the server receives in the given rounds; its initial state is used up.

  Args:
    run: from :func:`fedrecjax.simulation.planning.plan`.
    rounds: different rounds, from 0.
    num_sampled: items whose distances are measured, T.

  Yields:
    The uploads of each, ascending.

  Raises:
    ValueError: if the run does not have such a round.
  """
  state, done = run.state, 0
  total = len(run.rounds.clients)
  for number in sorted(set(rounds)):
    if not 0 <= number < total:
      raise ValueError(f"rounds must lie between 0 and the run's last, {total - 1}, got {number}")
    if number > done:
      state, _ = jitted_rounds(run.structure, run.constants, state, round_inputs(run.rounds, slice(done, number)))
      done = number
    inputs = jax.tree.map(lambda leaf: leaf[0], round_inputs(run.rounds, slice(number, number + 1)))
    client, item, row, present, malicious, uniformity = jax.device_get(
      _sent(run.structure, run.constants, state, inputs, num_sampled)
    )
    used = item < run.structure.num_items
    yield Received(number, client[used], item[used], row[used], present, malicious, uniformity)
