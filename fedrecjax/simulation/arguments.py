"""What a run is given, checked before anything is planned: one line names the argument and what was expected."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from fedrecjax.config import REGISTRIES, AttackerConfig, ConfigError, EvalConfig, RunConfig, TrainConfig
from fedrecjax.datasets import Dataset, Interactions
from fedrecjax.types import Attack, Defense, Model
from fedrecjax.vision.visuals import Visuals

# JAX makes keys of 32 bits: larger seeds would silently mean the same as smaller ones.
MOST_SEEDS = 2**32

Listener = Callable[[dict[str, float]], None]


class Listeners(NamedTuple):
  """Who is told how a run goes on.

  Attributes:
    progress: of the number of epochs done, about every ten evaluation points.
    on_evaluation: of the metrics of each evaluation point, by name.
  """

  progress: Callable[[int], None] | None
  on_evaluation: Listener | None


_TYPES: dict[str, type] = {
  "config": RunConfig, "dataset": Dataset, "model": Model, "attack": Attack, "defense": Defense, "train": TrainConfig,
  "attacker": AttackerConfig, "evaluation": EvalConfig, "visuals": Visuals, "debug": bool,
}
_OTHER: dict[str, tuple[Callable[[Any], bool], str]] = {
  "progress": (callable, "a function"),
  "on_evaluation": (callable, "a function"),
  "checkpoint_dir": (lambda value: isinstance(value, (str, os.PathLike)), "the path of a folder"),
  "checkpoint_every": (lambda value: type(value) is int and value > 0, "a number of epochs of at least 1"),
}


def check_arguments(**given: Any) -> None:
  """Checks arguments of :func:`fedrecjax.simulate` by name; those that may be left out may be None.

  Raises:
    ConfigError: naming the first that is of another type than agreed, what was given, and how to make the right one.
  """
  for name, value in given.items():
    if value is None and name not in ("config", "dataset", "model"):
      continue
    if name in _OTHER:
      fits, words = _OTHER[name]
      expected = None if fits(value) else words
    else:
      expected = None if isinstance(value, _TYPES[name]) else _with_article(_TYPES[name].__name__)
    if expected is not None:
      raise ConfigError(f"{name} must be {expected}, got {_described(value)}{_remedy(name, value)}")


def checked_seed(seed: Any) -> int:
  """A seed as a plain integer.

  Raises:
    ConfigError: unless it is an integer of at least 0 and below 2^32.

  >>> checked_seed(np.int64(7))
  7
  """
  plain = seed.item() if isinstance(seed, np.integer) else seed
  if not isinstance(plain, int) or isinstance(plain, bool) or not 0 <= plain < MOST_SEEDS:
    raise ConfigError(f"seed must be an integer of at least 0 and below 2^32, got {seed!r}")
  return plain


def _with_article(name: str) -> str:
  return f"{'an' if name[0] in 'AEIOUaeiou' else 'a'} {name}"


def _described(value: Any) -> str:
  if value is None or isinstance(value, (str, int, float)):
    return repr(value)
  if isinstance(value, type):
    return f"the class {value.__name__}"
  if inspect.isroutine(value):
    return f"the function {value.__name__}"
  return _with_article(type(value).__name__)


def _remedy(argument: str, value: Any) -> str:
  """How the right thing is made of what was given, where that can be told."""
  if argument in REGISTRIES:
    if isinstance(value, str) and value in REGISTRIES[argument].names():
      return f"; fedrecjax.{argument}s.{value}() makes one"
    if inspect.isroutine(value):
      return f"; call it, {value.__name__}(), to make one"
    if argument == "defense" and isinstance(value, list):
      return "; fedrecjax.chain(*defenses) makes one of several"
    other = next((one for one in REGISTRIES if isinstance(value, _TYPES[one])), None)
    return "" if other is None else f"; it goes in {other}="
  if argument == "dataset" and isinstance(value, Interactions):
    return "; fedrecjax.datasets.split makes one of interactions"
  if argument == "dataset" and isinstance(value, str):
    return "; fedrecjax.load makes one of a name or a path"
  if isinstance(value, dict):
    return f"; {_TYPES[argument].__name__}(**fields) makes one" if argument in _TYPES else ""
  return ""
