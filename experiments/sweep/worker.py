"""A process that runs cells for a sweep: takes them from a connection, one at a time, and tells how they go.

Started by :mod:`experiments.sweep.workers`. It ends when its connection does, whatever it is doing: nobody is left
behind where the sweep itself was killed.
"""

from __future__ import annotations

import os
import queue
import signal
import sys
import threading
from multiprocessing.connection import Connection
from typing import Any

from experiments.grid import Cell
from experiments.memory import keep_freed_memory
from experiments.plugins import load_plugins_again
from experiments.results.paths import NETWORKS
from experiments.sweep.ahead import Ahead
from experiments.sweep.compilation_cache import keep_programs_in
from experiments.sweep.data_block import DataKey
from experiments.sweep.materials import Materials, load_datasets
from experiments.sweep.messages import Advanced, Ended, Noted, Ready, Setup, Task
from experiments.sweep.run import CellEnd, failed, run_unclaimed
from experiments.sweep.stopping import Stop, Terminated, stopped_by_signals
from experiments.sweep.visuals import VisualsKey, load_visuals, visuals_key
from fedrecjax.analysis import Summary, summarize
from fedrecjax.datasets import Dataset
from fedrecjax.plugins import PluginError, plugins_of
from fedrecjax.simulation.checkpoints import StoppedError
from fedrecjax.vision.visuals import Visuals

SIGNALS = (signal.SIGINT, signal.SIGHUP, signal.SIGTERM)
"""Held back while a worker starts, and then: left to the sweep, left to the sweep, heeded."""


class _Loaded:
  """Data sets and images, each loaded when the first cell needs it, that is run or compiled for."""

  def __init__(self, setup: Setup):
    self._setup = setup
    self._datasets: dict[DataKey, Dataset] = {}
    self._summaries: dict[DataKey, Summary] = {}
    self._visuals: dict[VisualsKey, Visuals] = {}
    self._one_at_a_time = threading.Lock()

  def of(self, cell: Cell) -> Materials:
    """What a cell is run on."""
    with self._one_at_a_time:
      return self._of(cell)

  def _of(self, cell: Cell) -> Materials:
    key, of_images = (cell.config.dataset, cell.config.data), visuals_key(cell)
    if key not in self._datasets:
      self._datasets |= load_datasets([cell], self._setup.data_dir)
      self._summaries[key] = summarize(self._datasets[key])
    seen = self._visuals.get(of_images)
    purifies = any("denoiser" in part.build().requires for part in cell.config.defense)
    if seen is None or (purifies and seen.denoiser is None):
      networks = self._setup.out_dir / NETWORKS
      self._visuals |= load_visuals([cell], self._datasets, self._setup.data_dir, networks=networks)
    return Materials(self._datasets[key], self._summaries[key], self._visuals.get(of_images))


def work(connection: Connection, stop: Stop) -> None:
  """Runs the cells that come in, after one :class:`Setup`, until it is asked to stop."""
  setup: Setup = connection.recv()
  load_plugins_again(setup.plugins)
  tasks: queue.SimpleQueue[Task] = queue.SimpleQueue()
  threading.Thread(target=_receive, args=(connection, tasks), daemon=True).start()
  keep_freed_memory()
  keep_programs_in(setup.programs)
  loaded = _Loaded(setup)
  # Nothing waits for what is being compiled where the process ends.
  ahead = Ahead(loaded.of, setup.checkpoint_every)
  _tell(connection, Ready())
  while True:
    task = tasks.get()
    ahead.run(task.cell, () if task.following is None else (task.following.cell,))
    with stop.saving():
      try:
        end = _changed(task, setup) or run_unclaimed(
          task.cell, loaded.of, out_dir=setup.out_dir, before=task.before, name=task.name, version=setup.version,
          progress=lambda epochs: _tell(connection, Advanced(epochs)), asked=stop.asked,
          note=lambda message: _tell(connection, Noted(message)), checkpoint_every=setup.checkpoint_every,
          tensorboard=setup.tensorboard,
        )
      except StoppedError as stopped:
        _tell(connection, Noted(str(stopped)))
        continue
      _tell(connection, Ended(end))


def _changed(task: Task, setup: Setup) -> CellEnd | None:
  """The end of a cell whose plugins are not those of the sweep, as modules may be that somebody writes meanwhile."""
  if plugins_of(task.cell.config) == task.plugins:
    return None
  error = PluginError(f"{task.plugins} has changed since the sweep began; start it again")
  return failed(setup.out_dir, task.cell, task.name, error)


def _tell(connection: Connection, message: Any) -> None:
  try:
    connection.send(message)
  except OSError:
    # Not an error of the cell: there is nobody left who would hear of it.
    os._exit(0)


def _receive(connection: Connection, tasks: queue.SimpleQueue[Task]) -> None:
  """Puts what comes in where the main thread takes it, and ends the process with its sweep."""
  while True:
    try:
      tasks.put(connection.recv())
    except (EOFError, OSError):
      os._exit(0)


def main(argv: list[str]) -> None:
  """Entry of the process; its argument is the number of the open file of the connection."""
  signal.signal(signal.SIGINT, signal.SIG_IGN)
  signal.signal(signal.SIGHUP, signal.SIG_IGN)
  number = int(argv[1])
  os.set_inheritable(number, False)
  try:
    with stopped_by_signals() as stop:
      signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
      work(Connection(number), stop)
  except Terminated:
    os._exit(128 + signal.SIGTERM)


if __name__ == "__main__":
  main(sys.argv)
