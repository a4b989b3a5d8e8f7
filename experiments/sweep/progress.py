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
    """A cell begins."""

  def advance(self, epochs_done: int) -> None:
    """The cell has done so many epochs."""

  def note(self, message: str) -> None:
    """Something is to be known about the cell before it ends."""

  def finish(self, message: str) -> None:
    """The cell has ended, well or not; `message` says how."""


def make_progress(console: Console, *, cells: int, epochs: int) -> SweepProgress:
  """The display that suits the console.

  Args:
    console: where to write.
    cells: number of cells to run.
    epochs: of all of them together.
  """
  return (LiveProgress if console.is_terminal else PlainProgress)(console, cells=cells, epochs=epochs)


class PlainProgress:
  """A line per cell, and one every half minute within a cell."""

  def __init__(self, console: Console, *, cells: int, epochs: int):
    self._console = console
    self._cells, self._cell = cells, 0
    self._epochs, self._epochs_before, self._epochs_of_cell = epochs, 0, 0
    self._name = ""
    self._started = self._last_line = time.monotonic()

  def __enter__(self) -> Self:
    return self

  def __exit__(
    self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
  ) -> None:
    pass

  def start(self, name: str, epochs: int) -> None:
    """See :class:`SweepProgress`."""
    self._cell += 1
    self._name, self._epochs_of_cell = name, epochs

  def advance(self, epochs_done: int) -> None:
    """See :class:`SweepProgress`."""
    if time.monotonic() - self._last_line > _SECONDS_BETWEEN_EPOCH_LINES and epochs_done < self._epochs_of_cell:
      self._line(
        f"{self._name}: epoch {epochs_done} of {self._epochs_of_cell}",
        self._epochs_before + epochs_done,
      )

  def note(self, message: str) -> None:
    """See :class:`SweepProgress`."""
    print_line(self._console, f"[{self._cell}/{self._cells}] {self._name}: {message}")

  def finish(self, message: str) -> None:
    """See :class:`SweepProgress`."""
    self._epochs_before += self._epochs_of_cell
    self._line(f"{self._name}: {message}", self._epochs_before)

  def _line(self, message: str, epochs_done: int) -> None:
    self._last_line = time.monotonic()
    spent = self._last_line - self._started
    left = spent * (self._epochs - epochs_done) / epochs_done
    end = f", about {duration(left)} left" if epochs_done < self._epochs else ""
    print_line(self._console, f"[{self._cell}/{self._cells}] {message}{end}")


class LiveProgress:
  """Two bars: all cells, with the time left, and the epochs of the present cell."""

  def __init__(self, console: Console, *, cells: int, epochs: int):
    self._display = Progress(
      TextColumn("cells"),
      BarColumn(),
      TextColumn("{task.fields[done]}/{task.fields[cells]}"),
      TimeElapsedColumn(),
      TextColumn("left"),
      TimeRemainingColumn(),
      TextColumn("{task.fields[name]}", markup=False),
      console=console,
      speed_estimate_period=600.0,
    )
    self._all = self._display.add_task("cells", total=epochs, done=0, cells=cells, name="")
    self._done, self._epochs_before, self._epochs_of_cell = 0, 0, 0
    self._name = ""

  def __enter__(self) -> Self:
    self._display.start()
    return self

  def __exit__(
    self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
  ) -> None:
    self._display.stop()

  def start(self, name: str, epochs: int) -> None:
    """See :class:`SweepProgress`."""
    self._name, self._epochs_of_cell = name, epochs
    self.advance(0)

  def advance(self, epochs_done: int) -> None:
    """See :class:`SweepProgress`."""
    self._display.update(
      self._all,
      completed=self._epochs_before + epochs_done,
      name=f"{self._name}: epoch {epochs_done}/{self._epochs_of_cell}",
    )

  def note(self, message: str) -> None:
    """See :class:`SweepProgress`."""
    print_line(self._display.console, f"{self._name}: {message}")

  def finish(self, message: str) -> None:
    """See :class:`SweepProgress`."""
    self._done += 1
    self._epochs_before += self._epochs_of_cell
    self._display.update(self._all, completed=self._epochs_before, done=self._done, name="")
    print_line(self._display.console, f"{self._name}: {message}")


def duration(seconds: float) -> str:
  """A time span for people.

  >>> duration(42.4), duration(100), duration(9000)
  ('42 s', '2 min', '2.5 h')
  """
  if seconds < 90:
    return f"{seconds:.0f} s"
  return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
