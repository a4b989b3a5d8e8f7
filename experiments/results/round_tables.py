"""Tables of a sweep from what every round tells: what defences caught, and how far malicious uploads stand out."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

import numpy as np
import polars as pl

from experiments.grid import Cell, label
from experiments.results.paths import cell_dir
from experiments.results.report import group_by_seed, label_fields
from experiments.tables import Table
from fedrecjax.metrics.detection import COUNTS, LEVELS, QUALITIES, detection_columns


def read_rounds(out_dir: pathlib.Path, cells: Sequence[Cell], name: str) -> list[pl.DataFrame]:
  """One row per round of each finished cell that has such a file, "detection" or "stealth"."""
  files = [cell_dir(out_dir, cell) / f"{name}.parquet" for cell in cells]
  return [pl.read_parquet(file) for file in files if file.is_file()]


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
    frames = read_rounds(out_dir, group.cells, "detection")
    if not frames:
      continue
    for stage in _stages(frames[0]):
      totals = np.array([[frame[stage + name].sum() for name in names] for frame in frames]).sum(axis=0)
      columns = detection_columns(totals.reshape(1, 1, len(LEVELS), len(COUNTS)))
      values = [float(columns[f"{level}_{quality}"][0]) for level in LEVELS for quality in QUALITIES]
      texts = ["-" if np.isnan(value) else f"{value:.3f}" for value in values]
      labelled = (*(label(group.flat, name) for name in labels), stage.rstrip(".") or "-")
      rows.append((*labelled, str(len(frames)), *texts))
  if not rows:
    return None
  header = [f"{level} {quality.replace('_', ' ')}" for level in LEVELS for quality in QUALITIES]
  notes = (
    "Over all rounds and seeds together. A row is flagged when the defence leaves it out or makes it shorter, a client"
    " when all of its rows are; of a defence with several stages each is judged by itself, on what it was given.",
  )
  return Table("What the defence caught", (*labels, "stage", "seeds", *header), tuple(rows), len(labels) + 1, notes)


def _stages(frame: pl.DataFrame) -> list[str]:
  """What the columns of each stage begin with: nothing where there is one."""
  last = f"{LEVELS[0]}_{COUNTS[0]}"
  return [name.removesuffix(last) for name in frame.columns if name.endswith(last)]


def stealth_table(cells: Sequence[Cell], out_dir: pathlib.Path) -> Table | None:
  """How many rows malicious and benign clients send, and how long malicious ones are; None if nobody is malicious."""
  labels = label_fields(cells)
  rows = []
  for group in group_by_seed(cells):
    frames = read_rounds(out_dir, group.cells, "stealth")
    if not frames:
      continue
    together = pl.concat(frames).select(
      malicious=pl.col("malicious_clients").mean(),
      malicious_rows=_mean("malicious_rows", pl.col("malicious_clients") * (pl.col("malicious_rows") > 0)),
      benign_rows=_mean("benign_rows", pl.col("benign_clients")),
      norm_percentile=_mean("norm_percentile", pl.col("malicious_clients") * pl.col("malicious_rows")),
    )
    malicious, *counts, percentile = together.row(0)
    texts = [f"{malicious:.1f}", *("-" if one is None else f"{one:.0f}" for one in counts)]
    percentile_text = "-" if percentile is None else f"{percentile:.3f}"
    rows.append((*(label(group.flat, name) for name in labels), str(len(frames)), *texts, percentile_text))
  if not rows:
    return None
  notes = (
    "Over all rounds and seeds together; rows of each over the rounds in which malicious clients sent any. The norm"
    " percentile is the share of the round's benign rows that a malicious"
    " row is longer than.",
  )
  header = ("malicious clients per round", "rows of each", "rows of a benign client", "norm percentile")
  return Table("How far malicious uploads stand out", (*labels, "seeds", *header), tuple(rows), len(labels), notes)


def _mean(name: str, weight: pl.Expr) -> pl.Expr:
  """The mean of a column weighted by another; null where nothing has weight."""
  weight = pl.when(pl.col(name).is_not_null()).then(weight)
  return (pl.col(name) * weight).sum() / pl.when(weight.sum() > 0).then(weight.sum())
