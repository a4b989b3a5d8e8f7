"""Tables of methods by name, and the configuration that a constructor's signature implies.

The signature of a constructor is the single place where a hyperparameter is declared: its name, type, default and
the line of its docstring become a field of a frozen dataclass, a command-line flag and a column of the results. One
that joins later is annotated `Annotated[type, IF_SET]`, so that configurations without it keep their hashes.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import types
import typing
from collections.abc import Callable
from typing import Any, Generic, Literal, TypeVar

from fedrecjax.methods.fields import IF_SET
from fedrecjax.methods.spelling import did_you_mean

T = TypeVar("T")
C = TypeVar("C", bound=Callable[..., Any])

_PLAIN_TYPES = (int, float, bool, str)


def _allowed(annotation: Any) -> bool:
  origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
  if origin is Literal:
    return all(isinstance(choice, str) for choice in arguments)
  if origin in (types.UnionType, typing.Union):
    return len(arguments) == 2 and type(None) in arguments and any(a in _PLAIN_TYPES for a in arguments)
  if origin is tuple:
    return arguments == (int, ...)
  return annotation in _PLAIN_TYPES


def described(docstring: str | None, section: str) -> dict[str, str]:
  """The entries of an Args or Attributes section of a Google-style docstring, by name.

  >>> described('''Summary.
  ...
  ... Args:
  ...   rate: step size,
  ...     in items.
  ... ''', "Args")
  {'rate': 'step size, in items.'}
  """
  match = re.search(rf"^{section}:\n((?:[ ].*\n?|\n)+)", inspect.cleandoc(docstring or ""), re.MULTILINE)
  entries: dict[str, str] = {}
  name = None
  for line in (match.group(1) if match else "").splitlines():
    start = re.match(r"^  (\w+): (.*)$", line)
    if start:
      name = start.group(1)
      entries[name] = start.group(2).strip()
    elif name and line.strip():
      entries[name] += " " + line.strip()
  return entries


def config_class(constructor: Callable[..., Any], name: str) -> type:
  """A frozen dataclass with one field per hyperparameter of `constructor`.

  Raises:
    TypeError: if a parameter is not keyword-only, has no default, no supported annotation or no description.
  """
  signature = inspect.signature(constructor)
  hints, marked = typing.get_type_hints(constructor), typing.get_type_hints(constructor, include_extras=True)
  help_texts = described(constructor.__doc__, "Args")
  fields = []
  for parameter in signature.parameters.values():
    where = f"parameter {parameter.name!r} of {name}"
    if parameter.kind is not inspect.Parameter.KEYWORD_ONLY or parameter.default is inspect.Parameter.empty:
      raise TypeError(f"{where} must be keyword-only and have a default")
    if not _allowed(hints.get(parameter.name)):
      raise TypeError(f"{where} needs one of the annotations int, float, bool, str, Literal of strings, "
                      "an optional of these, or tuple[int, ...]")
    if parameter.name not in help_texts:
      raise TypeError(f"{where} is not described in the Args section of its docstring")
    joined_later = IF_SET in getattr(marked[parameter.name], "__metadata__", ())
    metadata = {"help": help_texts[parameter.name], IF_SET: joined_later}
    fields.append((parameter.name, hints[parameter.name],
                   dataclasses.field(default=parameter.default, metadata=metadata)))
  made = dataclasses.make_dataclass(f"{name}_config", fields, frozen=True)
  made.__doc__ = inspect.cleandoc(constructor.__doc__ or "").split("\n")[0]
  return made


@dataclasses.dataclass(frozen=True)
class Method(Generic[T]):
  """One registered method.

  Attributes:
    name: as on the command line.
    constructor: makes the method from keyword arguments.
    config: frozen dataclass of the constructor's hyperparameters.
  """

  name: str
  constructor: Callable[..., T]
  config: type

  def build(self, config: Any) -> T:
    """The method with the hyperparameters of `config`, an instance of :attr:`config`."""
    return self.constructor(**{field.name: getattr(config, field.name) for field in dataclasses.fields(config)})


class Registry(Generic[T]):
  """Methods of one kind by name, in order of registration."""

  def __init__(self, kind: str):
    self.kind = kind
    self._methods: dict[str, Method[T]] = {}

  def register(self, constructor: C) -> C:
    """Adds a constructor under its own name; use it as a decorator.

    Raises:
      ValueError: if the name is taken.
      TypeError: if the signature cannot be turned into a configuration (see :func:`config_class`).
    """
    name = constructor.__name__.rstrip("_")
    if name in self._methods:
      raise ValueError(f"{self.kind} {name!r} is already registered")
    self._methods[name] = Method(name, constructor, config_class(constructor, name))
    return constructor

  def remove(self, name: str) -> None:
    """Takes a method out of the table, so that its name is free."""
    del self._methods[name]

  def names(self) -> list[str]:
    """All names, in order of registration."""
    return list(self._methods)

  def __getitem__(self, name: str) -> Method[T]:
    if name not in self._methods:
      meant = did_you_mean(name, self._methods)
      raise KeyError(f"unknown {self.kind} {name!r}; known: {', '.join(self._methods)}{meant}")
    return self._methods[name]
