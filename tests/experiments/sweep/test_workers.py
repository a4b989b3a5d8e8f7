"""Cells in several processes: the same results, whoever of them is killed."""

import contextlib
import dataclasses
import json
import os
import signal

import pytest

from experiments.results.paths import finished_dirs
from experiments.sweep import workers
from experiments.sweep.command import main
from fedrecjax.simulation.checkpoint_files import checkpoints_in
from tests.experiments.sweep.processes import is_gone, wait_until, workers_of
from tests.experiments.sweep.test_command import results
from tests.experiments.sweep.test_process import MANY, start, wait_for_cells
from tests.experiments.sweep.test_random_kills import assert_same_bits, tables

TWO = ("--jobs=2",)


def test_results_do_not_depend_on_the_number_of_processes(command, tmp_path):
  flags = ("--attack=none,random,label_flip", "--defense=none,median", "--seed=0-1")
  assert command.run(*command.arguments(*flags, "--jobs=1")).returncode == 0
  several = dataclasses.replace(command, folder=tmp_path / "several")
  done = several.run(*several.arguments(*flags, *TWO))
  assert done.returncode == 0, done.stderr
  assert "2 processes share the cells" in done.stderr and "[12/12]" in done.stderr
  assert_same_bits(several.folder, tables(command.folder))
  cells = finished_dirs(command.folder)
  assert len(cells) == 12
  for cell in cells:
    names = sorted(file.name for file in cell.iterdir())
    assert names == sorted(file.name for file in (several.folder / "cells" / cell.name).iterdir())
    # Times are in these two alone, of which the second holds digests of the first.
    for name in {*names} - {"metrics.parquet", "config.json"}:
      assert (cell / name).read_bytes() == (several.folder / "cells" / cell.name / name).read_bytes(), name


def test_a_cell_whose_process_is_killed_is_computed_all_the_same(command):
  process = start(command, *command.arguments(*MANY, *TWO, "--train.epochs=200"))
  wait_for_cells(command, process, 1)
  killed = workers_of(process.pid)
  assert len(killed) == 2
  os.kill(killed[0], signal.SIGKILL)
  _, error = process.communicate()
  assert process.returncode == 0, error
  assert error.count("was ended by SIGKILL; it is tried once more") == 1 and "Traceback" not in error
  assert results(command.folder).height == 8 and not (command.folder / "claims").exists()
  assert is_gone(killed[0]) and is_gone(killed[1])


def test_a_cell_that_kills_its_process_twice_has_failed(command, monkeypatch, capfd):
  monkeypatch.setattr(workers, "MODULE", "tests.experiments.sweep.deadly_worker")
  assert main(["sweep", *command.arguments("--seed=0-2", *TWO)]) == 1
  error = capfd.readouterr().err
  (line,) = [one for one in error.splitlines() if one.startswith("sweep: failed: ")]
  assert "seed=1: the process that ran it was ended by SIGKILL, 2 times" in line
  assert error.count("it is tried once more") == 1
  assert sorted(results(command.folder)["seed"]) == [0, 2]
  (file,) = (command.folder / "failures").iterdir()
  assert "SIGKILL" in json.loads(file.read_text())["reason"]


def test_processes_that_cannot_start_are_a_line(command, monkeypatch, capfd):
  monkeypatch.setattr(workers, "MODULE", "experiments.sweep.no_such_module")
  assert main(["sweep", *command.arguments("--seed=0-2", *TWO)]) == 1
  error = capfd.readouterr().err
  assert "sweep: --jobs=2: a process that should run cells ended with exit status 1 before it was ready\n" in error
  assert "Traceback" not in error


def test_nothing_is_left_of_a_sweep_that_is_killed(command):
  process = start(command, *command.arguments(*MANY, *TWO, "--seed=0-39"))
  wait_for_cells(command, process, 2)
  left = workers_of(process.pid)
  assert len(left) == 2
  process.kill()
  process.communicate()
  try:
    wait_until(lambda: all(map(is_gone, left)), "the end of the workers", seconds=20)
  finally:
    for one in left:
      with contextlib.suppress(ProcessLookupError):
        os.kill(one, signal.SIGKILL)
  done = command.run(*command.arguments(*MANY, *TWO))
  assert done.returncode == 0 and "being computed by another process" not in done.stderr, done.stderr


@pytest.mark.parametrize(("sent", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 143), (signal.SIGINT, 130)])
def test_a_stopped_sweep_stops_its_processes(command, sent, status):
  process = start(command, *command.arguments(*MANY, *TWO, "--seed=0-39"))
  wait_for_cells(command, process, 2)
  left = workers_of(process.pid)
  assert len(left) == 2
  # As a terminal does, which sends its signals to all.
  for one in [*left, process.pid] if sent != signal.SIGTERM else [process.pid]:
    os.kill(one, sent)
  _, error = process.communicate()
  assert process.returncode == status and all(map(is_gone, left))
  assert "the same command goes on from there" in error and "Traceback" not in error
  assert "tried once more" not in error
  assert 2 <= results(command.folder).height < 80
  assert not list(command.folder.glob("cells/.tmp-*"))


def begun_cells(command):
  """The newest checkpoint of each cell that has any, in epochs."""
  folder = command.folder / "checkpoints"
  found = [checkpoints_in(one) for one in folder.iterdir()] if folder.is_dir() else []
  return [int(one[0].name) for one in found if one]


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGKILL])
def test_cells_of_several_processes_go_on_from_their_checkpoints(command, tmp_path, sent):
  """Whether the sweep is asked to stop, and its processes write checkpoints, or it is killed with one of them."""
  flags = ("--attack=random", "--defense=none,median", "--train.epochs=2400", "--eval.every=800")
  whole = dataclasses.replace(command, folder=tmp_path / "whole")
  assert whole.run(*whole.arguments(*flags, "--jobs=1", "--checkpoint_every=0")).returncode == 0
  process = start(command, *command.arguments(*flags, *TWO, "--checkpoint_every=50"))
  wait_until(lambda: len(begun_cells(command)) == 2, "checkpoints of both cells", seconds=60)
  left = workers_of(process.pid)
  os.kill(process.pid, sent)
  if sent == signal.SIGKILL:
    os.kill(left[0], sent)
  _, error = process.communicate()
  wait_until(lambda: all(map(is_gone, left)), "the end of the workers", seconds=20)
  assert "Traceback" not in error and not finished_dirs(command.folder)
  assert len(begun_cells(command)) == 2 and min(begun_cells(command)) >= 50
  done = command.run(*command.arguments(*flags, *TWO, "--checkpoint_every=50"))
  assert done.returncode == 0 and done.stderr.count("going on after epoch") == 2, done.stderr
  assert_same_bits(command.folder, tables(whole.folder))
  assert not (command.folder / "checkpoints").exists() and not (command.folder / "claims").exists()
