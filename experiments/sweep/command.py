"""The command `python -m experiments.sweep`: flags to cells, cells to results, results to a table and a picture."""

from __future__ import annotations

import functools
import sys
from collections.abc import Sequence

from rich.console import Console

from experiments.command_line import DONE, FAILED, check_out_dir, command, output, print_line, use_folder
from experiments.grid import Cell, cell_name, expand, of_data, select, varying_fields
from experiments.memory import keep_freed_memory
from experiments.results.integrity import damaged_cells
from experiments.results.paths import NETWORKS, clean, is_finished
from experiments.sweep.flags import Options, parse_command_line
from experiments.sweep.listing import listing
from experiments.sweep.recipe_blocks import multiplied
from experiments.sweep.recipe_cells import blocks_of, cells_of_recipe
from experiments.tables import print_table
from fedrecjax.version import __version__

INTERRUPTED, TERMINATED = 130, 143


def _work(argv: Sequence[str]) -> int:
  options = parse_command_line(argv)
  blocks, overrides = blocks_of(options)
  cells = expand(blocks, overrides)
  if options.scale == "quick":
    kept = {cell.hash for name in options.recipes for cell in cells_of_recipe(name, options)}
    cells = [cell for cell in cells if cell.hash in kept]
  cells = options.shard.of(select(cells, options.only))
  for name in multiplied(blocks, overrides):
    print(f"sweep: --{name} replaces what {len(blocks)} blocks of the recipe have differently, so that each has all of"
          f" {overrides[name]}; --only={name}=... selects cells instead", file=sys.stderr)
  cells = of_data(cells, options.data_dir)
  if options.list_only:
    print_table(listing(cells, options.out_dir), output())
    return DONE
  return sweep(options, cells, argv[1:])


def sweep(options: Options, cells: Sequence[Cell], arguments: Sequence[str]) -> int:
  """Runs the cells that are not finished, then reports on all of them.

  Args:
    options: of the command line.
    cells: of this shard.
    arguments: the flags as given, for jobs that run the same command.

  Returns:
    Exit status.

  Raises:
    UsageError, ConfigError, DataError: if nothing can be run as asked.
  """
  from experiments.sweep.elsewhere import run_elsewhere
  from experiments.sweep.run import Terminated, termination_raises
  from experiments.sweep.summary import conclude, interrupted

  use_folder(options.out_dir)
  clean(options.out_dir)
  for folder, damage in damaged_cells(options.out_dir / "cells").items():
    print(f"sweep: {folder} counts as unfinished: {damage}", file=sys.stderr)
  try:
    with termination_raises():
      local = options.launcher == "local"
      failures = run_here(options, cells) if local else run_elsewhere(options, cells, arguments)
      # Data that were fetched meanwhile have a digest now.
      return FAILED if conclude(options, of_data(cells, options.data_dir), failures, output()) else DONE
  except KeyboardInterrupt:
    interrupted(options, cells)
    return INTERRUPTED
  except Terminated:
    interrupted(options, cells)
    return TERMINATED


def run_here(options: Options, cells: Sequence[Cell]) -> dict[str, str]:
  """Runs the unfinished cells in this process; returns why cells failed, by their hash."""
  from experiments.sweep.data_block import blocks_of as data_blocks
  from experiments.sweep.data_block import summaries_of
  from experiments.sweep.progress import make_progress
  from experiments.sweep.run import (
    check_fit,
    load_datasets,
    run_cells,
    use_compilation_cache,
  )
  from experiments.sweep.visuals import load_visuals

  keep_freed_memory()
  if options.compilation_cache_dir is not None:
    use_compilation_cache(options.compilation_cache_dir)
  todo = [cell for cell in cells if not (options.resume and is_finished(options.out_dir, cell))]
  console = Console(stderr=True)
  if len(todo) < len(cells):
    print_line(console, f"{len(cells) - len(todo)} of {len(cells)} cells are finished in {options.out_dir}")
  if not todo:
    return {}
  check_out_dir(options.out_dir)
  datasets = load_datasets(todo, options.data_dir)
  todo = of_data(todo, options.data_dir)
  visuals = load_visuals(
    todo, datasets, options.data_dir, functools.partial(print_line, console), options.out_dir / NETWORKS,
  )
  check_fit(todo, datasets, visuals)
  summaries = summaries_of(datasets)
  for line in data_blocks(todo, datasets, summaries, visuals):
    print_line(console, line)
  varying = varying_fields(cells)
  epochs = sum(cell.config.train.epochs for cell in todo)
  with make_progress(console, cells=len(todo), epochs=epochs) as progress:
    return run_cells(
      todo,
      datasets=datasets,
      summaries=summaries,
      visuals=visuals,
      out_dir=options.out_dir,
      name=lambda cell: cell_name(cell, varying),
      progress=progress,
      version=__version__,
      debug=options.debug,
    )


main = command("sweep", _work)
