"""The command `python -m experiments.image_report`: adversarial images, what purification makes of them, and detection.

It repeats Figures 6 and 8 and Table 3 of Yuan et al., 2023, on images, networks and data at hand.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

import polars as pl
from rich.console import Console

from experiments.atomic_files import new_file
from experiments.command_line import command, output, print_line, use_folder
from experiments.data.load import load_dataset
from experiments.image_report.analysis import Report, analyse, check_users
from experiments.image_report.flags import Options, parse_command_line
from experiments.image_report.plot import draw_pictures, plot_densities
from experiments.image_report.quality import read_regression
from experiments.image_report.tables import report_tables
from experiments.memory import keep_freed_memory
from experiments.results.paths import NETWORKS
from experiments.results.plots import PlotError
from experiments.sweep.visuals import prepare_visuals
from experiments.tables import print_and_write

# Columns that may be empty, whose type is then not seen from their values.
_OPTIONAL = {"tpr_reached": pl.Float64, "mean": pl.Float64, "sd": pl.Float64}


def _work(argv: Sequence[str]) -> None:
  options = parse_command_line(argv)
  use_folder(options.out_dir)
  keep_freed_memory()
  progress = Console(stderr=True)

  def say(text: str) -> None:
    print_line(progress, text)

  # Files are read before anything is trained, so that a missing one costs no time.
  regression = None if options.brisque is None else read_regression(*options.brisque)
  dataset = load_dataset(options.run.dataset, options.run.data, options.data_dir)
  check_users(dataset, options)
  visuals = prepare_visuals(options.run.images, dataset, data_dir=options.data_dir, need_denoiser=True, say=say,
                            networks=options.out_dir / NETWORKS)
  write_report(analyse(dataset, visuals, regression, options, say), options)


def write_report(report: Report, options: Options) -> None:
  """Writes the result files and the pictures, and prints the tables."""
  folder = options.out_dir
  for name, rows in report.tables.items():
    overrides = {column: kind for column, kind in _OPTIONAL.items() if column in rows[0]}
    with new_file(folder / f"{name}.csv") as file:
      pl.DataFrame(rows, schema_overrides=overrides).fill_nan(None).write_csv(file)
  console = output()
  print_and_write(report_tables(report, options), folder / "image_report.md", console)
  _draw(lambda: plot_densities(report, folder / "densities.png"))
  _draw(lambda: draw_pictures(report, folder / "pictures.png", num_pictures=options.num_pictures))
  print_line(console, f"Results: {folder}")


def _draw(picture: Callable[[], None]) -> None:
  """A picture that cannot be drawn keeps nobody from the numbers."""
  try:
    picture()
  except PlotError as error:
    print(f"image_report: {error}", file=sys.stderr)


main = command("image_report", _work)
