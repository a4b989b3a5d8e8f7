"""Methods whose numbers are traced: changing a learning rate, a weight or a bound does not recompile.

A constructor decorated with :func:`traced` still returns its NamedTuple of functions, but each function is a
:class:`Bound`: a pytree whose leaves are the numbers the constructor was given and whose structure is everything
else (sizes, names of rules). Such a method can be passed to a jitted function like any other argument.
"""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import jax
import numpy as np

from fedrecjax.methods.fields import as_declared, expected, fits

P = ParamSpec("P")
T = TypeVar("T", bound=tuple)


def _converted(annotation: Any, value: Any, name: str) -> Any:
  """The value as the annotation has it, if it is not traced."""
  if typing.get_origin(annotation) is tuple and typing.get_args(annotation) != (int, ...):
    return value
  if isinstance(value, jax.Array):
    return value
  value = as_declared(annotation, value)
  if not fits(annotation, value):
    raise ValueError(f"{name} must be {expected(annotation)}, got {value!r}")
  return value


def _holds_numbers(value: Any) -> bool:
  """Whether an argument is a number, or a tuple of other methods' functions (the parts of a chain)."""
  if isinstance(value, tuple):
    return any(_holds_numbers(part) or isinstance(part, (Bound, jax.tree_util.Partial)) for part in value)
  return isinstance(value, (float, np.floating, jax.Array))


def _as_leaves(value: Any) -> Any:
  """Numbers in float32; arrays, and the functions of a chain with numbers of their own, are as they are."""

  def converted(one: Any) -> Any:
    return np.float32(one) if isinstance(one, (float, np.floating)) else one

  return jax.tree.map(converted, value, is_leaf=lambda one: isinstance(one, Bound))


@jax.tree_util.register_pytree_node_class
class Bound:
  """One function of a method, together with how the method was made.

  Calling it builds the method again with the numbers of the moment, which inside a jitted function are tracers,
  and calls the function of that name.
  """

  __slots__ = ("__weakref__", "constructor", "field", "numbers", "static")

  def __init__(self, constructor: Callable[..., Any], field: str, static: dict[str, Any], numbers: dict[str, Any]):
    self.constructor = constructor
    self.field = field
    self.static = static
    self.numbers = numbers

  def __call__(self, *args: Any) -> Any:
    """Calls the function; arguments and result are its own."""
    return getattr(self.constructor(**self.static, **self.numbers), self.field)(*args)

  def __repr__(self) -> str:
    return f"Bound({self.constructor.__name__}.{self.field})"

  def tree_flatten(self) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """The numbers are the leaves, in float32: those of Python would be float64 where `jax_enable_x64` is set."""
    names = tuple(sorted(self.numbers))
    static = tuple(sorted(self.static.items()))
    return tuple(_as_leaves(self.numbers[name]) for name in names), (self.constructor, self.field, static, names)

  @classmethod
  def tree_unflatten(cls, structure: tuple[Any, ...], leaves: tuple[Any, ...]) -> Bound:
    """Inverse of :meth:`tree_flatten`."""
    constructor, field, static, names = structure
    return cls(constructor, field, dict(static), dict(zip(names, leaves, strict=True)))


def traced(constructor: Callable[P, T]) -> Callable[P, T]:
  """Makes the numbers of a constructor's methods traced leaves.

  Args:
    constructor: a function with keyword-only hyperparameters that returns a NamedTuple of functions. Arguments that
      are floats or arrays become leaves, methods (such as the defences given to a chain) keep their own leaves,
      and everything else must be hashable and is structure.

  Returns:
    A function of the same signature; the functions in what it returns are :class:`Bound`.

  >>> from fedrecjax.attacks import pieck_uea
  >>> jax.tree.leaves(pieck_uea(scale=2.0).poison)
  [np.float32(2.0)]
  """

  @functools.wraps(constructor)
  def make(*args: P.args, **kwargs: P.kwargs) -> T:
    bound_arguments = inspect.signature(constructor).bind(*args, **kwargs)
    bound_arguments.apply_defaults()
    hints = typing.get_type_hints(constructor)
    arguments = {
      name: _converted(hints[name], value, f"{constructor.__name__}.{name}")
      for name, value in bound_arguments.arguments.items()
    }
    numbers = {name: value for name, value in arguments.items() if _holds_numbers(value)}
    static = {name: value for name, value in arguments.items() if name not in numbers}
    method = constructor(**arguments)  # type: ignore[call-arg]
    functions = {
      field: Bound(constructor, field, static, numbers)
      for field, value in method._asdict().items()  # type: ignore[attr-defined]
      if callable(value)
    }
    return method._replace(**functions)  # type: ignore[attr-defined]

  return make


