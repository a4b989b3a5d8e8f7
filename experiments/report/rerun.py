"""The command line that computes one cell again."""

from __future__ import annotations

import functools
import shlex
from typing import Any

from experiments.grid import AXES, Cell, shown
from fedrecjax.config import from_flat

_METHODS = tuple(name for name in AXES if name != "seed")
_AGAIN = "results/again"


def rerun_command(cell: Cell) -> str:
  """The command that runs a cell alone, into a folder of its own so that nothing is replaced.

  Args:
    cell: whose fields are written where they differ from their defaults.
  """
  defaults = defaults_of(cell)
  fields = [name for name, value in cell.flat.items() if name not in AXES and value != defaults.get(name)]
  flags = [f"--{name}={_text(cell.flat[name])}" for name in (*AXES, *fields)]
  return shlex.join(["python", "-m", "experiments.sweep", *flags, f"--out_dir={_AGAIN}"])


def defaults_of(cell: Cell) -> dict[str, Any]:
  """The axes as they are by default, and the fields of the methods that a cell has."""
  return _defaults(*(cell.flat[name] for name in _METHODS))


@functools.cache
def _defaults(*axes: str) -> dict[str, Any]:
  own = from_flat(dict(zip(_METHODS, axes, strict=True))).flat()
  plain = from_flat({}).flat()
  return {**own, **{name: plain[name] for name in AXES}}


def _text(value: object) -> str:
  return "none" if value is None else shown(value)
