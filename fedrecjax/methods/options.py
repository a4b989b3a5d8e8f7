"""Hyperparameters that several constructors have in common, declared once.

They stand in frozen dataclasses with keyword-only fields, which a method's own class derives from. Its constructor is
written as a function of one such object and called with the fields as keywords.
"""

from __future__ import annotations

import functools
import inspect
import textwrap
import typing
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from fedrecjax.methods.registry import described

P = ParamSpec("P")
Options = TypeVar("Options")
T = TypeVar("T")


def keywords_of(options: Callable[P, Options]) -> Callable[[Callable[[Options], T]], Callable[P, T]]:
  """Gives a constructor the fields of a dataclass for its keywords.

  Args:
    options: a frozen dataclass whose fields are keyword-only, have defaults and are described under "Attributes" of
      its docstring or of a class that it derives from; of several descriptions the most derived class's holds.

  Returns:
    A decorator for functions of one argument, an object of that class. The constructor has their fields in its
    signature, and their descriptions in its docstring under "Args".

  >>> import dataclasses
  >>> @dataclasses.dataclass(frozen=True, kw_only=True)
  ... class Options:
  ...   '''Hyperparameters.
  ...
  ...   Attributes:
  ...     size: of the thing.
  ...   '''
  ...   size: int = 2
  >>> @keywords_of(Options)
  ... def thing(options: Options) -> str:
  ...   '''A thing.
  ...
  ...   Returns:
  ...     Its name.
  ...   '''
  ...   return options.size * "o"
  >>> thing(size=3), inspect.signature(thing)
  ('ooo', <Signature (*, size: int = 2) -> str>)
  >>> described(thing.__doc__, "Args")
  {'size': 'of the thing.'}
  """

  def decorate(build: Callable[[Options], T]) -> Callable[P, T]:
    @functools.wraps(build)
    def constructor(*args: P.args, **kwargs: P.kwargs) -> T:
      return build(options(*args, **kwargs))

    hints = typing.get_type_hints(options, include_extras=True)
    returned = typing.get_type_hints(build)["return"]
    signature = inspect.signature(options)
    parameters = [one.replace(annotation=hints[one.name]) for one in signature.parameters.values()]
    constructor.__signature__ = signature.replace(  # type: ignore[attr-defined]
      parameters=parameters, return_annotation=returned
    )
    constructor.__annotations__ = {one.name: one.annotation for one in parameters} | {"return": returned}
    constructor.__doc__ = _with_arguments(inspect.cleandoc(build.__doc__ or ""), _descriptions(options))
    return constructor

  return decorate


def _descriptions(options: Any) -> dict[str, str]:
  """What the docstrings say of each field, in the order of the fields."""
  texts: dict[str, str] = {}
  for one in reversed(options.__mro__):
    texts |= described(one.__doc__, "Attributes")
  return {name: texts[name] for name in inspect.signature(options).parameters if name in texts}


def _with_arguments(docstring: str, texts: dict[str, str]) -> str:
  """The docstring with a section of arguments before what is returned."""
  entries = [
    textwrap.fill(f"{name}: {text}", 118, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False)
    for name, text in texts.items()
  ]
  before, heading, after = docstring.partition("\nReturns:")
  return "\n".join([before.rstrip(), "", "Args:", *entries, heading + after]).rstrip()
