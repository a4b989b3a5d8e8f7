"""A sweep killed at twenty random moments: no traceback, no cell lost, and the bits of an undisturbed sweep."""

import shutil
import subprocess
import time

import numpy as np
import polars as pl
from polars.testing import assert_frame_equal

from experiments.results.integrity import damaged_cells
from experiments.results.paths import clean, finished_dirs
from tests.experiments.sweep.test_command import TIMES
from tests.experiments.sweep.test_process import start

FLAGS = ("--attack=none,random", "--seed=0-2", "--train.epochs=4")
KILLS = 20


def tables(folder):
  """All that is in the cells of a folder, but for times."""
  return {
    (cell.name, file.name): pl.read_parquet(file).drop(TIMES, strict=False)
    for cell in finished_dirs(folder) for file in sorted(cell.glob("*.parquet"))
  }


def assert_same_bits(folder, undisturbed):
  found = tables(folder)
  assert found.keys() == undisturbed.keys()
  for name, table in found.items():
    assert_frame_equal(table, undisturbed[name], check_exact=True)


def test_twenty_kills(command, tmp_path):
  whole = tmp_path / "undisturbed"
  assert command.run(*command.arguments(*FLAGS, f"--out_dir={whole}")).returncode == 0
  started = time.monotonic()
  assert command.run(*command.arguments(*FLAGS, "--resume=false", f"--out_dir={whole}")).returncode == 0
  takes = time.monotonic() - started
  undisturbed = tables(whole)
  assert len(finished_dirs(whole)) == 6
  random = np.random.default_rng(17)
  kills, completed, kept = 0, 0, set()
  while kills < KILLS:
    # Every other sweep computes all cells anew, so that finished ones are replaced while it is killed.
    anew = ("--resume=false",) if random.random() < 0.5 else ()
    process = start(command, *command.arguments(*FLAGS, *anew))
    try:
      _, error = process.communicate(timeout=random.uniform(0.3, 1.1) * takes)
      assert process.returncode == 0, error
      completed += 1
    except subprocess.TimeoutExpired:
      process.kill()
      _, error = process.communicate()
      kills += 1
    assert "Traceback" not in error
    clean(command.folder)
    finished = {folder.name for folder in finished_dirs(command.folder)}
    assert kept <= finished, "a finished cell is lost"
    assert damaged_cells(command.folder / "cells") == {}
    kept = finished
    if len(kept) == 6 and random.random() < 0.5:
      assert_same_bits(command.folder, undisturbed)
      shutil.rmtree(command.folder)
      kept = set()
  done = command.run(*command.arguments(*FLAGS))
  assert done.returncode == 0 and "Traceback" not in done.stderr
  assert_same_bits(command.folder, undisturbed)
  print(f"{kills} kills, {completed} sweeps came to their end between them")
