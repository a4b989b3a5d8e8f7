"""The command `python -m experiments.breakdown`: the share of items that attackers break, predicted and measured.

The prediction is Spattack's proposition 2, with the power law that it assumes of item degrees fitted and tested.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import polars as pl

from experiments.atomic_files import new_file
from experiments.breakdown.analysis import Analysis, analyse
from experiments.breakdown.flags import Options, parse_command_line
from experiments.breakdown.plot import plot_breakdown
from experiments.breakdown.tables import law_table, share_table
from experiments.command_line import command, output, print_line, use_folder
from experiments.results.plots import PlotError
from experiments.tables import print_and_write
from fedrecjax.datasets import load

# Columns that may be empty, whose type is then not seen from their values.
_OPTIONAL = {
  "degree_bound": pl.Float64, "share_moved": pl.Float64, "share_measured": pl.Float64,
  "share_measured_sd": pl.Float64, "max_items": pl.Int64, "clients_per_round": pl.Int64,
}


def _work(argv: Sequence[str]) -> None:
  options = parse_command_line(argv)
  use_folder(options.out_dir)
  # All sets are read before the first is analysed, so that a missing one costs no time. Nothing is evaluated, so
  # users with too few items to hold one out may stay.
  datasets = [load(name, data_dir=options.data_dir, too_few="train_only") for name in options.datasets]
  report(options, [analyse(dataset, options) for dataset in datasets])


def report(options: Options, analyses: Sequence[Analysis]) -> None:
  """Writes the result files and the picture, and prints the tables.

  Args:
    options: of the command line.
    analyses: of at least one data set.
  """
  frame = pl.DataFrame([row for one in analyses for row in one.rows], schema_overrides=_OPTIONAL).fill_nan(None)
  with new_file(options.out_dir / "breakdown.parquet") as file:
    frame.write_parquet(file)
  with new_file(options.out_dir / "breakdown.csv") as file:
    frame.write_csv(file)
  console = output()
  print_and_write([law_table(analyses), share_table(options, analyses)], options.out_dir / "breakdown.md", console)
  picture = options.out_dir / "breakdown.png"
  try:
    plot_breakdown(analyses, picture)
    print_line(console, f"Picture: {picture}")
  except PlotError as error:
    print(f"breakdown: {error}", file=sys.stderr)
  print_line(console, f"Results: {options.out_dir / 'breakdown.csv'} ({frame.height} rows)")


main = command("breakdown", _work)
