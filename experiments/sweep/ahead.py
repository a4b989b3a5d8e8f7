"""Compiles the programs of the next cell while the present one trains, in a thread of its own."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from experiments.grid import Cell, structure_of
from experiments.sweep.materials import Materials
from fedrecjax.simulation.runner import compile_config


class Ahead:
  """What is compiled ahead in this process; one program at a time, each structure once."""

  def __init__(self, materials: Callable[[Cell], Materials], checkpoint_every: int | None):
    self._materials, self._every = materials, checkpoint_every
    self._thread = ThreadPoolExecutor(1, thread_name_prefix="compile")
    self._seen: set[object] = set()
    self._passed: set[str] = set()
    self._running: Future[None] | None = None

  def run(self, cell: Cell, following: Iterable[Cell]) -> None:
    """A cell is about to be trained here; the first that follows and needs other programs has them compiled meanwhile.

    Cells with images are left alone: what they need is known only once images have been uploaded.
    """
    self._seen.add(structure_of(cell))
    if self._running is not None and not self._running.done():
      return
    # Whatever is passed over, or compiled, is of a structure that has been seen, and looked at once.
    for one in following:
      if one.hash in self._passed:
        continue
      self._passed.add(one.hash)
      structure = structure_of(one)
      if structure not in self._seen and one.config.images.source == "none":
        self._seen.add(structure)
        self._running = self._thread.submit(self._compile, one)
        return

  def _compile(self, cell: Cell) -> None:
    # What is wrong with a cell is said when it runs.
    with contextlib.suppress(Exception):
      dataset, _, visuals = self._materials(cell)
      compile_config(cell.config, dataset, visuals=visuals, checkpoint_every=self._every)

  def close(self) -> None:
    """Waits for what is being compiled, which nothing can stop."""
    self._thread.shutdown(wait=True, cancel_futures=True)


@contextlib.contextmanager
def compiling_ahead(materials: Callable[[Cell], Materials], checkpoint_every: int | None) -> Iterator[Ahead]:
  """Within the block programs may be compiled ahead.

  Args:
    materials: what a cell is run on; called in the thread that compiles, too.
    checkpoint_every: epochs between two checkpoints inside a cell.
  """
  ahead = Ahead(materials, checkpoint_every)
  try:
    yield ahead
  finally:
    ahead.close()
