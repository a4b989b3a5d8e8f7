"""What a sweep and the processes that run its cells tell each other."""

from __future__ import annotations

import pathlib
from typing import Any, NamedTuple

from experiments.grid import Cell
from experiments.sweep.claims import Written
from experiments.sweep.run import CellEnd
from fedrecjax.config import from_flat
from fedrecjax.plugins import Plugin


class Setup(NamedTuple):
  """What all cells of a worker have in common.

  Attributes:
    out_dir: folder of the results.
    data_dir: folder of the data sets; None: the default.
    version: of the package.
    programs: folder of compiled programs; None: none are kept.
    checkpoint_every: epochs between two checkpoints inside a cell; 0 for none, None if time decides.
    plugins: to load before cells are taken.
    tensorboard: folder for TensorBoard; None for none.
  """

  out_dir: pathlib.Path
  data_dir: pathlib.Path | None
  version: str
  programs: str | None
  checkpoint_every: int | None
  plugins: tuple[Plugin, ...] = ()
  tensorboard: pathlib.Path | None = None


class Task(NamedTuple):
  """A cell to run, in types that can be sent.

  Attributes:
    flat: its configuration.
    hash: of the cell.
    data_digest: of the cell.
    plugins: of the cell.
    name: of the cell.
    before: when its files were written at the start of the sweep.
    following: one of another structure that the worker is likely to run next.
  """

  flat: dict[str, Any]
  hash: str
  data_digest: str | None
  plugins: str | None
  name: str
  before: Written
  following: Task | None = None

  @property
  def cell(self) -> Cell:
    """The cell."""
    return Cell(from_flat(self.flat), self.flat, self.hash, self.data_digest, self.plugins)


class Ready(NamedTuple):
  """Sent once the worker can take cells."""


class Advanced(NamedTuple):
  """Sent while a cell runs.

  Attributes:
    epochs: done so far.
  """

  epochs: int


class Noted(NamedTuple):
  """Sent where something is to be known of a cell before it ends.

  Attributes:
    message: one line.
  """

  message: str


class Ended(NamedTuple):
  """Sent when a cell has ended.

  Attributes:
    end: how; None if another process computes it.
  """

  end: CellEnd | None
