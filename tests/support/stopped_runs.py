"""Runs on the small data set with and without checkpoints, and what they return as bytes."""

import pathlib
import shutil
from typing import Any

import jax
import numpy as np

from fedrecjax.config import from_flat
from fedrecjax.datasets import Dataset
from fedrecjax.simulation.checkpoints import Checkpoints, StoppedError
from fedrecjax.simulation.results import Result
from fedrecjax.simulation.runner import simulate_config

EPOCHS = 6
SETTINGS = {
  "train.epochs": EPOCHS, "train.clients_per_round": 5, "train.learning_rate": 0.1, "eval.every": 4, "eval.ks": (5,),
  "mf.dim": 4, "attacker.malicious_ratio": 0.25, "attacker.own_items": 6,
}


def configured(**changes: Any):
  """The configuration of a short run; underscores in pairs stand for the point in a field's name."""
  fields = SETTINGS | {name.replace("__", "."): value for name, value in changes.items()}
  if fields.get("model", "mf") != "mf":
    fields.pop("mf.dim", None)
  return from_flat(fields)


def ran(small: Dataset, changes: dict[str, Any], **options: Any) -> Result:
  """A short run."""
  return simulate_config(configured(**changes), small, **options)


def stopped(small: Dataset, changes: dict[str, Any], folder: pathlib.Path, *, every: int, pieces: int) -> None:
  """A run that is asked to stop after some pieces of training."""
  asked = iter(range(1, 1000))
  checkpoints = Checkpoints(folder, every, lambda: next(asked) >= pieces)
  try:
    ran(small, changes, checkpoints=checkpoints)
  except StoppedError:
    return
  raise AssertionError("the run came to its end")


def as_bytes(result: Result) -> dict[str, bytes]:
  """Everything that a run returns but for times, by name."""

  def raw(leaf: Any) -> bytes:
    is_key = isinstance(leaf, jax.Array) and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    array = np.asarray(jax.random.key_data(leaf) if is_key else leaf)
    return f"{array.dtype} {array.shape} ".encode() + array.tobytes()

  found = {f"state{jax.tree_util.keystr(path)}": raw(leaf)
           for path, leaf in jax.tree_util.tree_leaves_with_path((result.state, result.pictures))}
  for owner in ("metrics", "per_user", "detection", "stealth", "images", "told", "after_uploads"):
    columns = getattr(result, owner) or {}
    found |= {f"{owner} {name}": raw(column) for name, column in columns.items() if name != "wall_s"}
  return found | {"warnings": "\n".join(result.warnings).encode()}


def assert_same_bits(result: Result, undisturbed: Result) -> None:
  """Fails with the names of what differs."""
  found, wanted = as_bytes(result), as_bytes(undisturbed)
  assert found.keys() == wanted.keys()
  assert [name for name in wanted if found[name] != wanted[name]] == []


def only(folder: pathlib.Path, epochs: int, target: pathlib.Path) -> pathlib.Path:
  """A folder with one of another's checkpoints, as if a run had been killed after that."""
  shutil.copytree(folder / f"{epochs:08d}", target / f"{epochs:08d}")
  return target
