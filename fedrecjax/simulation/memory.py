"""What a run needs at least, held against the memory there is before anything is allocated."""

from __future__ import annotations

import math
import os
import pathlib
from typing import Any, NamedTuple

import jax

from fedrecjax.config import ConfigError, TrainConfig
from fedrecjax.datasets import Dataset
from fedrecjax.methods.hyperparameters import Bound, remade
from fedrecjax.numerics.random import GENERATOR
from fedrecjax.simulation.contracts import checked
from fedrecjax.types import Model

_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
_NUMBER_BYTES = 4


class Need(NamedTuple):
  """Memory that a run cannot do without.

  Attributes:
    grows_with: values of the fields that it is a product of, by name.
    what: what is kept there, in words.
    size: bytes.
  """

  grows_with: dict[str, int]
  what: str
  size: int


def needs_of(dataset: Dataset, model: Model, train: TrainConfig) -> list[Need]:
  """What a run keeps in memory at least; everything else comes on top of it."""
  if model.project is not None:
    # How many features there are is told only once images have been seen; one is the least.
    model = remade(model, num_features=1)
  key = jax.random.key(0, impl=GENERATOR)
  init_public = checked("model", "init_public", model.init_public)
  public = jax.eval_shape(lambda key: init_public(key, dataset.num_items), key)
  private = jax.eval_shape(checked("model", "init_private", model.init_private), key)
  users, samples = dataset.num_users, len(dataset.train.items)
  rows = 1 + train.num_negatives
  size = users if train.clients_per_round == "all" else min(train.clients_per_round, users)
  uploads = samples * size // users * rows * public.items.shape[1] * _NUMBER_BYTES
  drawn, of_model = {"train.num_negatives": train.num_negatives}, _sizes_of(model, public.items.shape[1])
  return [
    Need({"train.epochs": train.epochs}, f"who takes part in which of {train.epochs:,} epochs",
         train.epochs * users * _NUMBER_BYTES),
    Need(of_model, f"the model's parameters for {dataset.num_items:,} items and {users:,} users",
         _bytes(public) + users * _bytes(private)),
    Need(drawn, f"the negatives of {samples:,} training pairs",
         samples * train.num_negatives * _NUMBER_BYTES if train.negatives == "once" else 0),
    Need({"train.clients_per_round": size} | drawn | of_model, f"what {size:,} clients upload in a round", uploads),
  ]


def check_memory(dataset: Dataset, model: Model, train: TrainConfig) -> None:
  """Checks that a run fits into memory at all.

  Raises:
    ConfigError: if what it needs at least does not, naming the largest number that what needs most is a product of.
  """
  needs, available = needs_of(dataset, model, train), memory()
  total = sum(need.size for need in needs)
  if total > available:
    most = max(needs, key=lambda need: need.size)
    field, value = max(most.grows_with.items(), key=lambda one: one[1])
    raise ConfigError(f"{field}={value} does not fit into memory: {most.what} take {in_gigabytes(most.size)}, the whole"
                      f" run {in_gigabytes(total)} at least, expected at most {in_gigabytes(available)}")


def check_program(work: str, program: Any) -> None:
  """Checks that a compiled program can be run, which is known before it is.

  Args:
    work: what it does, for messages.
    program: compiled.

  Raises:
    ConfigError: if its arguments and what it works on do not fit into memory.
  """
  analysis = program.memory_analysis()
  if analysis is None:
    return
  size, available = analysis.argument_size_in_bytes + analysis.temp_size_in_bytes, memory()
  if size > available:
    raise ConfigError(f"{work} does not fit into memory: its program works on {in_gigabytes(size)}, expected at most"
                      f" {in_gigabytes(available)}; what decides it is train.clients_per_round and the sizes among the"
                      " fields of model, attack and defense")


def memory() -> int:
  """Bytes of the device that programs run on; of this machine, or what it allows this process, for CPUs."""
  told = jax.devices()[0].memory_stats() or {}
  if "bytes_limit" in told:
    return int(told["bytes_limit"])
  limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
  for file in map(pathlib.Path, _LIMITS):
    text = file.read_text().strip() if file.is_file() else ""
    limits += [int(text)] if text.isdecimal() else []
  return min(limits)


def in_gigabytes(size: int) -> str:
  """A number of bytes for people.

  >>> in_gigabytes(1_500_000_000)
  '1.5 GB'
  """
  return f"{size / 1e9:,.1f} GB"


def _bytes(tree: Any) -> int:
  return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def _sizes_of(model: Model, dim: int) -> dict[str, int]:
  """The hyperparameters that are whole numbers, by dotted name; of a model without a constructor its embedding size."""
  if not isinstance(model.init_public, Bound):
    return {"the model's embedding size": dim}
  owner = model.init_public.constructor.__name__
  given = {f"{owner}.{name}": value for name, value in model.init_public.static.items()}
  several = {name: max(value, default=0) for name, value in given.items() if isinstance(value, tuple)}
  return several | {
    name: value for name, value in given.items() if isinstance(value, int) and not isinstance(value, bool)
  }
