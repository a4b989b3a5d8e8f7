"""Numbers of 64 bits in a traced program, and the lines of code that make them."""

import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import jax

ROOT = str(pathlib.Path(__file__).parents[2])


def _equations(program: Any) -> Iterator[Any]:
  """All equations of a program, those of its branches and loops too."""
  for equation in getattr(program, "jaxpr", program).eqns:
    yield equation
    for value in jax.tree.leaves(list(equation.params.values()), is_leaf=lambda one: hasattr(one, "eqns")):
      if hasattr(value, "eqns"):
        yield from _equations(value)


def _line(equation: Any) -> str:
  """The innermost line of the project."""
  for frame in equation.source_info.traceback.frames:
    if frame.file_name.startswith(ROOT):
      return f"{frame.file_name.removeprefix(ROOT)}:{frame.line_num}"
  return "a function of JAX"


def wide_numbers(function: Callable[..., Any], *arguments: Any) -> list[str]:
  """Lines that compute with floats or unsigned integers of 64 bits, and results of 64 bits.

  Counters of loops and places within arrays may be signed integers of 64 bits, which change no result.
  """
  found = set()
  program, results = jax.make_jaxpr(function, return_shape=True)(*arguments)
  for equation in _equations(program):
    kinds = {str(getattr(result.aval, "dtype", "")) for result in equation.outvars}
    found |= {f"{_line(equation)} makes {kind}" for kind in kinds & {"float64", "uint64", "complex128"}}
  return sorted(found) + wide_leaves(results)


def wide_leaves(values: Any) -> list[str]:
  """Which leaves of a pytree are of 64 bits, or numbers of Python."""
  leaves = jax.tree_util.tree_leaves_with_path(values)
  kinds = ((path, str(getattr(leaf, "dtype", type(leaf).__name__))) for path, leaf in leaves)
  return [f"{jax.tree_util.keystr(path)} is {kind}" for path, kind in kinds if "64" in kind or kind in ("float", "int")]
