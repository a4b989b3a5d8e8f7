"""What a run returns, and what it raises."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fedrecjax.simulation.image_step import ImageState
from fedrecjax.types import SimulationState


class Result(NamedTuple):
  """What a run returns.

  Attributes:
    metrics: one array over evaluation points per column: "epoch", "round", "hr@10" and so on, "train_loss",
      "wall_s" (seconds since the start of training, without compilation).
    per_user: one array over benign users per metric, at the last point; NaN where a metric has no value.
    users: the benign users as numbers of the data set `[N]`.
    targets: numbers of items `[T]`.
    state: the state after the last round.
    compile_s: seconds spent compiling for this run.
    detection: one array over rounds per column, see :func:`fedrecjax.metrics.detection.detection_columns`; empty for a
      defence that neither rejects nor rescales uploads. `metrics` holds the same over the rounds since the point
      before.
    stealth: the same for what malicious uploads look like, see :func:`fedrecjax.metrics.stealth.stealth_columns`; empty
      if nobody is malicious.
    images: one array over the steps in which images were uploaded, and in each over targets, see
      :func:`fedrecjax.simulation.image_step.image_columns`; empty without an attack by images.
    pictures: the targets' images after the last step; None without one.
    warnings: a line for each thing that was asked for and never happened, see
      :func:`fedrecjax.simulation.run_warnings.warnings_of`; before them what is likely not meant about the data,
      public interactions that nobody trains on, and checkpoints that were damaged or could not be written.
    user_names: what the data call their users, by number; None if by their numbers.
    item_names: the same for items.
    told: one array over rounds by name, what the attack tells of each (:class:`fedrecjax.types.Attack`), NaN where it
      took no part; None of an attack that tells nothing. `metrics` has the means over the rounds since the point
      before, under "attack_" and the name.
    after_uploads: with `eval.after_uploads` one array over uploads of images per column: "epoch" from 0 and "round",
      which the upload came before, and the metrics right after it; None without.
  """

  metrics: dict[str, np.ndarray]
  per_user: dict[str, np.ndarray]
  users: np.ndarray
  targets: np.ndarray
  state: SimulationState
  compile_s: float
  detection: dict[str, np.ndarray]
  stealth: dict[str, np.ndarray]
  images: dict[str, np.ndarray]
  pictures: ImageState | None = None
  warnings: tuple[str, ...] = ()
  user_names: np.ndarray | None = None
  item_names: np.ndarray | None = None
  told: dict[str, np.ndarray] | None = None
  after_uploads: dict[str, np.ndarray] | None = None


class DivergedError(RuntimeError):
  """A run made a number that is not finite; the message says when, and which stage made it under which attack.

  Attributes:
    result: of the evaluation points before that, maybe none; its state is the last one, which has diverged. None where
      the error was not raised by a run.
    epoch: in which the number was made, from 1.
    round: likewise.
  """

  def __init__(self, message: str, result: Result | None = None, *, epoch: int = 0, round: int = 0):
    super().__init__(message)
    self.result, self.epoch, self.round = result, epoch, round


class AttackError(RuntimeError):
  """An attack did what no attacker can do; the message says what."""


class DefenseError(RuntimeError):
  """A defence updated what does not exist; the message says what."""
