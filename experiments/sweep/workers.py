"""Runs cells in several processes of this machine that share its cores, and survives each of them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any

from experiments.grid import Cell
from experiments.sweep.cell_checkpoints import remove_checkpoints
from experiments.sweep.claims import Written
from experiments.sweep.cost import Expected
from experiments.sweep.messages import Advanced, Ended, Noted, Ready, Setup, Task
from experiments.sweep.progress import SweepProgress
from experiments.sweep.run import PAUSE_S, failed, waiting_for
from experiments.sweep.schedule import Schedule
from experiments.sweep.worker import SIGNALS

ATTEMPTS = 2
MODULE = "experiments.sweep.worker"
_GRACE_S = 5.0
# For a worker that writes a checkpoint once the present piece of its training is done.
_SAVING_S = 30.0
_MOST_FAILED_STARTS = 3


class WorkerError(RuntimeError):
  """A process that ran a cell has ended before the cell did."""


class _Worker:
  """A process, and the cell that it runs."""

  def __init__(self, setup: Setup):
    self.connection, others = multiprocessing.Pipe()
    command = [sys.executable, *(f"-W{option}" for option in sys.warnoptions), "-m", MODULE]
    path = os.pathsep.join(folder or os.getcwd() for folder in sys.path)
    # Signals of a terminal go to all of its processes; a worker holds them back until it knows what to do with them.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
      self.process = subprocess.Popen(
        [*command, str(others.fileno())], pass_fds=(others.fileno(),), env=os.environ | {"PYTHONPATH": path},
      )
    finally:
      others.close()
      signal.pthread_sigmask(signal.SIG_SETMASK, before)
    self.ready, self.since = False, 0.0
    self.cell: Cell | None = None
    _send(self.connection, setup)

  def run(self, cell: Cell, task: Task) -> None:
    """Has a cell run."""
    self.cell, self.since = cell, time.monotonic()
    # A process that has just ended is found out when it is listened to.
    _send(self.connection, task)

  def how_it_ended(self) -> str:
    """In words, once the connection is closed."""
    try:
      status = self.process.wait(_GRACE_S)
    except subprocess.TimeoutExpired:
      self.process.kill()
      status = self.process.wait()
    return f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with exit status {status}"


def run_in_workers(
  cells: Sequence[Cell],
  *,
  jobs: int,
  most: int,
  setup: Setup,
  before: Mapping[str, Written],
  expected: Expected,
  name: Callable[[Cell], str],
  progress: SweepProgress,
  say: Callable[[str], None],
) -> dict[str, str]:
  """Runs cells in processes of their own; see :func:`experiments.sweep.run.run_cells`.

  A cell whose process ends is tried once more in a new one, and has failed if that ends too.

  Args:
    cells: to run.
    jobs: number of processes to begin with.
    most: number of processes that there may be, once cells turn out to take longer than was expected.
    setup: what they have in common.
    before: when the files of the cells were written at the start.
    expected: what a cell takes, about.
    name: names a cell.
    progress: is told how far things are.
    say: is told, in a line, what is waited for.

  Returns:
    Why cells failed, a line each, by hash.

  Raises:
    OSError: if processes cannot be started.
  """
  pool = _Pool(cells, jobs, most, setup, before, expected, name, progress, say)
  try:
    pool.run()
  finally:
    pool.stop()
  return pool.failures


class _Pool:
  """The processes of a sweep; see :func:`run_in_workers`."""

  def __init__(
    self, cells: Sequence[Cell], jobs: int, most: int, setup: Setup, before: Mapping[str, Written],
    expected: Expected, name: Callable[[Cell], str], progress: SweepProgress, say: Callable[[str], None],
  ):
    self._setup, self._before, self._name, self._progress, self._say = setup, before, name, progress, say
    self._schedule, self._expected = Schedule(cells, expected), expected
    self._jobs, self._most, self._left, self._failed_starts = jobs, most, len(cells), 0
    self._workers: list[_Worker] = []
    self._lost: dict[str, int] = {}
    self._claimed_elsewhere: list[Cell] = []
    self._said = False
    self.failures: dict[str, str] = {}

  def run(self) -> None:
    """Runs all cells."""
    while self._left:
      while len(self._workers) < min(self._jobs, self._left):
        self._workers.append(_Worker(self._setup))
      self._hand_out()
      heard = wait([worker.connection for worker in self._workers], PAUSE_S if self._claimed_elsewhere else None)
      for worker in [one for one in self._workers if one.connection in heard]:
        self._hear(worker)
      if not heard and self._claimed_elsewhere:
        self._look_again()

  def stop(self) -> None:
    """Ends all processes: at once those that run nothing, others when they have cleared up, or after some seconds."""
    for worker in self._workers:
      if worker.cell is not None:
        worker.process.terminate()
      elif worker.ready:
        worker.connection.close()
      else:
        worker.process.kill()
    limit = time.monotonic() + (_GRACE_S if self._setup.checkpoint_every == 0 else _SAVING_S)
    for worker in self._workers:
      try:
        worker.process.wait(max(0.0, limit - time.monotonic()))
      except subprocess.TimeoutExpired:
        worker.process.kill()
        worker.process.wait()
      worker.connection.close()

  def _hand_out(self) -> None:
    for worker in self._workers:
      if worker.ready and worker.cell is None:
        cell = self._schedule.take(worker.process.pid)
        if cell is None:
          continue
        self._progress.start(self._name(cell), cell.config.train.epochs)
        following = self._schedule.following(worker.process.pid)
        worker.run(cell, self._task(cell, None if following is None else self._task(following)))

  def _task(self, cell: Cell, following: Task | None = None) -> Task:
    name, before = self._name(cell), self._before[cell.hash]
    return Task(cell.flat, cell.hash, cell.data_digest, cell.plugins, name, before, following)

  def _hear(self, worker: _Worker) -> None:
    try:
      message: Any = worker.connection.recv()
    except (EOFError, OSError):
      self._replace(worker)
      return
    if isinstance(message, Ready):
      worker.ready, self._failed_starts = True, 0
    elif isinstance(message, Advanced) and worker.cell is not None:
      self._progress.advance(self._name(worker.cell), message.epochs)
    elif isinstance(message, Noted) and worker.cell is not None:
      self._progress.note(self._name(worker.cell), message.message)
    elif isinstance(message, Ended) and worker.cell is not None:
      cell, worker.cell = worker.cell, None
      if message.end is None:
        self._progress.lose(self._name(cell))
        self._claimed_elsewhere.append(cell)
      else:
        self._expected.took(cell, time.monotonic() - worker.since)
        self._jobs = max(self._jobs, min(self._most, self._expected.processes(self._schedule.waiting)))
        self._end(cell, message.end.message, message.end.reason)

  def _end(self, cell: Cell, message: str, reason: str | None) -> None:
    self._left -= 1
    self._progress.finish(self._name(cell), message)
    if reason is not None:
      self.failures[cell.hash] = reason

  def _replace(self, worker: _Worker) -> None:
    """A process has ended by itself: its cell is tried again, or given up."""
    how, cell = worker.how_it_ended(), worker.cell
    worker.connection.close()
    self._workers.remove(worker)
    self._schedule.leave(worker.process.pid)
    if not worker.ready:
      self._failed_starts += 1
      if self._failed_starts == _MOST_FAILED_STARTS:
        raise OSError(f"--jobs={self._jobs}: a process that should run cells {how} before it was ready")
    if cell is None:
      return
    self._lost[cell.hash] = self._lost.get(cell.hash, 0) + 1
    if self._lost[cell.hash] < ATTEMPTS:
      self._progress.lose(self._name(cell))
      self._say(f"{self._name(cell)}: the process that ran it {how}; it is tried once more")
      self._schedule.give_back(cell)
    else:
      error = WorkerError(f"the process that ran it {how}, {ATTEMPTS} times; the system does so where memory runs out,"
                          " of which --jobs=1 takes less")
      remove_checkpoints(self._setup.out_dir, cell)
      end = failed(self._setup.out_dir, cell, self._name(cell), error)
      self._end(cell, end.message, end.reason)

  def _look_again(self) -> None:
    """Cells that other processes computed a moment ago may be done, or free again."""
    if len(self._claimed_elsewhere) == self._left and not self._said:
      self._say(waiting_for(self._left))
      self._said = True
    for cell in self._claimed_elsewhere:
      self._schedule.give_back(cell)
    self._claimed_elsewhere = []


def _send(connection: Connection, message: Any) -> None:
  try:
    connection.send(message)
  except OSError:
    return
