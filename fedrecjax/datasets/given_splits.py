"""The files of a split that somebody else made: which belong together, and which part each of them is."""

from __future__ import annotations

import pathlib
import re
from typing import NamedTuple

from fedrecjax.datasets.errors import DataError
from fedrecjax.datasets.sources import PACKED, plain_name

MARKS = ("train", "test", "validation")
_WORDS = {
  "train": 0, "training": 0, "base": 0, "test": 1, "testing": 1, "valid": 2, "validation": 2, "val": 2, "dev": 2,
}
_PATTERN = re.compile(r"(?i)(?<![a-z0-9])(train|training|test|testing|valid|validation|val|dev)(?![a-z0-9])")
_PARTS = 3


class Part(NamedTuple):
  """One file of a data set.

  Attributes:
    path: the file.
    mark: the part of a split that it is, 0 train, 1 test, 2 validation; None if it is the whole set.
  """

  path: pathlib.Path
  mark: int | None


def parts_of(path: pathlib.Path) -> tuple[Part, ...]:
  """The file with those beside it that are other parts of the same split.

  `x.train.inter` belongs with `x.test.inter` and `x.valid.inter`, `train.csv` with `test.csv`, `u1.base` with
  `u1.test`, packed or not. A file alone is a whole set, whatever its name.

  Args:
    path: any of them.

  Raises:
    DataError: if two files may be the same part, or there is one for validation and none to test.
  """
  found = _siblings(path)
  if 0 not in found or not path.is_file():
    return (Part(path, None),)
  if 1 not in found:
    if 2 in found:
      raise DataError(
        f"{found[0]}: {found[2].name} stands beside it, and no test file; {found[0]}:{found[2]} holds it out, and a"
        " copy in another folder is read alone"
      )
    return (Part(path, None),)
  return tuple(Part(found[mark], mark) for mark in (0, 2, 1) if mark in found)


def named_parts(text: str) -> tuple[Part, ...] | None:
  """The files of `TRAIN:TEST` or `TRAIN:VALIDATION:TEST`.

  Returns:
    None if the text is not of this form: a path that exists is itself.

  >>> [part.mark for part in named_parts("train.csv:test.csv")], named_parts("train.csv")
  ([0, 1], None)
  """
  if ":" not in text or pathlib.Path(text).exists():
    return None
  paths = [pathlib.Path(part) for part in text.split(":")]
  if not all(part.name for part in paths) or len(paths) > _PARTS:
    return None
  marks = (0, 1) if len(paths) == 2 else (0, 2, 1)
  return tuple(Part(one, mark) for one, mark in zip(paths, marks, strict=True))


def training_files(folder: pathlib.Path) -> list[pathlib.Path]:
  """The training files of a folder that have a test file beside them."""
  return [
    file for file in sorted(folder.iterdir())
    if file.is_file() and _mark_of(file) == 0 and len(parts_of(file)) > 1
  ]


def _mark_of(path: pathlib.Path) -> int | None:
  name = plain_name(path)
  if pathlib.PurePath(name).suffix == ".base":
    return 0
  match = _PATTERN.search(name)
  return None if match is None else _WORDS[match[1].lower()]


def _siblings(path: pathlib.Path) -> dict[int, pathlib.Path]:
  """The files that differ from this one in the word for the part alone, by the part."""
  name = plain_name(path)
  suffix = pathlib.PurePath(name).suffix
  if suffix in (".base", ".test"):
    stem = name.removesuffix(suffix)
    ways = {0: [stem + ".base"], 1: [stem + ".test"]}
  else:
    match = _PATTERN.search(name)
    if match is None:
      return {}
    before, after = name[: match.start()], name[match.end() :]
    ways = {mark: [before + word + after for word, of in _WORDS.items() if of == mark] for mark in range(_PARTS)}
  found = {}
  for mark, names in ways.items():
    there = [file for one in dict.fromkeys(names) for file in _plain_or_packed(path.with_name(one))]
    if path in there:
      there = [path]
    if len(there) > 1:
      raise DataError(f"{path}: {there[0].name} and {there[1].name} may each be the {MARKS[mark]} file of one split")
    if there:
      found[mark] = there[0]
  return found


def _plain_or_packed(path: pathlib.Path) -> list[pathlib.Path]:
  """The file, or the same one packed."""
  candidates = [path, *(path.with_name(path.name + suffix) for suffix in PACKED)]
  return next(([one] for one in candidates if one.is_file()), [])
