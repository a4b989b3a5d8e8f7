"""Launchers: commands of shards, jobs through submitit on this machine, and jobs that end otherwise than planned."""

import os
import pathlib
import signal
import sys
import types

import pytest

from experiments.errors import UsageError
from experiments.sweep.launch import Ended, run_command, run_on_ray, run_on_slurm, shard_commands

LIMIT = {"timeout_min": 1}


def python(script):
  return [sys.executable, "-c", script]


def test_jobs_run_the_same_command_on_their_shard():
  given = ["--attack=none,random", "-launcher", "slurm", "--num_shards=2", "--slurm_parameters=a=1"]
  commands = shard_commands(given, 2)
  assert [command[1:] for command in commands] == [
    ["-m", "experiments.sweep", "--attack=none,random", f"--shard={index}/2"] for index in range(2)]


def test_exit_statuses_come_back():
  assert run_command(python("raise SystemExit(3)")) == 3


@pytest.mark.parametrize(("module", "launch"), [
  ("submitit", lambda folder: run_on_slurm([["true"]], folder=folder, parameters=LIMIT, cluster="local")),
  ("ray", lambda folder: run_on_ray([["true"]])),
])
def test_a_missing_package_is_named(module, launch, monkeypatch, tmp_path):
  monkeypatch.setitem(sys.modules, module, None)
  with pytest.raises(UsageError, match=f"needs {module}: pip install fedrecjax"):
    launch(tmp_path)


def refusal(folder, parameters=LIMIT, cluster="local"):
  pytest.importorskip("submitit")
  with pytest.raises(UsageError) as caught:
    run_on_slurm([["true"]], folder=folder, parameters=parameters, cluster=cluster)
  assert "\n" not in str(caught.value)
  return str(caught.value)


def test_without_slurm_nothing_runs(tmp_path, monkeypatch):
  monkeypatch.setenv("PATH", str(tmp_path))
  assert refusal(tmp_path / "logs", cluster="slurm").startswith(
    "--launcher=slurm: there is no Slurm here, since srun and sbatch cannot be found")
  assert not (tmp_path / "logs").exists()


def test_a_time_limit_is_asked_for(tmp_path):
  assert refusal(tmp_path, {}).endswith("needs a time limit for its jobs: --slurm_parameters=timeout_min=MINUTES")
  for bad in (0, "1:00:00", 2.5):
    assert f"slurm_time must be a positive number of minutes, got {bad!r}" in refusal(tmp_path, {"slurm_time": bad})


@pytest.mark.parametrize("parameters", [{"unheard": 1}, {"slurm_unheard": 1}, {"nodes": "two"}, {"mem_gb": "much"}])
def test_parameters_that_submitit_does_not_take(tmp_path, parameters):
  assert refusal(tmp_path, LIMIT | parameters).startswith("--slurm_parameters: ")


def install(folder, monkeypatch, **programs):
  """Puts shell scripts before all other programs."""
  folder.mkdir()
  for name, script in programs.items():
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)
  monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def test_jobs_that_slurm_refuses(tmp_path, monkeypatch):
  install(tmp_path / "bin", monkeypatch, srun="", sbatch="echo 'sbatch: error: invalid partition: gpu' >&2; exit 1")
  assert refusal(tmp_path / "logs", cluster="slurm") == (
    "--launcher=slurm: Slurm refuses the jobs: sbatch: error: invalid partition: gpu")


def test_jobs_that_slurm_ends(tmp_path, monkeypatch):
  """A Slurm in three shell scripts, which ends both jobs of an array before they write anything."""
  submitit = pytest.importorskip("submitit")
  monkeypatch.setattr(submitit.Job, "_results_timeout_s", 0)
  states = ("JobID|State|NodeList", "77_0|TIMEOUT|a", "77_1|OUT_OF_MEMORY|b")
  install(tmp_path / "bin", monkeypatch, srun="", sbatch="echo Submitted batch job 77",
          sacct="; ".join(f"echo '{line}'" for line in states))
  logs = tmp_path / "logs"
  assert run_on_slurm([["true"], ["true"]], folder=logs, parameters=LIMIT) == [
    Ended(None, "job 77_0 ran out of its time limit, which --slurm_parameters=timeout_min=MINUTES sets;"
          f" it has no log in {logs}"),
    Ended(None, f"job 77_1 ended without a result, in state OUT_OF_MEMORY; it has no log in {logs}"),
  ]
  assert "#SBATCH --time=1\n" in next(logs.glob("*submission.sh")).read_text()


def run_locally(folder, *scripts):
  pytest.importorskip("submitit")
  return run_on_slurm([python(script) for script in scripts], folder=folder, parameters=LIMIT, cluster="local")


def log_in(account):
  """The log that an account names."""
  head, found, log = account.partition("; its log is ")
  assert found and "\n" not in account, account
  return head, pathlib.Path(log).read_text()


def test_submitit_runs_commands(tmp_path):
  ended = run_locally(tmp_path, "pass", "import sys; print('out of luck', file=sys.stderr); sys.exit(2)")
  assert [one.status for one in ended] == [0, 2]
  told, log = log_in(ended[1].account)
  assert told.endswith(" ended with exit status 2") and "out of luck" in log


def test_a_killed_job_is_named_with_its_log(tmp_path, monkeypatch):
  submitit = pytest.importorskip("submitit")
  monkeypatch.setattr(submitit.Job, "_results_timeout_s", 0)
  (ended,) = run_locally(tmp_path, f"import os, sys; print('last words', file=sys.stderr, flush=True);"
                         f" os.kill(os.getppid(), {int(signal.SIGKILL)})")
  told, log = log_in(ended.account)
  assert ended.status is None and told.startswith("job ") and "ended without a result" in told
  assert "last words" in log


def test_a_job_that_runs_out_of_time_is_named_with_its_log(tmp_path):
  # submitit's local executor warns a job half a minute before its only minute is over, which ends it.
  (ended,) = run_locally(tmp_path, "import time; time.sleep(120)")
  told, log = log_in(ended.account)
  assert ended.status is None and "ran out of its time limit" in told and "timeout_min" in told
  assert "timed-out" in log


def test_a_job_that_fails_by_itself_says_why(tmp_path, monkeypatch):
  monkeypatch.setattr("experiments.sweep.launch.run_command", failing)
  (ended,) = run_locally(tmp_path, "pass")
  assert ended.status is None and " failed: ValueError: no such command; its log is " in ended.account


def failing(command):
  raise ValueError("no such command")


def test_tasks_that_ray_loses(monkeypatch):
  class RayError(Exception):
    pass

  def get(task):
    if task == ["lost"]:
      raise RayError("a trace\nThe worker died.\n")
    return 0

  ray = types.SimpleNamespace(
    init=lambda **_: None, get=get, remote=lambda _: types.SimpleNamespace(remote=lambda command: command),
    exceptions=types.SimpleNamespace(RayError=RayError),
  )
  monkeypatch.setitem(sys.modules, "ray", ray)
  assert run_on_ray([["true"], ["lost"]]) == [
    Ended(0, "Ray task 0 ended with exit status 0"), Ended(None, "Ray task 1 was lost: The worker died.")]
