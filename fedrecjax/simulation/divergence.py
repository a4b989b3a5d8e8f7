"""A run that has diverged: in which round, through which stage, and what is said of it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fedrecjax.simulation.faults import Stage
from fedrecjax.simulation.planning import Run

_SAID = {
  Stage.IMAGES: "the features of the uploaded images are not finite",
  Stage.TRAINING: "what clients computed from their own data is not finite",
  Stage.ATTACK: "the attack's uploads are not finite",
  Stage.RULE: "the update by {defense} is not finite",
  Stage.SERVER: "the server's step is not finite",
  Stage.CLIENTS: "the step of the clients' own vectors is not finite",
}


class Divergence(NamedTuple):
  """Where a run has diverged.

  Attributes:
    round: from 0.
    stage: that made the first number that is not finite.
  """

  round: int
  stage: Stage


def divergence_in(faults: np.ndarray, measured: np.ndarray, first: int) -> Divergence | None:
  """Where a run has diverged between two evaluation points, if it has.

  Args:
    faults: a :class:`Stage` for each round between them.
    measured: metrics at the later point, and its training loss last. A metric that has no value, as the exposure of a
      target that everybody has, is NaN and no fault.
    first: number of the first of these rounds.
  """
  at_fault = np.flatnonzero(faults)
  if len(at_fault):
    return Divergence(first + int(at_fault[0]), Stage(int(faults[at_fault[0]])))
  if np.isinf(measured).any() or not np.isfinite(measured[-1]):
    return Divergence(first + len(faults) - 1, Stage.TRAINING)
  return None


def description(run: Run, divergence: Divergence) -> str:
  """What is said of a run that has diverged: when, under which attack, and which stage made the number.

  Advice is given only where nobody has attacked so far: a run that an attack blows up is a result.
  """
  number, stage = divergence
  epoch = number // run.rounds.per_epoch
  said = _SAID[stage].format(defense=f"defense {run.defense}" if run.defense else "the defense")
  when = f"diverged at epoch {epoch + 1} (round {number + 1})"
  by_images = run.images is not None and run.images.start <= epoch
  if by_images or (run.rounds.malicious[: number + 1] >= 0).any():
    return f"{when} under {f'attack {run.attack}' if run.attack else 'the attack'}: {said}"
  return f"{when}: {said}; a smaller train.learning_rate may help"
