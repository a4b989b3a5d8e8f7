"""Whether a cell's files are what was written: a damaged cell is an unfinished one, and no other suffers from it."""

from __future__ import annotations

import functools
import json
import pathlib
import re
from typing import Any

from fedrecjax.datasets import digest_of

CELL_FILES = ("config.json", "metrics.parquet", "per_user.parquet")
_NEEDED = {"metrics.parquet": {"epoch", "config_hash"}, "per_user.parquet": {"user"}}


def is_cell_name(name: str) -> bool:
  """Whether a folder is named as cells are; copies that people make under other names are nobody's results.

  >>> is_cell_name("0123456789abcdef"), is_cell_name("0123456789abcdef_copy")
  (True, False)
  """
  return re.fullmatch("[0-9a-f]{16}", name) is not None


def content_of(folder: pathlib.Path) -> dict[str, Any]:
  """The content of config.json.

  Raises:
    ValueError: if there is none of a cell of this name; the message is for people.
  """
  try:
    content = json.loads((folder / "config.json").read_text())
  except FileNotFoundError as error:
    raise ValueError("config.json is missing") from error
  except (OSError, ValueError) as error:
    raise ValueError("config.json cannot be read") from error
  if not (isinstance(content, dict) and isinstance(content.get("config"), dict)):
    raise ValueError("config.json has no configuration")
  if content.get("config_hash", folder.name) != folder.name:
    raise ValueError("config.json is of another cell")
  return content


def damage_of(folder: pathlib.Path) -> str | None:
  """What is wrong with a cell's folder, for people; None if it is whole."""
  stamps = []
  for file in sorted(folder.iterdir()):
    status = file.stat()
    stamps.append((file.name, status.st_size, status.st_mtime_ns))
  return _damage_of(folder, tuple(stamps))


@functools.lru_cache(maxsize=100_000)
def _damage_of(folder: pathlib.Path, stamps: tuple[Any, ...]) -> str | None:
  """The same, remembered while no file changes."""
  present = {name for name, *_ in stamps}
  try:
    content = content_of(folder)
    for name in (*CELL_FILES, *content.get("files", ())):
      if name not in present:
        raise ValueError(f"{name} is missing")
    for name, wanted in content.get("files", {}).items():
      if digest_of(folder / name) != wanted:
        raise ValueError(f"{name} is not what was written")
    if "files" not in content:
      _check_readable(folder)
  except (OSError, ValueError) as error:
    return str(error)
  return None


def _check_readable(folder: pathlib.Path) -> None:
  """Reads the tables of a cell that was written before digests were kept."""
  import polars as pl

  for name, columns in _NEEDED.items():
    try:
      table = pl.read_parquet(folder / name)
    except (pl.exceptions.PolarsError, OSError) as error:
      raise ValueError(f"{name} cannot be read") from error
    if table.is_empty() or not columns <= set(table.columns):
      raise ValueError(f"{name} has no {' or '.join(sorted(columns))}")


def damaged_cells(cells_dir: pathlib.Path) -> dict[pathlib.Path, str]:
  """The damaged cells of a folder and what is wrong with each, by name."""
  if not cells_dir.is_dir():
    return {}
  folders = sorted(one for one in cells_dir.iterdir() if is_cell_name(one.name) and one.is_dir())
  return {folder: damage for folder in folders if (damage := damage_of(folder)) is not None}
