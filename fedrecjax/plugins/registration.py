"""One decorator that gives an attack, a defence, a model or a data set of one's own a name everywhere."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from typing import Any, TypeVar

from fedrecjax.config import REGISTRIES, SECTIONS, ConfigError, owners
from fedrecjax.datasets import OWN_SETS, Interactions, dataset_names
from fedrecjax.methods.registry import Registry
from fedrecjax.types import Attack, Defense, Model

C = TypeVar("C", bound=Callable[..., Any])

TABLES: dict[str, Registry[Any]] = {**REGISTRIES, "dataset": OWN_SETS}
"""What can be registered, by kind."""
_KINDS: dict[Any, str] = {Attack: "attack", Defense: "defense", Model: "model", Interactions: "dataset"}
_NOTEBOOK = "__main__"


class PluginError(ConfigError):
  """A plugin cannot be used; the message is one line that names it and, of a mistake in it, its file and line."""


def register(constructor: C) -> C:
  """Gives a constructor its name on command lines and in configurations; use it as a decorator.

  Its hyperparameters become flags and fields, as those of this package's methods: keyword-only, with a default, a type
  and a line in the Args section of the docstring.

  Args:
    constructor: a function that says what it returns: `-> fedrecjax.Attack`, `Defense` or `Model`, or of a data set
      `-> fedrecjax.Interactions`, and then it has no hyperparameters. Put it above :func:`fedrecjax.traced`.

  Returns:
    The constructor.

  Raises:
    PluginError: if the name is taken, or the constructor is not as said above.

  >>> import fedrecjax as frj
  >>> @frj.register
  ... @frj.traced
  ... def quiet(*, level: float = 0.0) -> frj.Attack:
  ...   '''Uploads nothing.
  ...
  ...   Args:
  ...     level: of the noise that is not made.
  ...   '''
  ...   return frj.Attack()
  >>> frj.from_flat({"attack": "quiet", "quiet.level": 2}).flat()["quiet.level"]
  2.0
  >>> TABLES["attack"].remove("quiet")
  """
  name, kind = constructor.__name__.rstrip("_"), kind_of(constructor)
  table = TABLES[kind]
  if name in table.names() and _is_itself(table[name].constructor, constructor):
    # A cell of a notebook that is run again.
    table.remove(name)
  _check_free(name)
  if kind == "dataset" and inspect.signature(constructor).parameters:
    raise PluginError(f"{name} has hyperparameters, and a data set has none; make a function for each of several sets")
  try:
    return table.register(constructor)
  except TypeError as error:
    raise PluginError(str(error)) from error


def kind_of(constructor: Callable[..., Any]) -> str:
  """What a constructor makes: one of the keys of `TABLES`.

  Raises:
    PluginError: if it does not say so.
  """
  made = typing.get_type_hints(constructor).get("return")
  if made not in _KINDS:
    kinds = ", ".join(kind.__name__ for kind in _KINDS)
    raise PluginError(f"{constructor.__name__} must say what it makes, -> fedrecjax.NAME with one of {kinds}")
  return _KINDS[made]


def _is_itself(former: Callable[..., Any], constructor: Callable[..., Any]) -> bool:
  return former.__module__ == constructor.__module__ == _NOTEBOOK


def _check_free(name: str) -> None:
  """Names are flags' owners too, so that those of all kinds and sections must differ."""
  taken = {section: "a section of the configuration" for section in (*SECTIONS, *owners())}
  taken |= {one: f"a data set, {one}" for one in dataset_names()}
  taken |= {one: f"the {kind} {one}" for kind, table in REGISTRIES.items() for one in table.names()}
  if name in taken:
    raise PluginError(f"the name {name} is taken by {taken[name]}; rename the function")
