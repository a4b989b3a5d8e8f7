"""What a run is cut into, and the programs of its pieces."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np

from fedrecjax.federation.participation import Rounds
from fedrecjax.simulation.evaluation_points import Measure, compiled_measure
from fedrecjax.simulation.planning import Run, round_inputs
from fedrecjax.simulation.programs import compiled_program
from fedrecjax.simulation.records import mean_loss
from fedrecjax.simulation.round import jitted_rounds
from fedrecjax.types import SimulationState


def points_of(rounds: Rounds, epochs: int, every: int) -> list[slice]:
  """The rounds before each evaluation point; the last epoch is always one."""
  ends = [*range(every, epochs, every), epochs]
  return [slice(start * rounds.per_epoch, end * rounds.per_epoch) for start, end in itertools.pairwise([0, *ends])]


def piece_length(run: Run, epochs: int, every: int, own: int | None) -> int:
  """How many epochs are trained at a time: all up to an evaluation point, if nothing happens between two of them.

  Images are uploaded before every epoch. Checkpoints come at multiples of their own; then all pieces have one length,
  so that there is one program.
  """
  if run.images is not None:
    return 1
  if own is None or own >= epochs:
    return every
  return own if every >= epochs else math.gcd(every, own)


def pieces_of(taken: slice, done: int, length: int) -> list[slice]:
  """The rounds before an evaluation point that are not done, cut at multiples of a number of rounds."""
  start = max(taken.start, done)
  cuts = range(start - start % length + length, taken.stop, length)
  return [slice(*edges) for edges in itertools.pairwise([start, *cuts, taken.stop])]


def compiled_point(run: Run, state: SimulationState, taken: slice) -> tuple[Measure, float]:
  """What is done at the end of these rounds, compiled, and the seconds of it."""
  measure, evaluation_s = compiled_measure(run, state, taken.stop)
  sums = np.zeros(taken.stop - taken.start, np.float32)
  return measure, evaluation_s + compiled_program(mean_loss, sums, sums.astype(np.int32))[1]


def round_arguments(run: Run, state: SimulationState, rounds: slice) -> tuple[Any, ...]:
  """What the program of these rounds takes."""
  return run.structure, run.constants, state, round_inputs(run.rounds, rounds)


def compile_run(run: Run, *, epochs: int, every: int, checkpoint_every: int | None = None) -> float:
  """Compiles what it takes to execute such a run in this process, and trains nothing.

  It may be called in a thread while another run trains. Runs with images are left alone: what they need is known only
  once images have been uploaded.

  Args:
    run: planned.
    epochs: as planned.
    every: epochs between evaluation points.
    checkpoint_every: epochs between two checkpoints, where they are counted in epochs.

  Returns:
    Seconds that it took.
  """
  if run.images is not None:
    return 0.0
  points = points_of(run.rounds, epochs, every)
  length = piece_length(run, epochs, every, checkpoint_every or None) * run.rounds.per_epoch
  seconds = 0.0
  for taken in (points[0], points[-1]):
    seconds += compiled_point(run, run.state, taken)[1]
    for rounds in pieces_of(taken, taken.start, length):
      seconds += compiled_program(jitted_rounds, *round_arguments(run, run.state, rounds))[1]
  return seconds
