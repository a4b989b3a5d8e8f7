"""Sweeps whose shards are jobs: a cell without a result names the job that should have made it."""

import functools
import json
import pathlib
import shutil

import pytest

from experiments.sweep import elsewhere
from experiments.sweep.command import main
from experiments.sweep.launch import Ended, run_on_slurm
from tests.experiments.conftest import ROOT
from tests.experiments.sweep.test_command import results

ACCOUNT = "job 7_1 ran out of its time limit; its log is OUT/7_1.err"
FLAGS = ("--attack=none,random", "--seed=0-1", "--launcher=slurm", "--num_shards=2", "--slurm_parameters=timeout_min=1")


@pytest.fixture
def sweep(command, monkeypatch):
  """Runs a sweep of two shards, of which those that are not lost run in this process; returns its exit status."""

  def run(*extra, lost=(1,)):
    def launched(commands, **_):
      statuses = [None if number in lost else main(["sweep", *one[3:]]) for number, one in enumerate(commands)]
      return [Ended(one, ACCOUNT if one is None else f"job 7_{place} ended") for place, one in enumerate(statuses)]

    monkeypatch.setattr(elsewhere, "run_on_slurm", launched)
    return main(["sweep", *command.arguments(*FLAGS, *extra)])

  return run


def failed(error):
  return [line for line in error.splitlines() if line.startswith("sweep: failed: ")]


def test_cells_of_a_lost_job_name_it_and_its_log(sweep, command, capsys):
  assert sweep() == 1
  error = capsys.readouterr().err
  assert [line.partition(": it has no result: ")[2] for line in failed(error)] == [f"shard 1/2, {ACCOUNT}"] * 2
  assert f"sweep: shard 1/2: {ACCOUNT}\n" in error
  assert error.endswith("sweep: 2 of 4 cells failed\n"), "there is no folder of failures to point to"
  assert results(command.folder).height == 2
  assert sweep(lost=()) == 0


def test_cells_that_failed_in_a_job_say_why(sweep, command, monkeypatch, capsys):
  from experiments.sweep import run

  monkeypatch.setattr(run, "simulate_config", lambda *_, **__: 1 / 0)
  assert sweep() == 1
  error = capsys.readouterr().err.rpartition("sweep: shard 1/2")[2]
  assert [line.partition("seed=")[2][3:] for line in failed(error)].count("ZeroDivisionError: division by zero") == 2
  assert error.endswith(f"4 of 4 cells failed; see {command.folder / 'failures'}\n")


def test_the_reason_of_an_earlier_run_is_not_that_of_a_lost_job(sweep, command, capsys):
  assert sweep(lost=(0, 1)) == 1
  assert len(failed(capsys.readouterr().err)) == 4
  cells = command.folder / "failures"
  cells.mkdir()
  hashes = [line.split()[-2] for line in listed(command, capsys)]
  for one in hashes:
    (cells / f"{one}.json").write_text(json.dumps({"reason": "of an earlier run"}))
  assert sweep(lost=(0, 1)) == 1
  assert not [line for line in failed(capsys.readouterr().err) if "of an earlier run" in line]


def listed(command, capsys):
  assert main(["sweep", *command.arguments("--attack=none,random", "--seed=0-1", "--list")]) == 0
  return [line for line in capsys.readouterr().out.splitlines() if line.rstrip().endswith((" no", " yes"))]


def test_computing_anew_in_a_lost_job_counts_as_failed(sweep, capsys):
  assert sweep(lost=()) == 0
  assert sweep() == 0, "finished cells are left alone"
  capsys.readouterr()
  assert sweep("--resume=false") == 1
  assert len(failed(capsys.readouterr().err)) == 2


def test_a_sweep_through_submitit(command, monkeypatch, capfd):
  pytest.importorskip("submitit")
  monkeypatch.chdir(ROOT)
  monkeypatch.setattr(elsewhere, "run_on_slurm", functools.partial(run_on_slurm, cluster="local"))
  flags = command.arguments(*FLAGS)
  assert main(["sweep", *flags]) == 0
  assert results(command.folder).height == 4
  shutil.rmtree(command.folder / "cells")
  # No folder for compiled programs: each job refuses its flags, which its log says.
  assert main(["sweep", *flags, f"--compilation_cache_dir={command.data_file}"]) == 1
  error = capfd.readouterr().err
  assert len(failed(error)) == 4 and all("ended with exit status 2; its log is " in line for line in failed(error))
  log = pathlib.Path(failed(error)[0].rpartition("; its log is ")[2])
  assert "--compilation_cache_dir" in log.read_text()
