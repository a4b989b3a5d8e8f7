"""Where a sweep runs: in this process, or as jobs of a cluster that each run the same command on one shard."""

from __future__ import annotations

import pathlib
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from experiments.errors import UsageError

_TIME_LIMITS = ("timeout_min", "slurm_timeout_min", "slurm_time")
_OUT_OF_TIME = "ran out of its time limit, which --slurm_parameters=timeout_min=MINUTES sets"


class Ended(NamedTuple):
  """How a job ended.

  Attributes:
    status: exit status of its command; None if the command did not come to its end.
    account: for people, one line: which job, how it ended, and where its log is.
  """

  status: int | None
  account: str


def shard_commands(argv: Sequence[str], num_shards: int) -> list[list[str]]:
  """The commands of the shards of a sweep.

  Args:
    argv: flags of the sweep, without the program's name.
    num_shards: number of parts.

  >>> shard_commands(["--recipe=demo", "--launcher=ray", "--num_shards", "2"], 2)[1][1:]
  ['-m', 'experiments.sweep', '--recipe=demo', '--shard=1/2']
  """
  own = ("launcher", "num_shards", "slurm_parameters")
  kept, skip = [], False
  for argument in argv:
    name, equals, _ = argument.lstrip("-").partition("=")
    if skip:
      skip = False
    elif argument.startswith("-") and name in own:
      skip = not equals
    else:
      kept.append(argument)
  return [
    [sys.executable, "-m", "experiments.sweep", *kept, f"--shard={index}/{num_shards}"] for index in range(num_shards)
  ]


def run_command(command: Sequence[str]) -> int:
  """Runs a command to its end and returns its exit status."""
  return subprocess.run(command, check=False).returncode


def run_on_slurm(
  commands: Sequence[Sequence[str]],
  *,
  folder: pathlib.Path,
  parameters: Mapping[str, int | float | str],
  cluster: str = "slurm",
) -> list[Ended]:
  """Runs commands as one Slurm array job and waits for them.

  Args:
    commands: one per array task.
    folder: for submitit's logs; visible to all nodes.
    parameters: of submitit's executor, such as timeout_min or slurm_partition; a time limit is one of them.
    cluster: submitit's executor; tests take "local", processes of this machine.

  Returns:
    How each job ended.

  Raises:
    UsageError: if Slurm or submitit is missing, a parameter is unknown, there is no time limit, or jobs are refused.
  """
  missing = [program for program in ("srun", "sbatch") if shutil.which(program) is None]
  if cluster == "slurm" and missing:
    # submitit itself would run the jobs as processes of this machine, without a word.
    raise UsageError(f"--launcher=slurm: there is no Slurm here, since {' and '.join(missing)} cannot be found;"
                     " --launcher=local runs the cells in this process")
  _check_time_limit(parameters)
  try:
    import submitit
  except ImportError as error:
    raise UsageError("--launcher=slurm needs submitit: pip install fedrecjax[slurm]") from error
  try:
    executor = submitit.AutoExecutor(folder=folder, cluster=cluster)
    executor.update_parameters(name="fedrecjax", **parameters)
  except (AssertionError, NameError, RuntimeError, TypeError, ValueError) as error:
    raise UsageError(f"--slurm_parameters: {str(error).splitlines()[0]}") from error
  try:
    jobs = executor.map_array(run_command, commands)
  except RuntimeError as error:
    raise UsageError(f"--launcher=slurm: Slurm refuses the jobs: {_last_line(str(error))}") from error
  return [_ended(job) for job in jobs]


def _check_time_limit(parameters: Mapping[str, int | float | str]) -> None:
  given = [name for name in _TIME_LIMITS if name in parameters]
  if not given:
    raise UsageError("--launcher=slurm needs a time limit for its jobs: --slurm_parameters=timeout_min=MINUTES")
  for name in given:
    minutes = parameters[name]
    if not (isinstance(minutes, int) and minutes > 0):
      raise UsageError(f"--slurm_parameters: {name} must be a positive number of minutes, got {minutes!r}")


def _ended(job: Any) -> Ended:
  """Waits for one of submitit's jobs."""
  try:
    status = int(job.result())
  except RuntimeError as error:
    # Of a job that was killed or failed by itself; submitit's message is many lines of its log.
    return Ended(None, f"job {job.job_id} {_end_of(str(error))}; {_log_of(job)}")
  return Ended(status, f"job {job.job_id} ended with exit status {status}; {_log_of(job)}")


def _end_of(message: str) -> str:
  """How a job ended that brought no result, from what submitit says of it."""
  state = re.search(r"\(state: (.+?)\)", message)
  if "timed-out" in message or (state is not None and state[1].startswith("TIMEOUT")):
    return _OUT_OF_TIME
  if state is not None:
    return f"ended without a result, in state {state[1]}"
  trace = re.search(r"-{10,}\n(.*?)\n-{10,}", message, re.DOTALL)
  return f"failed: {_last_line(message if trace is None else trace[1])}"


def _log_of(job: Any) -> str:
  for log in (job.paths.stderr, job.paths.stdout):
    if log.exists():
      return f"its log is {log}"
  return f"it has no log in {job.paths.folder}"


def _last_line(text: str) -> str:
  lines = [line.strip() for line in text.splitlines() if line.strip()]
  return lines[-1] if lines else "no message"


def run_on_ray(commands: Sequence[Sequence[str]]) -> list[Ended]:
  """Runs commands as Ray tasks and waits for them.

  Args:
    commands: one per task. Ray finds its cluster by itself (RAY_ADDRESS), or starts one on this machine.

  Returns:
    How each task ended.

  Raises:
    UsageError: if ray is missing.
  """
  try:
    import ray
  except ImportError as error:
    raise UsageError("--launcher=ray needs ray: pip install fedrecjax[ray]") from error
  ray.init(ignore_reinit_error=True)
  task = ray.remote(run_command)
  ended = []
  for number, one in enumerate([task.remote(command) for command in commands]):
    try:
      status = ray.get(one)
      ended.append(Ended(status, f"Ray task {number} ended with exit status {status}"))
    except ray.exceptions.RayError as error:
      ended.append(Ended(None, f"Ray task {number} was lost: {_last_line(str(error))}"))
  return ended
