"""A run's state at chosen rounds, for analyses that need more than metrics."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import jax
import numpy as np
import numpy.typing as npt

from fedrecjax.simulation.planning import Run, round_inputs
from fedrecjax.simulation.round import jitted_rounds

FloatArray = npt.NDArray[np.floating]


class Snapshot(NamedTuple):
  """What is known after a number of rounds.

  Attributes:
    round: rounds done.
    items: item table `[M, d]`.
    private: the benign clients' own vectors `[N, d]`.
  """

  round: int
  items: FloatArray
  private: FloatArray


def snapshots(run: Run, rounds: Iterable[int]) -> Iterator[Snapshot]:
  """Executes a planned run and stops after the given rounds; the run's initial state is used up.

  Args:
    run: from :func:`fedrecjax.simulation.planning.plan`.
    rounds: different numbers of rounds done, from 0, at most those of the run.

  Yields:
    A snapshot for each, ascending.

  Raises:
    ValueError: if the run does not have so many rounds.
  """
  state, done = run.state, 0
  total = len(run.rounds.clients)
  for number in sorted(set(rounds)):
    if not 0 <= number <= total:
      raise ValueError(f"rounds must lie between 0 and the {total} of the run, got {number}")
    if number > done:
      state, _ = jitted_rounds(run.structure, run.constants, state, round_inputs(run.rounds, slice(done, number)))
      done = number
    items, private = jax.device_get((state.server.public.items, state.private))
    yield Snapshot(number, items, private[: run.structure.num_benign])
