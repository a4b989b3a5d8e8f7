"""Where a sweep runs: in this process, or as jobs of a cluster that each run the same command on one shard."""

from __future__ import annotations

import pathlib
import subprocess
import sys
from collections.abc import Mapping, Sequence

from experiments.errors import UsageError


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
  parameters: Mapping[str, int | str],
  cluster: str | None = None,
) -> list[int]:
  """Runs commands as one Slurm array job and waits for them.

  Args:
    commands: one per array task.
    folder: for submitit's logs; visible to all nodes.
    parameters: of submitit's executor, such as timeout_min or slurm_partition.
    cluster: "local" or "debug" instead of Slurm; None finds Slurm or takes local processes.

  Returns:
    Exit statuses; 1 for a task that was lost.

  Raises:
    UsageError: if submitit is missing or a parameter is unknown.
  """
  try:
    import submitit
  except ImportError as error:
    raise UsageError("--launcher=slurm needs submitit: pip install fedrecjax[slurm]") from error
  try:
    executor = submitit.AutoExecutor(folder=folder, cluster=cluster)
    executor.update_parameters(name="fedrecjax", **parameters)
  except (NameError, RuntimeError, TypeError, ValueError) as error:
    raise UsageError(f"--slurm_parameters: {str(error).splitlines()[0]}") from error
  jobs = executor.map_array(run_command, commands)
  return [_result(job) for job in jobs]


def _result(job: object) -> int:
  import submitit

  assert isinstance(job, submitit.Job)
  try:
    return int(job.result())
  except (submitit.core.utils.FailedJobError, submitit.core.utils.UncompletedJobError):
    return 1


def run_on_ray(commands: Sequence[Sequence[str]]) -> list[int]:
  """Runs commands as Ray tasks and waits for them.

  Args:
    commands: one per task. Ray finds its cluster by itself (RAY_ADDRESS), or starts one on this machine.

  Returns:
    Exit statuses.

  Raises:
    UsageError: if ray is missing.
  """
  try:
    import ray
  except ImportError as error:
    raise UsageError("--launcher=ray needs ray: pip install fedrecjax[ray]") from error
  ray.init(ignore_reinit_error=True)
  task = ray.remote(run_command)
  statuses: list[int] = ray.get([task.remote(command) for command in commands])
  return statuses
