"""Checkpoints of the training of a diffusion model, written by orbax.

Not imported with the package: orbax takes seconds to load and is needed for nothing else here.

A folder holds orbax's `state` and `checkpoint.json`, which names the network's structure and all other files with their
digests. Damage is looked for there first: some missing parts orbax would read as zeros.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp  # type: ignore[import-untyped]

from fedrecjax.datasets.digests import damage_in, folder_digests
from fedrecjax.datasets.errors import DataError
from fedrecjax.vision.ddpm import DdpmState, init_ddpm
from fedrecjax.vision.unet import UNetConfig

FORMAT = "fedrecjax-ddpm-1"
ABOUT = "checkpoint.json"
STATE = "state"


def _stored(state: DdpmState) -> DdpmState:
  """The state as it is stored: with the numbers of its key."""
  return state._replace(key=jax.random.key_data(state.key))


def _described(config: UNetConfig) -> dict[str, Any]:
  """The structure as JSON gives it back."""
  return dict(json.loads(json.dumps(dataclasses.asdict(config))))


def save_ddpm(folder: str | Path, state: DdpmState, config: UNetConfig) -> None:
  """Writes everything that training goes on from, under the name `FOLDER.partial` until it is complete.

  Args:
    folder: new folder of this checkpoint.
    state: the training's state.
    config: structure of its network.

  Raises:
    ValueError: if the folder is there already.
  """
  folder = Path(folder).absolute()
  if folder.exists():
    raise ValueError(f"{folder}: is there already; a checkpoint is written to a new folder")
  partial = folder.with_name(f"{folder.name}.partial")
  shutil.rmtree(partial, ignore_errors=True)
  with ocp.StandardCheckpointer() as checkpointer:
    checkpointer.save(partial / STATE, _stored(state))
  about = {"format": FORMAT, "config": _described(config), "files": folder_digests(partial)}
  (partial / ABOUT).write_text(json.dumps(about, indent=2) + "\n")
  partial.rename(folder)


def _checked(folder: Path, config: UNetConfig) -> None:
  """Raises DataError unless the folder is a complete checkpoint of such a network."""
  if not folder.is_dir():
    raise DataError(f"{folder}: no such folder")
  try:
    about = json.loads((folder / ABOUT).read_text())
    form, described, files = about["format"], about["config"], about["files"]
  except (OSError, ValueError, KeyError, TypeError):
    form = None
  if form != FORMAT:
    raise DataError(f"{folder}: no checkpoint of a diffusion model, or a damaged {ABOUT}")
  for field, value in _described(config).items():
    if described.get(field) != value:
      raise DataError(f"{folder}: its network has {field} {described.get(field)}, {value} is expected")
  damage = damage_in(folder, files)
  if damage is not None:
    raise DataError(f"{folder}: damaged, {damage}")


def restore_ddpm(folder: str | Path, config: UNetConfig) -> DdpmState:
  """Reads a checkpoint; training from it gives, bit for bit, what it would have given without the interruption.

  Args:
    folder: of the checkpoint.
    config: expected structure of the network.

  Returns:
    The state.

  Raises:
    DataError: if there is no checkpoint, it is another program's or another network's, or it is damaged.
  """
  folder = Path(folder).absolute()
  _checked(folder, config)
  place = jax.sharding.SingleDeviceSharding(jax.devices()[0])
  shapes = jax.eval_shape(lambda key: _stored(init_ddpm(config, key)), jax.random.key(0))
  expected = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place), shapes)
  with ocp.StandardCheckpointer() as checkpointer:
    stored = checkpointer.restore(folder / STATE, expected)
  return stored._replace(key=jax.random.wrap_key_data(stored.key))
