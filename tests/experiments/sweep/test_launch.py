"""Launchers: commands of shards, and a real run through submitit on this machine."""

import sys

import pytest

from experiments.errors import UsageError
from experiments.sweep.launch import run_command, run_on_ray, run_on_slurm, shard_commands


def test_jobs_run_the_same_command_on_their_shard():
  given = ["--attack=none,random", "-launcher", "slurm", "--num_shards=2", "--slurm_parameters=a=1"]
  commands = shard_commands(given, 2)
  assert [command[1:] for command in commands] == [
    ["-m", "experiments.sweep", "--attack=none,random", f"--shard={index}/2"] for index in range(2)]


def test_exit_statuses_come_back():
  assert run_command([sys.executable, "-c", "raise SystemExit(3)"]) == 3


@pytest.mark.parametrize(("module", "launch"), [
  ("submitit", lambda folder: run_on_slurm([["true"]], folder=folder, parameters={})),
  ("ray", lambda folder: run_on_ray([["true"]])),
])
def test_a_missing_package_is_named(module, launch, monkeypatch, tmp_path):
  monkeypatch.setitem(sys.modules, module, None)
  with pytest.raises(UsageError, match=f"needs {module}: pip install fedrecjax"):
    launch(tmp_path)


def test_submitit_runs_commands_and_refuses_unknown_parameters(tmp_path):
  pytest.importorskip("submitit")
  commands = [[sys.executable, "-c", f"raise SystemExit({status})"] for status in (0, 1)]
  assert run_on_slurm(commands, folder=tmp_path, parameters={"timeout_min": 1}, cluster="local") == [0, 1]
  with pytest.raises(UsageError, match="--slurm_parameters"):
    run_on_slurm(commands, folder=tmp_path, parameters={"unheard": 1}, cluster="local")
