"""Progress of a sweep: a live display on a terminal, plain lines in a log."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.progress import (
  BarColumn,
  Progress,
  TextColumn,
  TimeElapsedColumn,
  TimeRemainingColumn,
)

from experiments.command_line import print_line

_SECONDS_BETWEEN_EPOCH_LINES = 30.0


class SweepProgress(Protocol):
  """What the loop over cells reports to; a context manager."""

  def __enter__(self) -> Self:
    """Starts the display."""

  def __exit__(
    self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
  ) -> None:
    """Ends the display."""

  def start(self, name: str, epochs: int) -> None:
    """A cell of that name begins, maybe while others run."""

  def advance(self, name: str, epochs_done: int) -> None:
    """A cell has done so many epochs."""

  def note(self, name: str, message: str) -> None:
    """Something is to be known about a cell before it ends."""

  def finish(self, name: str, message: str) -> None:
    """A cell has ended, well or not; `message` says how."""

  def lose(self, name: str) -> None:
    """A cell that had begun has to begin anew."""


def make_progress(console: Console, *, cells: int, epochs: int) -> SweepProgress:
  """The display that suits the console.

  Args:
    console: where to write.
    cells: number of cells to run.
    epochs: of all of them together.
  """
  return (LiveProgress if console.is_terminal else PlainProgress)(console, cells=cells, epochs=epochs)


class _Epochs:
  """Epochs of cells that have ended, and of those that run."""

  def __init__(self) -> None:
    self.ended_cells, self._ended = 0, 0
    self.running: dict[str, tuple[int, int]] = {}

  def start(self, name: str, epochs: int) -> None:
    self.running[name] = (0, epochs)

  def advance(self, name: str, done: int) -> None:
    self.running[name] = (done, self.running[name][1])

  def finish(self, name: str) -> None:
    self.ended_cells += 1
    self._ended += self.running.pop(name)[1]

  @property
  def done(self) -> int:
    return self._ended + sum(done for done, _ in self.running.values())


class PlainProgress:
  """A line per cell, and one every half minute within a cell."""

  def __init__(self, console: Console, *, cells: int, epochs: int):
    self._console = console
    self._cells, self._all_epochs, self._epochs = cells, epochs, _Epochs()
    self._started = self._last_line = time.monotonic()

  def __enter__(self) -> Self:
    return self

  def __exit__(
    self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
  ) -> None:
    pass

  def start(self, name: str, epochs: int) -> None:
    """See :class:`SweepProgress`."""
    self._epochs.start(name, epochs)

  def advance(self, name: str, epochs_done: int) -> None:
    """See :class:`SweepProgress`."""
    self._epochs.advance(name, epochs_done)
    of_cell = self._epochs.running[name][1]
    if time.monotonic() - self._last_line > _SECONDS_BETWEEN_EPOCH_LINES and epochs_done < of_cell:
      self._line(self._epochs.ended_cells + 1, f"{name}: epoch {epochs_done} of {of_cell}")

  def note(self, name: str, message: str) -> None:
    """See :class:`SweepProgress`."""
    print_line(self._console, f"[{self._epochs.ended_cells + 1}/{self._cells}] {name}: {message}")

  def finish(self, name: str, message: str) -> None:
    """See :class:`SweepProgress`."""
    self._epochs.finish(name)
    self._line(self._epochs.ended_cells, f"{name}: {message}")

  def lose(self, name: str) -> None:
    """See :class:`SweepProgress`."""
    del self._epochs.running[name]

  def _line(self, number: int, message: str) -> None:
    self._last_line = time.monotonic()
    spent, done = self._last_line - self._started, self._epochs.done
    end = f", about {duration(spent * (self._all_epochs - done) / done)} left" if done < self._all_epochs else ""
    print_line(self._console, f"[{number}/{self._cells}] {message}{end}")


class LiveProgress:
  """A bar of all cells, with the time left, and the epochs of those that run."""

  def __init__(self, console: Console, *, cells: int, epochs: int):
    self._display = Progress(
      TextColumn("cells"),
      BarColumn(),
      TextColumn("{task.fields[done]}/{task.fields[cells]}"),
      TimeElapsedColumn(),
      TextColumn("left"),
      TimeRemainingColumn(),
      TextColumn("{task.fields[names]}", markup=False),
      console=console,
      speed_estimate_period=600.0,
    )
    self._all = self._display.add_task("cells", total=epochs, done=0, cells=cells, names="")
    self._epochs = _Epochs()

  def __enter__(self) -> Self:
    self._display.start()
    return self

  def __exit__(
    self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
  ) -> None:
    self._display.stop()

  def start(self, name: str, epochs: int) -> None:
    """See :class:`SweepProgress`."""
    self._epochs.start(name, epochs)
    self._show()

  def advance(self, name: str, epochs_done: int) -> None:
    """See :class:`SweepProgress`."""
    self._epochs.advance(name, epochs_done)
    self._show()

  def note(self, name: str, message: str) -> None:
    """See :class:`SweepProgress`."""
    print_line(self._display.console, f"{name}: {message}")

  def finish(self, name: str, message: str) -> None:
    """See :class:`SweepProgress`."""
    self._epochs.finish(name)
    self._show()
    print_line(self._display.console, f"{name}: {message}")

  def lose(self, name: str) -> None:
    """See :class:`SweepProgress`."""
    del self._epochs.running[name]
    self._show()

  def _show(self) -> None:
    running = self._epochs.running.items()
    self._display.update(
      self._all,
      completed=self._epochs.done,
      done=self._epochs.ended_cells,
      names="; ".join(f"{name}: epoch {done}/{epochs}" for name, (done, epochs) in running),
    )


def duration(seconds: float) -> str:
  """A time span for people.

  >>> duration(42.4), duration(100), duration(9000)
  ('42 s', '2 min', '2.5 h')
  """
  if seconds < 90:
    return f"{seconds:.0f} s"
  return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
