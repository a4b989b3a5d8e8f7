"""Checks of a field's value against its annotation, with one line that names the field and what was expected."""

from __future__ import annotations

import math
import types
import typing
from typing import Any, Literal

import jax
import numpy as np


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
  return words.get(annotation, "integers joined with +")


def fits(annotation: Any, value: Any) -> bool:
  """Whether a value can stand in a field; traced values fit any number."""
  if choices(annotation):
    return value in choices(annotation)
  if words_beside_numbers(annotation):
    return fits(int, value) or (isinstance(value, str) and value in words_beside_numbers(annotation))
  if is_optional(annotation):
    return value is None or fits(next(one for one in typing.get_args(annotation) if one is not type(None)), value)
  if annotation is float:
    if isinstance(value, jax.core.Tracer):
      return True
    return isinstance(value, (int, float, np.floating)) and not isinstance(value, bool) and math.isfinite(value)
  if annotation is int:
    return isinstance(value, int) and not isinstance(value, bool)
  if annotation in (bool, str):
    return isinstance(value, annotation)
  return isinstance(value, tuple) and all(fits(int, part) for part in value)
