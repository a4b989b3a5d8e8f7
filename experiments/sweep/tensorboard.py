"""What evaluation points tell while cells run, in the files that TensorBoard reads."""

from __future__ import annotations

import contextlib
import math
import os
import pathlib
import time
from collections.abc import Callable, Iterator, Mapping

from experiments.atomic_files import check_writable
from experiments.errors import UsageError
from experiments.grid import AXES, Cell, shown

FLAG = "tensorboard"
FOLDER = "tensorboard"
Listener = Callable[[Mapping[str, float]], None]
_STEPS = ("epoch", "round")


def check_tensorboard(folder: pathlib.Path) -> None:
  """Checks, before anything is computed, that points can be written.

  Raises:
    UsageError: naming --tensorboard, if they cannot.
  """
  try:
    import tensorboardX  # noqa: F401
  except ImportError as error:
    raise UsageError(f"--{FLAG} needs tensorboardX: pip install fedrecjax[tensorboard]") from error
  try:
    folder.mkdir(parents=True, exist_ok=True)
    check_writable(folder)
  except OSError as error:
    raise UsageError(f"--{FLAG}: cannot write into {folder}: {error.strerror}") from error


def folder_of(folder: pathlib.Path, cell: Cell) -> pathlib.Path:
  """Where a cell's points go: named for people, with the hash, and the same in every sweep."""
  names = [shown(cell.flat[name]) for name in AXES if name not in ("dataset", "seed")]
  name = "_".join([pathlib.Path(cell.config.dataset).name, *names, f"seed{cell.config.seed}", cell.hash])
  return folder / name


def tag_of(metric: str) -> str:
  """A metric's name as TensorBoard has it: those of one kind stand together.

  >>> tag_of("hr@10"), tag_of("train_loss")
  ('hr/10', 'train_loss')
  """
  return metric.replace("@", "/")


@contextlib.contextmanager
def points_logged(folder: pathlib.Path | None, cell: Cell, note: Callable[[str], None]) -> Iterator[Listener | None]:
  """What is to be told a cell's evaluation points; None where nobody watches.

  Where they cannot be written, as on a full disk, that is a line, and the cell goes on without.

  Args:
    folder: of all cells.
    cell: that runs.
    note: is told such a line.
  """
  if folder is None:
    yield None
    return
  log = _Log(folder_of(folder, cell), note)
  try:
    yield log.add
  finally:
    log.close()


class _Log:
  """Events of a cell, written as they come: SummaryWriter's queue would stand still for good once a disk is full."""

  def __init__(self, folder: pathlib.Path, note: Callable[[str], None]):
    from tensorboardX.event_file_writer import EventsWriter

    self._folder, self._note = folder, note
    self._open: Callable[..., EventsWriter] = EventsWriter
    self._writer: EventsWriter | None = None
    self._broken = False

  def add(self, metrics: Mapping[str, float]) -> None:
    """Writes a point."""
    if self._broken:
      return
    try:
      self._write(metrics)
    except OSError as error:
      self._broken = True
      self._note(f"--{FLAG}: its points are no longer written into {self._folder}: {error.strerror or error}")

  def _write(self, metrics: Mapping[str, float]) -> None:
    from tensorboardX.proto.event_pb2 import Event, SessionLog
    from tensorboardX.summary import scalar

    epoch, now = int(metrics["epoch"]), time.time()
    if self._writer is None:
      self._folder.mkdir(parents=True, exist_ok=True)
      self._writer = self._open(str(self._folder / "events"), filename_suffix=f".{os.getpid()}")
      # Of a run that was stopped and goes on from a checkpoint, later points were written before.
      started = SessionLog(status=SessionLog.START)
      self._writer.write_event(Event(wall_time=now, step=epoch, session_log=started))
    for name, value in metrics.items():
      if name not in _STEPS and not math.isnan(value):
        self._writer.write_event(Event(wall_time=now, step=epoch, summary=scalar(tag_of(name), value)))
    self._writer.flush()

  def close(self) -> None:
    """Closes the file."""
    if self._writer is not None:
      with contextlib.suppress(OSError):
        self._writer.close()
