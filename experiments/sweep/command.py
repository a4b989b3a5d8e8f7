"""The command `python -m experiments.sweep`: flags to cells, cells to results, results to a table and a picture."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence

from experiments.command_line import DONE, FAILED, command, output, use_folder
from experiments.grid import Cell, expand, of_data, select
from experiments.report.asked import keep_asked
from experiments.results.integrity import damaged_cells
from experiments.results.paths import clean
from experiments.sweep.asked_cells import asked_of
from experiments.sweep.flags import Options, parse_command_line
from experiments.sweep.listing import listing
from experiments.sweep.recipe_blocks import multiplied
from experiments.sweep.recipe_cells import blocks_of, cells_of_recipe
from experiments.sweep.stopping import Terminated, stopped_by_signals
from experiments.tables import print_table

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
  from experiments.sweep.local import run_here
  from experiments.sweep.summary import conclude, interrupted

  use_folder(options.out_dir)
  clean(options.out_dir)
  # A folder that is finished may be read-only.
  with contextlib.suppress(OSError):
    keep_asked(options.out_dir, asked_of(options, cells))
  for folder, damage in damaged_cells(options.out_dir / "cells").items():
    print(f"sweep: {folder} counts as unfinished: {damage}", file=sys.stderr)
  try:
    with stopped_by_signals() as stop:
      local = options.launcher == "local"
      failures = run_here(options, cells, stop) if local else run_elsewhere(options, cells, arguments)
      # Data that were fetched meanwhile have a digest now.
      return FAILED if conclude(options, of_data(cells, options.data_dir), failures, output()) else DONE
  except KeyboardInterrupt:
    interrupted(options, cells)
    return INTERRUPTED
  except Terminated:
    interrupted(options, cells)
    return TERMINATED


main = command("sweep", _work)
