"""A process that writes results and ends, without any clean-up, at a given call of the file system.

`python -m tests.experiments.results.killed ACTION FOLDER PREPARED`: for each call of ACTION in turn a fork starts
from a copy of the folder PREPARED and is ended there; another one resumes, and prints a line of JSON. Forks share what
has been imported, which takes a hundred times as long as what they do.
"""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from experiments.grid import expand
from experiments.results.cell_files import read_metrics, read_per_user, rebuild_results, write_cell
from experiments.results.integrity import damaged_cells
from experiments.results.paths import clean, is_finished
from fedrecjax.simulation.results import Result

CELL, OTHER = expand([{}], {"seed": "0-1", "eval.ks": "5+10"})
KILLED = 9
# What pathlib, shutil, tempfile and the project call of `os`; files that are opened are audited beside.
CALLS = ("chmod", "close", "fsync", "listdir", "lstat", "mkdir", "open", "rename", "replace", "rmdir", "scandir",
         "stat", "umask", "unlink")
_exit = os._exit


def result(value: float) -> Result:
  """What a run returns, as far as files know it, with one value everywhere."""
  points = {"epoch": np.array([1, 2]), "round": np.array([3, 6])} | {
    name: np.full(2, value) for name in ("hr@5", "hr@10", "train_loss", "wall_s")
  }
  return Result(
    metrics=points, per_user={"hr@10": np.full(40, value)}, users=np.arange(40), targets=np.array([3]), state=None,
    compile_s=0.0, detection={"client_precision": np.full(6, value)}, stealth={"malicious_rows": np.full(6, value)},
    images={},
  )


def write(folder: pathlib.Path, cell: Any, value: float) -> None:
  """Writes a cell with everything that a cell can have."""
  write_cell(folder, cell, result(value), "1", {"images.npz": {"pixels": np.full((2, 8, 8, 3), value)}})


ACTIONS: dict[str, Callable[[pathlib.Path], Any]] = {
  "write": lambda folder: write(folder, CELL, 1.0),
  "rebuild": rebuild_results,
  "clean": clean,
}


def end_at(limit: int) -> None:
  """Ends this process at the given call from now on, before the call is made."""
  calls = 0

  def count() -> None:
    nonlocal calls
    calls += 1
    if calls == limit:
      _exit(KILLED)

  def counted(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*arguments: Any, **named: Any) -> Any:
      count()
      return function(*arguments, **named)

    return call

  for name in CALLS:
    setattr(os, name, counted(getattr(os, name)))
  sys.addaudithook(lambda event, _: count() if event == "open" else None)


def resumed(folder: pathlib.Path) -> dict[str, Any]:
  """What a later process finds, and what it makes of it."""
  clean(folder)
  damaged = {path.name: damage for path, damage in damaged_cells(folder / "cells").items()}
  found = [is_finished(folder, cell) for cell in (CELL, OTHER)]
  values = None
  if found[0]:
    values = {*read_metrics(folder, CELL)["hr@10"].to_list(), *read_per_user(folder, CELL)["hr@10"].to_list()}
  table = rebuild_results(folder)
  gathered = dict(zip(table["config_hash"].to_list(), table["hr@10"].to_list(), strict=True))
  write(folder, CELL, 2.0)
  return {
    "damaged": damaged, "finished": found, "values": None if values is None else sorted(values),
    "table": [gathered.get(cell.hash) for cell in (CELL, OTHER)],
    "afterwards": read_metrics(folder, CELL)["hr@10"].to_list(),
    "left": sorted(path.name for path in (folder / "cells").iterdir() if path.name.startswith(".old-")),
  }


def forked(work: Callable[[], Any]) -> int:
  """Does work in a fork of this process; returns its exit status."""
  child = os.fork()
  if child == 0:
    try:
      work()
    except BaseException:
      import traceback

      traceback.print_exc()
      _exit(1)
    sys.stdout.flush()
    _exit(0)
  return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main(action: str, folder: pathlib.Path, prepared: pathlib.Path) -> None:
  """Ends the action at each of its calls, and once not at all."""
  for number in range(1, 10_000):
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(prepared, folder)

    def killed(number: int = number) -> None:
      end_at(number)
      ACTIONS[action](folder)

    status = forked(killed)
    if forked(lambda number=number, status=status: print(json.dumps({"status": status} | resumed(folder)))) != 0:
      sys.exit(f"resuming after call {number} failed")
    if status != KILLED:
      return


if __name__ == "__main__":
  main(sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3]))
