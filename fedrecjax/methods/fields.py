"""Checks of a field's value against its annotation, with one line that names the field and what was expected."""

from __future__ import annotations

import math
import re
import types
import typing
from typing import Any, Literal

import jax
import numpy as np

IF_SET = "part of the hash if set"
"""Marks fields that joined later: at their defaults they change no hash, so that finished results are found.

In the metadata of a section's field; at a hyperparameter as `Annotated[type, IF_SET]`.
"""

_QUOTED = re.compile(r'"(?:[^"]|"")*"')
# One name of a list: in quotes up to a separator, or all up to it.
_NAME = re.compile(r'"(?:[^"]|"")*"(?=[+,]|$)|[^+,]*')


def choices(annotation: Any) -> tuple[str, ...]:
  """The values that a field can take, where its annotation lists them."""
  return typing.get_args(annotation) if typing.get_origin(annotation) is Literal else ()


def words_beside_numbers(annotation: Any) -> tuple[str, ...]:
  """The words that a field of integers takes too.

  >>> words_beside_numbers(int | Literal["all"]), words_beside_numbers(int)
  (('all',), ())
  """
  if typing.get_origin(annotation) not in (types.UnionType, typing.Union):
    return ()
  return tuple(word for one in typing.get_args(annotation) for word in choices(one))


def takes_numbers(annotation: Any) -> bool:
  """Whether a field is a float, or a float that may be absent."""
  return annotation is float or (is_optional(annotation) and float in typing.get_args(annotation))


def is_optional(annotation: Any) -> bool:
  """Whether a field may be None.

  >>> is_optional(float | None)
  True
  """
  return typing.get_origin(annotation) in (types.UnionType, typing.Union) and type(None) in typing.get_args(annotation)


def expected(annotation: Any) -> str:
  """What a field takes, in words.

  >>> expected(tuple[int, ...]), expected(float | None)
  ('integers joined with +', 'a finite number or none')
  """
  if choices(annotation):
    return "one of " + ", ".join(choices(annotation))
  if words_beside_numbers(annotation):
    return " or ".join(["an integer", *words_beside_numbers(annotation)])
  if is_optional(annotation):
    return expected(next(one for one in typing.get_args(annotation) if one is not type(None))) + " or none"
  words = {int: "an integer", float: "a finite number", bool: "true or false", str: "a text"}
  return words.get(annotation, f"{'names' if takes_names(annotation) else 'integers'} joined with +")


def takes_names(annotation: Any) -> bool:
  """Whether a field is a row of names, which may be whole numbers.

  >>> takes_names(tuple[int | str, ...]), takes_names(tuple[int, ...])
  (True, False)
  """
  return typing.get_origin(annotation) is tuple and str in typing.get_args(typing.get_args(annotation)[0])


def as_name(name: str) -> int | str:
  """A name as fields have it: a whole number where it is written as one.

  >>> as_name("7"), as_name("007"), as_name("-7")
  (7, '007', '-7')
  """
  return int(name) if re.fullmatch(r"0|[1-9][0-9]*", name) else name


def names_apart(text: str, separator: str) -> list[str]:
  """The parts of a text between separators, of which those within a quoted name are none; quotes stay.

  >>> names_apart('"a+b"+c,d', ","), names_apart('"a+b"+c', "+"), names_apart('7" single+c', "+")
  (['"a+b"+c', 'd'], ['"a+b"', 'c'], ['7" single', 'c'])
  """
  parts, start = [""], 0
  while True:
    name = _NAME.match(text, start)
    assert name is not None
    parts[-1] += name[0]
    start = name.end() + 1
    if name.end() == len(text):
      return parts
    if text[name.end()] == separator:
      parts.append("")
    else:
      parts[-1] += text[name.end()]


def name_of(text: str) -> int | str:
  """The name that a flag writes, in quotes or not; see :func:`written`.

  >>> name_of("7"), name_of('"a+b"'), name_of('"7"'), name_of('7" single')
  (7, 'a+b', 7, '7" single')
  """
  quoted = _QUOTED.fullmatch(text) is not None
  return as_name(text[1:-1].replace('""', '"') if quoted else text)


def written(name: int | str) -> str:
  """A name as a flag writes it: in quotes, doubled within it, where it would be taken for several.

  >>> written(7), written("007"), written("a+b"), written('say "a", b')
  ('7', '007', '"a+b"', '"say ""a"", b"')
  """
  text = str(name)
  ambiguous = "," in text or "+" in text or text.startswith('"')
  return '"' + text.replace('"', '""') + '"' if ambiguous else text


def as_declared(annotation: Any, value: Any) -> Any:
  """A value as its field has it, if it is one of another kind that means the same; else the value itself.

  NumPy's numbers become Python's, whole numbers given for others floats, and lists and arrays of whole numbers tuples.

  >>> as_declared(tuple[int, ...], [np.int64(5), 10]), as_declared(float | None, 1), as_declared(int, "1")
  ((5, 10), 1.0, '1')
  """
  if isinstance(value, (np.bool_, np.integer, np.floating)):
    value = value.item()
  if typing.get_origin(annotation) is tuple and (isinstance(value, (list, tuple)) or _is_row(value)):
    parts = tuple(as_declared(int, part) for part in value)
    named = takes_names(annotation)
    return tuple(as_name(part) if named and isinstance(part, str) else part for part in parts)
  if takes_numbers(annotation) and isinstance(value, int) and not isinstance(value, bool) and _is_finite(value):
    return float(value)
  return value


def _is_row(value: Any) -> bool:
  return isinstance(value, np.ndarray) and value.ndim == 1


def _is_finite(value: Any) -> bool:
  try:
    return math.isfinite(value)
  except OverflowError:
    # A whole number beyond all floats.
    return False


def fits(annotation: Any, value: Any) -> bool:
  """Whether a value can stand in a field; traced values fit any number."""
  if choices(annotation):
    return isinstance(value, str) and value in choices(annotation)
  if words_beside_numbers(annotation):
    return fits(int, value) or (isinstance(value, str) and value in words_beside_numbers(annotation))
  if is_optional(annotation):
    return value is None or fits(next(one for one in typing.get_args(annotation) if one is not type(None)), value)
  if annotation is float:
    if isinstance(value, jax.core.Tracer):
      return True
    return isinstance(value, (int, float, np.floating)) and not isinstance(value, bool) and _is_finite(value)
  if annotation is int:
    return isinstance(value, int) and not isinstance(value, bool)
  if annotation in (bool, str):
    return isinstance(value, annotation)
  if not isinstance(value, tuple):
    return False
  named = takes_names(annotation)
  return all(fits(int, part) or (named and isinstance(part, str) and part != "") for part in value)
