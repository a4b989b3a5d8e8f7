"""Checkpoints of a run: what it needs to go on with the same bits, and when that is written.

Everything that is drawn depends on the number of the round alone, so that a run goes on from the state between two
rounds, with what it has told so far. Where rounds are cut into pieces changes no bits.
"""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from fedrecjax.simulation.checkpoint_files import checkpoints_in, find_checkpoint, write_checkpoint
from fedrecjax.simulation.evaluation_points import AfterUploads
from fedrecjax.simulation.image_provider import Provider
from fedrecjax.simulation.measurements import Measurements
from fedrecjax.simulation.records import Reports, joined
from fedrecjax.types import SimulationState

SECONDS_BETWEEN = 600.0
# Less training than that is done again as fast as a checkpoint is written and read, orbax being loaded for both.
SECONDS_WORTH = 30.0


class Checkpoints(NamedTuple):
  """Where and when a run writes checkpoints.

  Attributes:
    folder: of this run alone.
    every: epochs between two of them; None writes one at the first evaluation point after ten minutes of training.
    stop: asked after each piece of training whether to write one and stop.
    last: whether one is written at the end of the run.
    say: is told, in a line, from where a run goes on, what is damaged and what could not be written.
  """

  folder: pathlib.Path
  every: int | None = None
  stop: Callable[[], bool] = lambda: False
  last: bool = True
  say: Callable[[str], None] = lambda line: None


class StoppedError(RuntimeError):
  """A run was asked to stop before its end; called again with the same checkpoints it goes on."""


@dataclasses.dataclass
class SoFar:
  """A run as far as it has come.

  Attributes:
    state: after the last round so far.
    told: the evaluation points so far.
    provider: of images, with what was uploaded so far.
    after: metrics right after uploads of images so far.
    rounds: that are done.
    parts: reports of the rounds since the last evaluation point.
    trained_s: seconds of training.
    compile_s: seconds of compilation.
    lines: what was said about checkpoints.
  """

  state: SimulationState
  told: Measurements
  provider: Provider
  after: AfterUploads
  rounds: int = 0
  parts: list[Reports] = dataclasses.field(default_factory=list)
  trained_s: float = 0.0
  compile_s: float = 0.0
  lines: tuple[str, ...] = ()

  @contextlib.contextmanager
  def training(self) -> Iterator[None]:
    """Counts the seconds of a block as training, without those that it adds to compilation."""
    compiled, started = self.compile_s, time.perf_counter()
    yield
    self.trained_s += time.perf_counter() - started - (self.compile_s - compiled)

  def saved(self) -> dict[str, np.ndarray]:
    """Everything, once its points are fetched, as arrays by name."""
    kept = {"rounds": np.array(self.rounds), "seconds": np.array([self.trained_s, self.compile_s])}
    kept |= {f"state.{place}": _plain(leaf) for place, leaf in enumerate(jax.tree.leaves(self.state))}
    parts = joined(self.parts)._asdict() if self.parts else {}
    told = parts.pop("told", None) or {}
    parts = {name: part for name, part in parts.items() if part is not None}
    owned = {
      "told": self.told.saved(), "images": self.provider.saved(), "after": self.after.saved(), "parts": parts,
      "parts_told": told,
    }
    for owner, own in owned.items():
      kept |= {f"{owner}.{name}": np.asarray(array) for name, array in own.items()}
    return kept

  def restore(self, kept: Mapping[str, np.ndarray]) -> None:
    """Takes over what :meth:`saved` has made, in place of a run's beginning."""
    leaves, structure = jax.tree.flatten(self.state)
    found = [_like(leaf, kept[f"state.{place}"]) for place, leaf in enumerate(leaves)]
    self.state = jax.tree.unflatten(structure, found)
    self.told.restore(_owned(kept, "told"))
    self.provider.restore(_owned(kept, "images"))
    self.after.restore(_owned(kept, "after"))
    parts = _owned(kept, "parts") | {"told": _owned(kept, "parts_told") or None}
    fields: dict[str, Any] = {name: parts.get(name) for name in Reports._fields}
    self.parts = [] if fields["loss"] is None else [Reports(**fields)]
    self.rounds = int(kept["rounds"])
    self.trained_s += float(kept["seconds"][0])
    self.compile_s += float(kept["seconds"][1])


