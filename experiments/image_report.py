"""The command `python -m experiments.image_report`: adversarial images, what purification makes of them, and detection.

It repeats Figures 6 and 8 and Table 3 of Yuan et al., 2023, on images, networks and data at hand.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

import polars as pl
from rich.console import Console

from experiments.command_line import run_command
from experiments.errors import UsageError
from experiments.image_report_analysis import Report, analyse, check_users
from experiments.image_report_flags import Options, parse_command_line
from experiments.image_report_plot import draw_pictures, plot_densities
from experiments.image_report_quality import read_regression
from experiments.image_report_tables import report_tables
from experiments.memory import keep_freed_memory
from experiments.paths import NETWORKS, new_file
from experiments.plots import PlotError
from experiments.run import load_dataset
from experiments.tables import print_table, write_markdown
from experiments.visuals import prepare_visuals

# Columns that may be empty, whose type is then not seen from their values.
_OPTIONAL = {"tpr_reached": pl.Float64, "mean": pl.Float64, "sd": pl.Float64}


def main(argv: Sequence[str] | None = None) -> int:
  """Runs the command.

  Args:
    argv: the program's name and its flags; by default those of the process.

  Returns:
    Exit status: 0 done, 1 if results could not be written, 2 for bad flags or data.
  """

  def work() -> None:
    options = parse_command_line(sys.argv if argv is None else argv)
    try:
      options.out_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
      raise UsageError(f"--out_dir: cannot use {options.out_dir}: {error.strerror}") from error
    keep_freed_memory()
    progress = Console(stderr=True)

    def say(text: str) -> None:
      progress.print(text, markup=False, highlight=False, soft_wrap=True)

    # Files are read before anything is trained, so that a missing one costs no time.
    regression = None if options.brisque is None else read_regression(*options.brisque)
    dataset = load_dataset(options.run.dataset, options.run.data, options.data_dir)
    check_users(dataset, options)
    visuals = prepare_visuals(options.run.images, dataset, data_dir=options.data_dir, need_denoiser=True, say=say,
                              networks=options.out_dir / NETWORKS)
    write_report(analyse(dataset, visuals, regression, options, say), options)

  return run_command("image_report", work)


def write_report(report: Report, options: Options) -> None:
  """Writes the result files and the pictures, and prints the tables."""
  folder = options.out_dir
  for name, rows in report.tables.items():
    overrides = {column: kind for column, kind in _OPTIONAL.items() if column in rows[0]}
    with new_file(folder / f"{name}.csv") as file:
      pl.DataFrame(rows, schema_overrides=overrides).fill_nan(None).write_csv(file)
  tables = report_tables(report, options)
  write_markdown(tables, folder / "image_report.md")
  console = Console() if sys.stdout.isatty() else Console(width=1000)
  for table in tables:
    print_table(table, console)
  _draw(lambda: plot_densities(report, folder / "densities.png"))
  _draw(lambda: draw_pictures(report, folder / "pictures.png", num_pictures=options.num_pictures))
  console.print(f"Results: {folder}", markup=False, highlight=False, soft_wrap=True)


def _draw(picture: Callable[[], None]) -> None:
  """A picture that cannot be drawn keeps nobody from the numbers."""
  try:
    picture()
  except PlotError as error:
    print(f"image_report: {error}", file=sys.stderr)


if __name__ == "__main__":
  sys.exit(main())
