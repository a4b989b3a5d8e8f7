"""Cells that run on this machine: in this process, or in several that share its cores."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
from rich.console import Console

from experiments.command_line import check_out_dir, print_line
from experiments.errors import UsageError
from experiments.grid import Cell, cell_name, of_data, varying_fields
from experiments.memory import keep_freed_memory
from experiments.results.paths import NETWORKS, is_finished
from experiments.sweep.ahead import compiling_ahead
from experiments.sweep.cell_checkpoints import remove_checkpoints
from experiments.sweep.claims import written_before
from experiments.sweep.compilation_cache import programs_kept_in, use_compilation_cache
from experiments.sweep.cost import Expected, likely_seconds, most_jobs, usable_cores
from experiments.sweep.data_block import DataKey, summaries_of
from experiments.sweep.data_block import blocks_of as data_blocks
from experiments.sweep.flags import Options
from experiments.sweep.materials import Materials, check_fit, load_datasets
from experiments.sweep.messages import Setup
from experiments.sweep.progress import make_progress
from experiments.sweep.run import run_cells
from experiments.sweep.stopping import Stop
from experiments.sweep.tensorboard import check_tensorboard
from experiments.sweep.visuals import load_visuals, visuals_key
from experiments.sweep.workers import run_in_workers
from fedrecjax.datasets import Dataset
from fedrecjax.simulation.memory import memory
from fedrecjax.version import __version__


def run_here(options: Options, cells: Sequence[Cell], stop: Stop) -> dict[str, str]:
  """Runs the cells that are not finished, until signals stop it.

  Args:
    options: of the command line.
    cells: of this shard.
    stop: what signals ask for.

  Returns:
    Why cells failed, by their hash.

  Raises:
    UsageError, ConfigError, DataError: if nothing can be run as asked.
  """
  console = Console(stderr=True)
  say = functools.partial(print_line, console)
  # What others finish from here on counts as done, also where all cells are to be computed anew.
  before = written_before(options.out_dir, cells)
  todo = [cell for cell in cells if not (options.resume and is_finished(options.out_dir, cell))]
  unfinished = {cell.hash for cell in todo} if options.resume else set()
  for cell in cells:
    # A cell computed anew starts from its beginning, and a sweep may have been killed once a cell was written.
    if cell.hash not in unfinished:
      remove_checkpoints(options.out_dir, cell)
  if len(todo) < len(cells):
    say(f"{len(cells) - len(todo)} of {len(cells)} cells are finished in {options.out_dir}")
  if not todo:
    return {}
  check_out_dir(options.out_dir)
  if options.tensorboard is not None:
    check_tensorboard(options.tensorboard)
  keep_freed_memory()
  use_compilation_cache(options.compilation_cache_dir, say)
  datasets = load_datasets(todo, options.data_dir)
  todo = of_data(todo, options.data_dir)
  before = written_before(options.out_dir, todo) | before
  visuals = load_visuals(todo, datasets, options.data_dir, say, options.out_dir / NETWORKS)
  check_fit(todo, datasets, visuals)
  summaries = summaries_of(datasets)
  expected = Expected(functools.partial(likely_seconds, datasets=datasets))
  jobs = jobs_of(options, todo, datasets, expected)
  for line in data_blocks(todo, datasets, summaries, visuals):
    say(line)
  epochs = sum(cell.config.train.epochs for cell in todo)
  name = functools.partial(_name, varying=varying_fields(cells))

  def materials(cell: Cell) -> Materials:
    key = (cell.config.dataset, cell.config.data)
    return Materials(datasets[key], summaries[key], visuals.get(visuals_key(cell)))

  def enough(cell: Cell, seconds: float, left: Sequence[Cell]) -> bool:
    expected.took(cell, seconds)
    return min(jobs.most, expected.processes(left)) > 1

  failures: dict[str, str] = {}
  with make_progress(console, cells=len(todo), epochs=epochs) as progress:
    if jobs.first == 1:
      with compiling_ahead(materials, options.checkpoint_every) as ahead:
        failures, todo = run_cells(
          todo, materials=materials, out_dir=options.out_dir, before=before, name=name, progress=progress, say=say,
          version=__version__, debug=options.debug, checkpoint_every=options.checkpoint_every, stop=stop, enough=enough,
          tensorboard=options.tensorboard, **({} if options.debug else {"ahead": ahead.run}),
        )
      if not todo:
        return failures
    several = max(jobs.first, min(jobs.most, expected.processes(todo)))
    say(f"{several} processes share the {'cells' if jobs.first > 1 else 'other cells'}; --jobs=1 runs them in one")
    return failures | run_in_workers(
      todo,
      jobs=several,
      most=jobs.most,
      setup=Setup(
        options.out_dir, options.data_dir, __version__, programs_kept_in(), options.checkpoint_every, options.plugins,
        options.tensorboard,
      ),
      before=before,
      expected=expected,
      name=name,
      progress=progress,
      say=say,
    )


class Jobs(NamedTuple):
  """How many processes run cells.

  Attributes:
    first: to begin with.
    most: that there may be once cells turn out to take long.
  """

  first: int
  most: int


def jobs_of(
  options: Options, cells: Sequence[Cell], datasets: Mapping[DataKey, Dataset], expected: Expected
) -> Jobs:
  """How many processes run these cells.

  Raises:
    UsageError: if several are asked for and cannot share a device.
  """
  if jax.default_backend() != "cpu":
    if options.jobs not in (None, 1):
      raise UsageError(f"--jobs={options.jobs}: processes cannot share a {jax.default_backend()}; --shard=i/n runs a"
                       " part of the cells, so that each device can have its own")
    return Jobs(1, 1)
  if options.jobs is not None:
    return Jobs(min(options.jobs, len(cells)), min(options.jobs, len(cells)))
  most = most_jobs(cells, datasets, cores=usable_cores(), available=memory())
  return Jobs(min(most, expected.processes(cells)), most)


def _name(cell: Cell, varying: Sequence[str]) -> str:
  return cell_name(cell, varying)
