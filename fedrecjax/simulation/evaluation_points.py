"""What the metrics of a run are measured on: after a number of rounds, and right after an upload of images."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import jax
import numpy as np

from fedrecjax.simulation.evaluation import jitted_evaluation, metric_names
from fedrecjax.simulation.planning import Run
from fedrecjax.simulation.programs import compiled_program
from fedrecjax.types import Public, SimulationState, beside_features

Measure = Callable[[SimulationState], tuple[jax.Array, jax.Array]]
# Told apart from the points after rounds, whose keys come from the same one.
_AFTER_UPLOAD = 2**31


def received(state: SimulationState) -> Public:
  """What every client receives, as the model's functions take it."""
  return beside_features(state.server.public, state.server.features)


def compiled_measure(run: Run, state: SimulationState, rounds: int, *, uploaded: bool = False) -> tuple[Measure, float]:
  """The evaluation of a run, compiled.

  Args:
    run: planned.
    state: of the shapes that there will be.
    rounds: how many there were by then; they decide who is whose neighbor, and what is drawn.
    uploaded: whether it comes between an upload of images and the round after it.

  Returns:
    A function from the state to means of the metrics over users, in the order of their names, and metrics of each user
    `[N, metrics]`; and the seconds of compilation.
  """
  data, model, numbers = run.constants.data, run.constants.parts.model, run.constants.numbers
  key = jax.random.fold_in(run.constants.keys.evaluation, _AFTER_UPLOAD + rounds if uploaded else rounds - 1)
  neighbors = data.training.neighbors if rounds > numbers.neighbors_from else None
  program, compile_s = compiled_program(
    jitted_evaluation, model, received(state), state.private, data.evaluation, key, neighbors,
    config=run.evaluation, num_users=run.structure.num_benign,
  )

  def measure(state: SimulationState) -> tuple[jax.Array, jax.Array]:
    # A metric that has no value, as the exposure of a target that everybody has, is NaN and no fault.
    with jax.debug_nans(False):
      return program(model, received(state), state.private, data.evaluation, key, neighbors)

  return measure, compile_s


class AfterUploads:
  """Metrics right after each upload of images, where they are asked for (`eval.after_uploads`)."""

  def __init__(self, run: Run):
    self._run = run
    self._rounds: list[int] = []
    self._means: list[jax.Array | np.ndarray] = []

  def add(self, state: SimulationState, rounds: int) -> float:
    """Measures the state after an upload that follows so many rounds; returns the seconds of compilation."""
    if not self._run.evaluation.after_uploads:
      return 0.0
    measure, compile_s = compiled_measure(self._run, state, rounds, uploaded=True)
    means, _ = measure(state)
    self._rounds.append(rounds)
    self._means.append(means)
    return compile_s

  def saved(self) -> dict[str, np.ndarray]:
    """What was measured so far, by name, for :meth:`restore`; empty without."""
    if not self._rounds:
      return {}
    return {"rounds": np.array(self._rounds), "means": np.array([np.asarray(one) for one in self._means])}

  def restore(self, kept: Mapping[str, np.ndarray]) -> None:
    """Takes over what :meth:`saved` has made."""
    self._rounds = kept["rounds"].tolist() if kept else []
    self._means = list(kept["means"]) if kept else []

  def columns(self) -> dict[str, np.ndarray]:
    """One array over uploads per metric, "epoch" (from 0, that the upload comes before) and "round"; empty without."""
    if not self._rounds:
      return {}
    rounds, table = np.array(self._rounds), np.array([np.asarray(one) for one in self._means])
    metrics = {name: table[:, number] for number, name in enumerate(metric_names(self._run.evaluation))}
    return {"epoch": rounds // self._run.rounds.per_epoch, "round": rounds} | metrics
