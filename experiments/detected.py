"""What defences caught, beside the truth: the table of a sweep."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

import numpy as np
import polars as pl

from experiments.grid import Cell, shown
from experiments.paths import cell_dir
from experiments.report import group_by_seed, label_fields
from experiments.tables import Table
from fedrecjax.detection import COUNTS, LEVELS, QUALITIES, detection_columns


def read_detection(out_dir: pathlib.Path, cell: Cell) -> pl.DataFrame | None:
  """One row per round of a finished cell, None where its defence neither rejects nor rescales uploads."""
  file = cell_dir(out_dir, cell) / "detection.parquet"
  return pl.read_parquet(file) if file.is_file() else None


def detection_table(cells: Sequence[Cell], out_dir: pathlib.Path) -> Table | None:
  """Precision, recall and false-positive rate of each configuration, over all rounds and seeds together.

  Args:
    cells: finished cells.
    out_dir: folder of the results.

  Returns:
    None if no defence rejects or rescales anything.
  """
  labels = label_fields(cells)
  names = [f"{level}_{count}" for level in LEVELS for count in COUNTS]
  rows = []
  for group in group_by_seed(cells):
    frames = [frame for cell in group.cells if (frame := read_detection(out_dir, cell)) is not None]
    if not frames:
      continue
    totals = np.array([[frame[name].sum() for name in names] for frame in frames]).sum(axis=0)
    columns = detection_columns(totals.reshape(1, len(LEVELS), len(COUNTS)))
    values = [float(columns[f"{level}_{quality}"][0]) for level in LEVELS for quality in QUALITIES]
    texts = ["-" if np.isnan(value) else f"{value:.3f}" for value in values]
    rows.append((*(shown(group.flat.get(name)) for name in labels), str(len(frames)), *texts))
  if not rows:
    return None
  header = [f"{level} {quality.replace('_', ' ')}" for level in LEVELS for quality in QUALITIES]
  notes = (
    "Over all rounds and seeds together. A row is flagged when the defence leaves it out or makes it shorter, a client"
    " when all of its rows are.",
  )
  return Table("What the defence caught", (*labels, "seeds", *header), tuple(rows), len(labels), notes)