def _owned(kept: Mapping[str, np.ndarray], owner: str) -> dict[str, Any]:
  return {name.removeprefix(f"{owner}."): array for name, array in kept.items() if name.startswith(f"{owner}.")}


def _is_key(leaf: Any) -> bool:
  return isinstance(leaf, jax.Array) and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _plain(leaf: Any) -> np.ndarray:
  """A leaf of a state on the host; a key as its numbers."""
  return np.asarray(jax.random.key_data(leaf) if _is_key(leaf) else leaf)


def _like(leaf: Any, array: np.ndarray) -> jax.Array:
  """An array from a checkpoint on the device, as a leaf of the state before the first round is."""
  if _is_key(leaf):
    return jax.random.wrap_key_data(jnp.array(array), impl=jax.random.key_impl(leaf))
  return jnp.array(array)


class Keeper:
  """Writes the checkpoints of a run, and finds the one that it goes on from.

  Args:
    checkpoints: where and when.
    identity: makes what tells the run apart, see :mod:`fedrecjax.simulation.identity`; called when it is needed.
  """

  def __init__(self, checkpoints: Checkpoints, identity: Callable[[], dict[str, Any]]):
    self._checkpoints, self._identity = checkpoints, identity
    self._saved_rounds, self._saved_s = 0, 0.0

  @property
  def every(self) -> int | None:
    """Epochs between two checkpoints; None if time decides."""
    return self._checkpoints.every

  def resume(self, so_far: SoFar, per_epoch: int) -> None:
    """Takes a run, of so many rounds in an epoch, to where its newest checkpoint is, if it has one.

    Raises:
      OtherRunError: if the folder has a checkpoint of another run.
    """
    if not checkpoints_in(self._checkpoints.folder):
      return
    found = find_checkpoint(self._checkpoints.folder, self._identity())
    so_far.lines = found.lines
    if found.damage is not None:
      self._said(so_far, found.damage)
    if found.arrays is not None:
      so_far.restore(found.arrays)
      self._checkpoints.say(f"going on after epoch {so_far.rounds // per_epoch}")
    self._saved_rounds, self._saved_s = so_far.rounds, so_far.trained_s

  def stopping(self) -> bool:
    """Whether the run is asked to stop."""
    return self._checkpoints.stop()

  def due(self, so_far: SoFar, per_epoch: int, *, stopping: bool, ended: bool) -> bool:
    """Whether a checkpoint is to be written after the rounds so far.

    Args:
      so_far: the run.
      per_epoch: rounds in an epoch.
      stopping: whether it is asked to stop.
      ended: whether these were its last rounds.
    """
    every, unsaved_s = self._checkpoints.every, so_far.trained_s - self._saved_s
    if so_far.rounds == self._saved_rounds:
      return False
    if ended:
      return self._checkpoints.last
    if every is None:
      return unsaved_s >= (SECONDS_WORTH if stopping else SECONDS_BETWEEN)
    return stopping or so_far.rounds % (every * per_epoch) == 0

  def save(self, so_far: SoFar, per_epoch: int) -> None:
    """Writes a checkpoint; that it could not be written is a line of the run, which goes on."""
    epochs, arrays, identity = so_far.rounds // per_epoch, so_far.saved(), self._identity()
    self._saved_rounds, self._saved_s = so_far.rounds, so_far.trained_s
    try:
      write_checkpoint(self._checkpoints.folder, epochs, arrays, identity=identity, lines=so_far.lines)
    except (OSError, ValueError) as error:
      reason = (str(error).splitlines() or ["no message"])[0]
      self._said(so_far, f"the checkpoint after epoch {epochs} was not written: {reason}")

  def _said(self, so_far: SoFar, line: str) -> None:
    so_far.lines = (*so_far.lines, line)
    self._checkpoints.say(line)
