"""Results as tables: of one cell, and of all finished cells of a folder."""

from __future__ import annotations

import contextlib
import json
import pathlib
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import numpy as np
import polars as pl

from experiments.atomic_files import new_file, new_folder
from experiments.grid import AXES, Cell, shown
from experiments.results.paths import cell_dir, finished_config, finished_dirs
from fedrecjax.config import owners
from fedrecjax.datasets import digest_of
from fedrecjax.datasets.names import names_at
from fedrecjax.methods.fields import words_beside_numbers
from fedrecjax.simulation.results import DivergedError, Result

_IDENTITY = ("config_hash", "data_digest", "plugins", "version")
_TIMES = ("wall_s", "compile_s")


def field_types() -> dict[str, type[pl.DataType]]:
  """The column type of every configuration field by dotted name, in order; tuples are text joined with +."""
  result: dict[str, type[pl.DataType]] = {name: pl.String for name in AXES}
  result["seed"] = pl.Int64
  for owner, config in owners().items():
    for field, annotation in typing.get_type_hints(config).items():
      result[f"{owner}.{field}"] = _column_type(annotation)
  return result


def _column_type(annotation: Any) -> type[pl.DataType]:
  if words_beside_numbers(annotation):
    return pl.String
  if typing.get_origin(annotation) in (types.UnionType, typing.Union):
    annotation = next(one for one in typing.get_args(annotation) if one is not type(None))
  if typing.get_origin(annotation) in (Literal, tuple):
    return pl.String
  return {int: pl.Int64, float: pl.Float64, bool: pl.Boolean}.get(annotation, pl.String)


def cell_frames(
  cell: Cell, result: Result, version: str, diverged: DivergedError | None = None
) -> tuple[pl.DataFrame, pl.DataFrame]:
  """The tables of a cell.

  Args:
    cell: what was run.
    result: of the run.
    version: of the package.
    diverged: how the run ended, if it did before its last point.

  Returns:
    (one row per evaluation point with every configuration field, one row per benign user at the last point, with the
    user's number and, where the data call users something else, name). A
    metric that has no value, such as the exposure of a target that every user already has, is null. A run that has
    diverged has one more row, of the epoch and round in which it did; there are no metrics in that row, nor of users.
  """
  metrics = pl.DataFrame(result.metrics).fill_nan(None)
  of_users = pl.DataFrame(result.per_user).fill_nan(None)
  if diverged is not None:
    metrics = pl.concat([metrics, _end_of(diverged)], how="diagonal_relaxed")
    of_users = of_users.with_columns(pl.lit(None, kind).alias(name) for name, kind in of_users.schema.items())
  kinds = field_types()
  constants = [
    pl.lit(cell.data_digest, pl.String).alias("data_digest"),
    pl.lit(result.compile_s, pl.Float64).alias("compile_s"),
    pl.lit(shown(names_at(result.item_names, result.targets).tolist()), pl.String).alias("targets"),
    pl.lit(cell.hash, pl.String).alias("config_hash"),
    pl.lit(version, pl.String).alias("version"),
  ]
  if cell.plugins is not None:
    constants.append(pl.lit(cell.plugins, pl.String).alias("plugins"))
  for name, value in cell.flat.items():
    plain = shown(value) if kinds[name] is pl.String and value is not None else value
    constants.append(pl.lit(plain, kinds[name]).alias(name))
  users = _named(pl.DataFrame({"user": np.asarray(result.users, np.int64)}), "user", result.user_names)
  return metrics.with_columns(constants), users.with_columns(of_users.get_columns())


def _named(frame: pl.DataFrame, column: str, names: np.ndarray | None) -> pl.DataFrame:
  """The frame with a column of names behind one of numbers, where names are something else."""
  if names is None:
    return frame
  named = pl.Series(f"{column}_name", names_at(names, frame[column].to_numpy()).tolist())
  return frame.insert_column(frame.get_column_index(column) + 1, named)


def _end_of(diverged: DivergedError) -> pl.DataFrame:
  """The last row of a run that has diverged."""
  return pl.DataFrame({
    "epoch": [diverged.epoch], "round": [diverged.round], "diverged_at_epoch": [diverged.epoch],
    "diverged": [str(diverged)],
  })


def round_frames(result: Result) -> dict[str, pl.DataFrame]:
  """Tables by name, where there is anything to tell; undefined shares are null.

  One row per round: "detection" is there for defences that reject or rescale uploads, "stealth" where somebody is
  malicious, "attack" for attacks that tell something. One row per target and step in which images are uploaded:
  "images", under an attack that changes them; one per step: "after_uploads", with `eval.after_uploads`.
  """
  frames = {}
  for name, columns in (("detection", result.detection), ("stealth", result.stealth), ("attack", result.told)):
    if columns:
      rounds = len(next(iter(columns.values())))
      frames[name] = pl.DataFrame({"round": np.arange(1, rounds + 1), **columns}).fill_nan(None)
  if result.after_uploads:
    frames["after_uploads"] = pl.DataFrame(result.after_uploads).fill_nan(None)
  if result.images:
    frames["images"] = _named(pl.DataFrame(result.images).fill_nan(None), "item", result.item_names)
  return frames