def _bound(method: tuple[Any, ...]) -> Bound:
  """Any function of a method made by a constructor with :func:`traced`."""
  return next(value for value in method if isinstance(value, Bound))


def constructor_name(method: tuple[Any, ...]) -> str:
  """The name of the constructor that made a method."""
  return _bound(method).constructor.__name__


def owner_name(function: Callable[..., Any]) -> str:
  """The name of the method that a function belongs to: its constructor's, or for a function made by hand its own.

  >>> from fedrecjax.attacks import pieck_uea
  >>> owner_name(pieck_uea().poison), owner_name(jax.tree_util.Partial(max))
  ('pieck_uea', 'max')
  """
  if isinstance(function, Bound):
    return function.constructor.__name__.rstrip("_")
  return getattr(function, "func", function).__qualname__.partition(".")[0]


def method_name(method: tuple[Any, ...]) -> str | None:
  """The name of a method for people; of one made of others theirs, joined by +, and None without any name.

  >>> from fedrecjax import chain, defenses
  >>> method_name(chain(defenses.norm_bound(), defenses.median()))
  'norm_bound+median'
  """
  bound = next((function for function in method if isinstance(function, Bound)), None)
  if bound is None:
    return None
  arguments = [value for value in bound.numbers.values() if isinstance(value, tuple)]
  parts = [part for value in arguments for part in value if isinstance(part, tuple)]
  if parts:
    return "+".join(filter(None, map(method_name, parts))) or None
  return bound.constructor.__name__.rstrip("_")


def hyperparameter(method: tuple[Any, ...], name: str) -> Any:
  """A hyperparameter that a method was made with.

  >>> from fedrecjax.attacks import pieck_uea
  >>> constructor_name(pieck_uea()), hyperparameter(pieck_uea(num_popular=20), "num_popular")
  ('pieck_uea', 20)
  """
  bound = _bound(method)
  return {**bound.static, **bound.numbers}[name]


def remade(method: T, **changes: Any) -> T:
  """The same method with other hyperparameters.

  Args:
    method: made by a constructor with :func:`traced`.
    **changes: of its hyperparameters.

  >>> from fedrecjax.attacks import pieck_uea
  >>> jax.tree.leaves(remade(pieck_uea(num_popular=20), scale=2.0).poison)
  [np.float32(2.0)]
  """
  bound = _bound(method)
  return traced(bound.constructor)(**{**bound.static, **bound.numbers, **changes})


def as_argument(function: Callable[..., Any] | None) -> Any:
  """A method's function in a form that a jitted function takes as an argument; None stays None.

  A plain function becomes part of the structure, compared by identity: its numbers are then compiled in.
  """
  if function is None or isinstance(function, Bound):
    return function
  return jax.tree_util.Partial(function)


def as_arguments(method: Any) -> Any:
  """A NamedTuple of functions as an argument of a jitted function; what is no function becomes None."""
  return type(method)(*(as_argument(function) if callable(function) else None for function in method))


def check(condition: Any, message: str) -> None:
  """Raises ValueError with `message` unless `condition` holds; says nothing about traced values.

  Hyperparameters are checked where a method is built from concrete numbers; inside a jitted function the same
  constructor sees tracers, whose values were checked before.
  """
  if isinstance(condition, jax.core.Tracer):
    return
  if not condition:
    raise ValueError(message)
