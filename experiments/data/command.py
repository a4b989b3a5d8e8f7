"""The command `python -m experiments.data PATH...`: what data sets hold, beside what papers print of them."""

from __future__ import annotations

import dataclasses
import itertools
import pathlib
import sys
import typing
from collections.abc import Sequence
from typing import Any

import polars as pl

from experiments.atomic_files import new_file
from experiments.command_line import (
  FlagGroup,
  command,
  folder,
  output,
  print_line,
  read_group,
  use_folder,
)
from experiments.data.block import data_lines
from experiments.data.load import load_dataset
from experiments.data.plot import plot_popularity
from experiments.data.tables import popularity_table, statistics_table
from experiments.grid import shown
from experiments.results.plots import PlotError
from experiments.tables import print_and_write
from fedrecjax.analysis import Summary, summarize
from fedrecjax.config import DataConfig, field_help, parse
from fedrecjax.datasets import NAMED_SETS, DataError, Dataset, Reading
from fedrecjax.datasets.named import data_files

_FIELDS = {field.name: field.default for field in dataclasses.fields(DataConfig)} | {"too_few": "train_only"}


def _work(argv: Sequence[str]) -> None:
  named = list(itertools.takewhile(lambda text: not text.startswith("-"), argv[1:]))
  value = read_group("data", [argv[0], *argv[1 + len(named) :]], _define_flags)
  annotations = typing.get_type_hints(DataConfig)
  fields = {name: parse(annotations[name], value(f"data.{name}"), f"--data.{name}") for name in _FIELDS}
  config, out_dir, data_dir = DataConfig(**fields), pathlib.Path(value("out_dir")), folder(value("data_dir"))
  names = named or [name for name in NAMED_SETS if data_files(name, data_dir=data_dir)]
  if not names:
    raise DataError("none of the named data sets is there; give the path of a file, or --data_dir")
  datasets = [load_dataset(name, config, data_dir) for name in names]
  summaries = [summarize(dataset) for dataset in datasets]
  use_folder(out_dir)
  console = output()
  for dataset, summary in zip(datasets, summaries, strict=True):
    for line in data_lines(summary, dataset.reading):
      print_line(console, line)
  _write([_row(*one) for one in zip(datasets, summaries, strict=True)], out_dir / "data.csv")
  tables = [statistics_table(summaries), popularity_table(datasets)]
  print_and_write([table for table in tables if table is not None], out_dir / "data.md", console)
  try:
    plot_popularity(datasets, out_dir / "popularity.png")
    print_line(console, f"Picture: {out_dir / 'popularity.png'}")
  except PlotError as error:
    print(f"data: {error}", file=sys.stderr)
  print_line(console, f"Results: {out_dir / 'data.csv'} ({len(datasets)} rows)")


def _define_flags(group: FlagGroup) -> None:
  group.data_dir()
  group.out_dir()
  for name, default in _FIELDS.items():
    group.text(f"data.{name}", "none" if default is None else shown(default), field_help("data", name))


def _row(dataset: Dataset, summary: Summary) -> dict[str, Any]:
  """What a data set holds and what was understood of its source, as a row of a table."""
  reading = dataset.reading or Reading()
  first_time, last_time = reading.time_span or (None, None)
  return summary._asdict() | {
    "rows": reading.rows,
    "repeats": reading.repeats,
    "left_out": "+".join(f"{one.by}={one.rows}" for one in reading.left_out),
    "users_left_out": sum(one.users for one in reading.left_out),
    "first_time": first_time,
    "last_time": last_time,
    "split": reading.split,
    "split_reason": reading.split_reason,
    "first_users": "+".join(reading.users),
    "first_items": "+".join(reading.items),
    "warnings": "; ".join(reading.warnings),
  }


def _write(rows: Sequence[dict[str, Any]], file: pathlib.Path) -> None:
  with new_file(file) as temporary:
    pl.DataFrame(rows, infer_schema_length=None).write_csv(temporary)


main = command("data", _work)
