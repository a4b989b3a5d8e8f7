"""Traced numbers: which arguments become leaves, and how methods pass through jit."""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedrecjax.methods.hyperparameters import as_argument, check, traced


class Method(NamedTuple):
  """Two functions and a value that is none."""

  apply: object
  other: object = None
  size: int = 0


@traced
def example(
  *, factor: float = 2.0, bound: float | None = None, size: int = 3, rule: str = "plus"
) -> Method:
  """A method with numbers and structure."""
  check(factor > 0, f"example.factor must be positive, got {factor}")

  def apply(value):
    result = value * factor if rule == "times" else value + factor
    return result if bound is None else jnp.minimum(result, bound)

  return Method(apply, other=lambda: jnp.zeros(size), size=size)


def test_floats_are_leaves_and_all_else_is_structure():
  assert jax.tree.leaves(example(factor=5.0).apply) == [5.0]
  assert jax.tree.leaves(example(factor=5.0, bound=1.5).apply) == [1.5, 5.0]
  structure = jax.tree.structure(example().apply)
  assert jax.tree.structure(example(factor=9.0).apply) == structure
  for other in ({"size": 4}, {"rule": "times"}, {"bound": 1.0}):
    assert jax.tree.structure(example(**other).apply) != structure
  assert jax.tree.structure(example().other) != structure


@pytest.mark.parametrize(
  "spelling", [2, 2.0, np.float32(2), np.float64(2)], ids=["int", "float", "float32", "float64"]
)
def test_whole_numbers_are_numbers_too(spelling):
  assert jax.tree.structure(example(factor=spelling).apply) == jax.tree.structure(example().apply)
  assert float(example(factor=spelling).apply(1.0)) == 3.0


def test_changing_a_number_traces_nothing():
  chex.clear_trace_counter()

  @jax.jit
  @chex.assert_max_traces(n=1)
  def run(apply, value):
    return apply(value)

  assert [float(run(example(factor=factor).apply, 1.0)) for factor in (2.0, 3, 4.5)] == [
    3.0,
    4.0,
    5.5,
  ]
  with pytest.raises(AssertionError, match="traced > 1 times"):
    run(example(rule="times").apply, 4.0)
  assert float(jax.jit(example(rule="times").apply)(4.0)) == 8.0


def test_a_methods_function_can_be_jitted_itself():
  assert float(jax.jit(example(factor=3.0).apply)(1.0)) == 4.0


def test_a_number_can_be_differentiated_and_mapped():
  gradient = jax.grad(lambda factor: example(factor=factor, rule="times").apply(3.0))(2.0)
  assert float(gradient) == 3.0
  mapped = jax.vmap(lambda factor: example(factor=factor).apply(1.0))(jnp.array([1.0, 2.0]))
  assert mapped.tolist() == [2.0, 3.0]


def test_fields_that_are_no_functions_stay():
  assert example(size=7).size == 7
  assert example().apply is not None and Method(apply=None).other is None


def test_positional_arguments_and_unknown_ones_are_refused():
  with pytest.raises(TypeError):
    example(1.0)
  with pytest.raises(TypeError, match="speed"):
    example(speed=1.0)


def test_checks_speak_where_the_method_is_built():
  with pytest.raises(ValueError, match=r"example\.factor must be positive, got -1\.0"):
    example(factor=-1)


def test_as_argument():
  assert as_argument(None) is None
  bound = example().apply
  assert as_argument(bound) is bound

  def plain(value):
    return value + 1

  assert jax.tree.leaves(as_argument(plain)) == []
  assert as_argument(plain)(1) == 2
  assert jax.tree.structure(as_argument(plain)) == jax.tree.structure(as_argument(plain))
