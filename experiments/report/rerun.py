"""The command line that computes one cell again."""

from __future__ import annotations

import shlex

from experiments.grid import AXES, Cell, shown
from fedrecjax.config import from_flat

_AGAIN = "results/again"


def rerun_command(cell: Cell) -> str:
  """The command that runs a cell alone, into a folder of its own so that nothing is replaced.

  Args:
    cell: whose fields are written where they differ from their defaults.
  """
  axes = {name: cell.flat[name] for name in AXES}
  defaults = from_flat(axes).flat()
  fields = [name for name, value in cell.flat.items() if name not in axes and value != defaults.get(name)]
  flags = [f"--{name}={_text(cell.flat[name])}" for name in (*AXES, *fields)]
  return shlex.join(["python", "-m", "experiments.sweep", *flags, f"--out_dir={_AGAIN}"])


def _text(value: object) -> str:
  return "none" if value is None else shown(value)
