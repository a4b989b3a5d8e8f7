"""A kill at every call of the file system while results are written: afterwards they are old or new, and whole."""

import json
import subprocess
import sys

import pytest

from experiments.results.paths import cell_dir
from tests.experiments.results.killed import CELL, KILLED, OTHER, write
from tests.experiments.results.test_integrity import ROOT

OLD, NEW = 0.5, 1.0


def nothing(folder):
  (folder / "cells").mkdir()


def an_old_cell(folder):
  write(folder, CELL, OLD)


def a_replacement_half_done(folder):
  """Killed between the renames: the former cell is aside, the new one is not in its place."""
  an_old_cell(folder)
  cell = cell_dir(folder, CELL)
  cell.rename(cell.with_name(f".old-{cell.name}"))


def a_replacement_all_but_done(folder):
  """Killed after the renames: the former cell is still aside."""
  a_replacement_half_done(folder)
  write(folder, CELL, NEW)
  former = cell_dir(folder, CELL).with_name(f".old-{CELL.hash}")
  former.mkdir(exist_ok=True)
  (former / "metrics.parquet").write_text("half removed")


@pytest.mark.parametrize(("action", "prepare", "before", "after"), [
  ("write", nothing, None, NEW),
  ("write", an_old_cell, OLD, NEW),
  ("rebuild", an_old_cell, OLD, OLD),
  ("clean", a_replacement_half_done, OLD, OLD),
  ("clean", a_replacement_all_but_done, NEW, NEW),
])
def test_a_kill_at_every_call(tmp_path, action, prepare, before, after):
  prepared = tmp_path / "prepared"
  prepared.mkdir()
  prepare(prepared)
  write(prepared, OTHER, OLD)
  line = [sys.executable, "-m", "tests.experiments.results.killed", action, str(tmp_path / "out"), str(prepared)]
  done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)
  assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
  found = [json.loads(one) for one in done.stdout.splitlines()]
  assert [one["status"] for one in found] == [KILLED] * (len(found) - 1) + [0]
  assert len(found) > {"write": 40, "rebuild": 15, "clean": 8}[action]
  for call, one in enumerate(found, 1):
    assert one["damaged"] == {} and one["left"] == [], call
    value = one["values"][0] if one["finished"][0] else None
    assert value in (before, after) and (value is None or one["values"] == [value]), call
    assert one["finished"][1], call
    assert one["table"] == [value, OLD] and one["afterwards"] == [2.0, 2.0], call
  values = [None if one["values"] is None else one["values"][0] for one in found]
  assert values[-1] == after and values == sorted(values, key=lambda value: value == after)
