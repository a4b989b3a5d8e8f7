"""The files of checkpoints: written by orbax, sealed by digests, the last two kept, and damage named.

A folder holds one subfolder for each checkpoint, named by the epochs that are done: orbax's `state`, with all arrays,
and `checkpoint.json`, with what tells the run apart and the digests of everything. Orbax takes seconds to load and is
imported where the first checkpoint is written or read.
"""

from __future__ import annotations

import hashlib
import json
import pathlib
import shutil
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from fedrecjax.config import ConfigError
from fedrecjax.datasets.digests import damage_in, folder_digests
from fedrecjax.simulation.identity import difference

FORMAT = "fedrecjax-run-1"
ABOUT, STATE = "checkpoint.json", "state"
KEPT = 2
_PARTIAL = "partial"


class OtherRunError(ConfigError):
  """A checkpoint is of another run; the message says what tells them apart."""


class Found(NamedTuple):
  """What was found in a folder of checkpoints.

  Attributes:
    arrays: of the newest checkpoint that is whole, by name; None if there is none.
    lines: what was said while they were written.
    damage: one line on those that are damaged, and what was taken instead; None if none is.
  """

  arrays: dict[str, np.ndarray] | None
  lines: tuple[str, ...] = ()
  damage: str | None = None


class _Damaged(Exception):
  """A checkpoint is not what was written; the message says how."""


def checkpoints_in(folder: pathlib.Path) -> list[pathlib.Path]:
  """The checkpoints of a folder, the newest first."""
  if not folder.is_dir():
    return []
  named = [one for one in folder.iterdir() if one.name.isdecimal() and one.is_dir()]
  return sorted(named, key=lambda one: int(one.name), reverse=True)


def write_checkpoint(
  folder: pathlib.Path, epochs: int, arrays: Mapping[str, np.ndarray], *, identity: Mapping[str, Any],
  lines: tuple[str, ...] = (),
) -> None:
  """Writes a checkpoint, which is whole or absent at any moment, and removes all but the last two.

  Args:
    folder: of the run's checkpoints.
    epochs: that are done.
    arrays: by name, on the host.
    identity: of the run, from :func:`fedrecjax.simulation.identity.identity_of`.
    lines: what was said about the run so far.

  Raises:
    OSError, ValueError: if it cannot be written.
  """
  folder.mkdir(parents=True, exist_ok=True)
  partial, place = folder / _PARTIAL, folder / f"{epochs:08d}"
  shutil.rmtree(partial, ignore_errors=True)
  # Orbax refuses arrays without elements.
  empty = {name: [str(array.dtype), array.shape] for name, array in arrays.items() if array.size == 0}
  with _checkpointer() as checkpointer:
    checkpointer.save(
      partial.absolute() / STATE, {name: array for name, array in arrays.items() if array.size > 0}
    )
  about = {"format": FORMAT, "identity": identity, "empty": empty, "lines": lines, "files": folder_digests(partial)}
  (partial / ABOUT).write_text(json.dumps(about | {"seal": _seal(about)}, indent=2) + "\n")
  shutil.rmtree(place, ignore_errors=True)
  partial.rename(place)
  for old in checkpoints_in(folder)[KEPT:]:
    shutil.rmtree(old, ignore_errors=True)


def find_checkpoint(folder: pathlib.Path, identity: Mapping[str, Any]) -> Found:
  """The newest checkpoint of a run that is whole; damaged ones are removed.

  Args:
    folder: of the run's checkpoints; need not be there.
    identity: of the run.

  Raises:
    OtherRunError: if a checkpoint is of another run.
  """
  shutil.rmtree(folder / _PARTIAL, ignore_errors=True)
  damaged = []
  for place in checkpoints_in(folder):
    try:
      about = _about(place)
      _check_run(place, about, identity)
      damage = damage_in(place, about["files"])
      if damage is not None:
        raise _Damaged(damage)
      arrays = _read(place, about)
    except _Damaged as error:
      damaged.append(f"checkpoint {place} is damaged, {error}")
      shutil.rmtree(place, ignore_errors=True)
    else:
      taken = f"the one before, after epoch {int(place.name)}, was taken"
      return Found(arrays, tuple(about["lines"]), "; ".join([*damaged, taken]) if damaged else None)
  return Found(None, (), "; ".join([*damaged, "the run started anew"]) if damaged else None)


def _checkpointer() -> Any:
  import orbax.checkpoint as ocp  # type: ignore[import-untyped]

  return ocp.StandardCheckpointer()


def _seal(about: Mapping[str, Any]) -> str:
  """The digest of what a checkpoint says of itself."""
  return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()


def _about(place: pathlib.Path) -> dict[str, Any]:
  """What a checkpoint says of itself."""
  try:
    about = json.loads((place / ABOUT).read_text())
    seal = about.pop("seal")
  except FileNotFoundError as error:
    raise _Damaged(f"{ABOUT} is missing") from error
  except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
    raise _Damaged(f"{ABOUT} cannot be read") from error
  if seal != _seal(about):
    raise _Damaged(f"{ABOUT} is not what was written")
  return dict(about)


def _check_run(place: pathlib.Path, about: Mapping[str, Any], identity: Mapping[str, Any]) -> None:
  other = difference(about["identity"], identity) if about["format"] == FORMAT else f"its form is {about['format']}"
  if other is not None:
    raise OtherRunError(f"checkpoint {place} is of another run: {other}")


def _read(place: pathlib.Path, about: Mapping[str, Any]) -> dict[str, np.ndarray]:
  with _checkpointer() as checkpointer:
    stored = checkpointer.restore(place.absolute() / STATE)
  empty = {name: np.empty(shape, dtype) for name, (dtype, shape) in about["empty"].items()}
  return {**stored, **empty}
