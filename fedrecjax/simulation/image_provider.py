"""The provider of the targets' images over a whole run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fedrecjax.simulation.image_step import ImageState, image_columns, upload_images
from fedrecjax.simulation.planning import Run
from fedrecjax.simulation.programs import compiled_program
from fedrecjax.types import SimulationState


class Provider:
  """Uploads before the first round of each epoch of the attack; without an attack by images it does nothing.

  Attributes:
    pictures: the targets' images after the last upload; None without an attack by images.
    compile_s: seconds spent compiling the step.
  """

  def __init__(self, run: Run):
    self.pictures = None if run.images is None else run.images.state
    self.compile_s = 0.0
    self._run = run
    self._reports: list[jax.Array | np.ndarray] = []
    self._epochs: list[int] = []
    if run.images is not None:
      # Compiled before anything runs: training would go on unseen meanwhile.
      self._step, self.compile_s = compiled_program(upload_images, *self._arguments(run.state, 0))

  def _arguments(self, state: SimulationState, epoch: int) -> tuple[Any, ...]:
    images = self._run.images
    assert images is not None
    return images.structure, images.constants, self._run.constants.parts, state, self.pictures, np.int32(epoch)

  def uploads_before(self, number: int) -> bool:
    """Whether there is a step before a round."""
    images = self._run.images
    return images is not None and images.start <= number // self._run.rounds.per_epoch < images.stop

  def upload(self, state: SimulationState, number: int) -> SimulationState:
    """The state after the step before a round; there must be one."""
    epoch = number // self._run.rounds.per_epoch
    state, self.pictures, report = self._step(*self._arguments(state, epoch)[1:])
    self._reports.append(report)
    self._epochs.append(epoch)
    return state

  def columns(self) -> dict[str, np.ndarray]:
    """What the uploads report, see :func:`fedrecjax.simulation.image_step.image_columns`; empty without one."""
    if not self._reports:
      return {}
    return image_columns(
      [np.asarray(one) for one in self._reports], self._epochs, self._run.population.targets
    )

  def saved(self) -> dict[str, np.ndarray]:
    """The images and what the uploads so far report, by name, for :meth:`restore`; empty without images."""
    if self.pictures is None:
      return {}
    kept = {name: np.asarray(images) for name, images in self.pictures._asdict().items()}
    reports = np.array([np.asarray(one) for one in self._reports])
    return kept | {"reports": reports, "epochs": np.array(self._epochs, int)}

  def restore(self, kept: Mapping[str, np.ndarray]) -> None:
    """Takes over what :meth:`saved` has made, in place of the images before training."""
    if self.pictures is not None:
      self.pictures = ImageState(*(jnp.array(kept[name]) for name in ImageState._fields))
      self._reports, self._epochs = list(kept["reports"]), kept["epochs"].tolist()
