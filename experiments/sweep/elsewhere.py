"""Cells that run as jobs of a cluster, and what became of those whose job was lost."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from experiments.command_line import DONE, FAILED
from experiments.grid import Cell, Shard
from experiments.results.paths import failure_file, is_finished, reason_in
from experiments.sweep.claims import Written, written, written_before
from experiments.sweep.flags import Options
from experiments.sweep.launch import Ended, run_on_ray, run_on_slurm, shard_commands


def run_elsewhere(options: Options, cells: Sequence[Cell], arguments: Sequence[str]) -> dict[str, str]:
  """Runs shards as jobs and waits for them.

  Args:
    options: of the command line.
    cells: of the whole sweep.
    arguments: the flags as given, for jobs that run the same command.

  Returns:
    Why cells have no result of these jobs, a line each, by hash.

  Raises:
    UsageError: if jobs cannot be started as asked.
  """
  before = written_before(options.out_dir, cells)
  ended = _launch(options, shard_commands(arguments, options.num_shards))
  reasons = {}
  for index, job in enumerate(ended):
    shard = f"shard {index}/{len(ended)}"
    if job.status not in (DONE, FAILED):
      print(f"sweep: {shard}: {job.account}", file=sys.stderr)
    for cell in Shard(index, len(ended)).of(cells):
      reason = _reason(options, cell, before[cell.hash], f"it has no result: {shard}, {job.account}")
      if reason is not None:
        reasons[cell.hash] = reason
  return reasons


def _launch(options: Options, commands: Sequence[Sequence[str]]) -> list[Ended]:
  if options.launcher == "slurm":
    return run_on_slurm(commands, folder=options.out_dir / "slurm", parameters=options.slurm_parameters)
  # Ray runs as many tasks as a machine has cores.
  alone = [] if options.jobs is not None else ["--jobs=1"]
  return run_on_ray([[*command, *alone] for command in commands])


def _reason(options: Options, cell: Cell, before: Written, account: str) -> str | None:
  """Why a cell has no result of these jobs; None if it has one, or had one that is resumed."""
  after = written(options.out_dir, cell)
  if is_finished(options.out_dir, cell) and (options.resume or after.result != before.result):
    return None
  if after.failure not in (None, before.failure):
    return reason_in(failure_file(options.out_dir, cell))
  return account
