"""What sweeps into a folder were asked for, kept beside their results: without it a part looks like a whole."""

from __future__ import annotations

import hashlib
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from experiments.atomic_files import new_file

_FOLDER = "asked"


class AskedRecipe(NamedTuple):
  """A recipe that a sweep ran.

  Attributes:
    cells: its cells, by the hash of their configurations alone.
    settings: flags by which it was changed.
    notes: further lines to say of it.
  """

  cells: tuple[str, ...]
  settings: Mapping[str, str]
  notes: tuple[str, ...]


class Asked(NamedTuple):
  """What all sweeps into a folder were asked for.

  Attributes:
    names: of cells, by the hash of their configurations alone, since data may be fetched only when they are run.
    recipes: by name.
  """

  names: Mapping[str, str]
  recipes: Mapping[str, AskedRecipe]


def keep_asked(out_dir: pathlib.Path, asked: Asked) -> None:
  """Writes what a sweep is asked for; the same again changes nothing, and shards do not meet in one file.

  Args:
    out_dir: folder of the sweep.
    asked: of this command.

  Raises:
    OSError: if it cannot be written.
  """
  content = {"cells": dict(asked.names), "recipes": {name: one._asdict() for name, one in asked.recipes.items()}}
  text = json.dumps(content, indent=1, sort_keys=True) + "\n"
  file = out_dir / _FOLDER / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.json"
  if not file.is_file():
    with new_file(file) as temporary:
      temporary.write_text(text, encoding="utf-8")


def read_asked(out_dirs: Sequence[pathlib.Path]) -> Asked:
  """What sweeps into these folders were asked for; files that cannot be read tell nothing."""
  names: dict[str, str] = {}
  recipes: dict[str, AskedRecipe] = {}
  for out_dir in out_dirs:
    for file in sorted((out_dir / _FOLDER).glob("[0-9a-f]*.json")):
      try:
        _add(json.loads(file.read_text(encoding="utf-8")), names, recipes)
      except (OSError, ValueError, TypeError, KeyError, AttributeError):
        continue
  return Asked(names, recipes)


def _add(content: Any, names: dict[str, str], recipes: dict[str, AskedRecipe]) -> None:
  found = {
    name: AskedRecipe(tuple(one["cells"]), dict(one["settings"]), tuple(one["notes"]))
    for name, one in content["recipes"].items()
  }
  names.update(content["cells"])
  for name, one in found.items():
    before = recipes.get(name, AskedRecipe((), one.settings, one.notes))
    recipes[name] = AskedRecipe(
      tuple(dict.fromkeys((*before.cells, *one.cells))), {**before.settings, **one.settings},
      tuple(dict.fromkeys((*before.notes, *one.notes))),
    )