def write_cell(
  out_dir: pathlib.Path,
  cell: Cell,
  result: Result,
  version: str,
  arrays: Mapping[str, Mapping[str, Any]],
  diverged: DivergedError | None = None,
  *,
  summary: Mapping[str, Any] | None = None,
) -> None:
  """Writes the folder of a finished cell, as a whole.

  Args:
    out_dir: folder of the sweep.
    cell: that was run.
    result: of it.
    version: of the package.
    arrays: NumPy archives to put beside, by file name.
    diverged: how the run ended, if it did before its last point.
    summary: of the data and of who attacks, ready for JSON; None keeps none.
  """
  metrics, per_user = cell_frames(cell, result, version, diverged)
  with new_folder(cell_dir(out_dir, cell)) as folder:
    frames = {"metrics": metrics, "per_user": per_user, **round_frames(result)}
    for name, frame in frames.items():
      with _as_os_error(folder / f"{name}.parquet"):
        frame.write_parquet(folder / f"{name}.parquet")
    for name, archive in arrays.items():
      np.savez_compressed(folder / name, **archive)
    if summary is not None:
      (folder / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    files = {file.name: digest_of(file) for file in sorted(folder.iterdir())}
    content = {"config_hash": cell.hash, "version": version, "config": cell.flat, "files": files,
               "warnings": result.warnings}
    if cell.data_digest is not None:
      content["data_digest"] = cell.data_digest
    if cell.plugins is not None:
      content["plugins"] = cell.plugins
    if diverged is not None:
      content["diverged"] = str(diverged)
    (folder / "config.json").write_text(json.dumps(content, indent=2) + "\n")


def read_metrics(out_dir: pathlib.Path, cell: Cell) -> pl.DataFrame:
  """One row per evaluation point of a finished cell; of a run that has diverged those before."""
  table = pl.read_parquet(cell_dir(out_dir, cell) / "metrics.parquet")
  return table.filter(pl.col("diverged").is_null()) if "diverged" in table.columns else table


def read_per_user(out_dir: pathlib.Path, cell: Cell) -> pl.DataFrame:
  """One row per benign user of a finished cell."""
  return pl.read_parquet(cell_dir(out_dir, cell) / "per_user.parquet")


def results_of(folders: list[pathlib.Path]) -> pl.DataFrame:
  """One row per finished cell with its last metrics; fields that do not apply to a cell are null."""
  last = [pl.read_parquet(folder / "metrics.parquet").tail(1) for folder in folders]
  if not last:
    return pl.DataFrame(schema={name: pl.String for name in _IDENTITY})
  table = pl.concat(last, how="diagonal_relaxed")
  return table.select(column_order(table.columns)).sort([*AXES, "config_hash"])


def column_order(columns: list[str]) -> list[str]:
  """Axes, then what was measured, then the fields of owners, then identity: the same for any order of cells.

  >>> column_order(["er@5", "train.epochs", "hr@10", "version", "seed", "hr@5", "wall_s"])
  ['seed', 'hr@5', 'hr@10', 'er@5', 'wall_s', 'train.epochs', 'version']
  """
  fields = [name for name in field_types() if name not in AXES]
  kinds = ("hr", "ndcg", "er", "target_ndcg")

  def place(name: str) -> tuple[int, int, int, str]:
    metric, at, k = name.partition("@")
    if name in AXES:
      return 0, AXES.index(name), 0, ""
    if name in ("epoch", "round", "targets"):
      return 1, 0, 0, name
    if at and metric in kinds:
      return 2, kinds.index(metric), int(k), ""
    if name in fields:
      return 5, fields.index(name), 0, ""
    return (
      {True: 4, False: 3}[name in _TIMES] if "." not in name and name not in _IDENTITY else 6,
      0,
      0,
      name,
    )

  return sorted(columns, key=place)


def rebuild_results(out_dir: pathlib.Path) -> pl.DataFrame:
  """Writes results.parquet and results.csv anew from all finished cells of the folder.

  Shards that end together each write all cells that they see. Looking again after writing makes sure that the
  last one to write has seen every cell.

  Raises:
    OSError: if they cannot be written; :func:`gather_results` makes the table all the same.
  """
  while True:
    folders = finished_dirs(out_dir)
    table = results_of(folders)
    if not _stands_in(out_dir, table):
      with new_file(out_dir / "results.parquet") as file, _as_os_error(file):
        table.write_parquet(file)
      with new_file(out_dir / "results.csv") as file:
        table.write_csv(file)
    if finished_dirs(out_dir) == folders:
      return table


def gather_results(out_dir: pathlib.Path) -> pl.DataFrame:
  """One row per finished cell of the folder, without writing anything."""
  return results_of(finished_dirs(out_dir))


def _stands_in(out_dir: pathlib.Path, table: pl.DataFrame) -> bool:
  """Whether the result files hold this table already, as in a folder that is finished and read-only."""
  if not (out_dir / "results.csv").is_file():
    return False
  try:
    return pl.read_parquet(out_dir / "results.parquet").equals(table)
  except (pl.exceptions.PolarsError, OSError):
    return False


@contextlib.contextmanager
def _as_os_error(file: pathlib.Path) -> Iterator[None]:
  """Polars reports a full disk as an error of its own, which names neither file nor disk."""
  try:
    yield
  except pl.exceptions.PolarsError as error:
    raise OSError(f"cannot write {file.parent}: {error}") from error


def warnings_of(out_dir: pathlib.Path, cells: list[Cell]) -> dict[str, list[Cell]]:
  """What finished cells did not do although it was asked for, see :class:`fedrecjax.simulation.results.Result`.

  Returns:
    The cells of each line, in their order.
  """
  lines: dict[str, list[Cell]] = {}
  for cell in cells:
    for line in (finished_config(cell_dir(out_dir, cell)) or {}).get("warnings", ()):
      lines.setdefault(line, []).append(cell)
  return lines


def versions_of(out_dir: pathlib.Path, cells: list[Cell]) -> set[str]:
  """The package versions that computed these cells."""
  contents = (finished_config(cell_dir(out_dir, cell)) for cell in cells)
  return {str(content.get("version")) for content in contents if content is not None}
