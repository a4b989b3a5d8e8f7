"""Constructors whose keywords are the fields of a dataclass."""

import dataclasses
import inspect
from typing import Literal, NamedTuple

import jax
import pytest

from fedrecjax.attacks import psmu_pp
from fedrecjax.methods.hyperparameters import hyperparameter, traced
from fedrecjax.methods.options import keywords_of
from fedrecjax.methods.registry import Registry, described


class Method(NamedTuple):
  """A function."""

  apply: object


@dataclasses.dataclass(frozen=True, kw_only=True)
class Common:
  """Hyperparameters of several methods.

  Attributes:
    factor: of the value; a text that is long enough to need more than one line in a docstring of a hundred and twenty
      characters a line.
    rule: what is done with it.
  """

  factor: float = 2.0
  rule: Literal["times", "plus"] = "times"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Own(Common):
  """Hyperparameters of one method.

  Attributes:
    rule: added by this one.
    size: of something.
  """

  rule: Literal["times", "plus"] = "plus"
  size: int | None = None


@traced
@keywords_of(Own)
def example(options: Own) -> Method:
  """A method.

  Returns:
    A function of one value.
  """
  return Method(lambda value: value * options.factor if options.rule == "times" else value + options.factor)


def test_fields_are_keywords():
  assert float(example().apply(1.0)) == 3.0
  assert float(example(rule="times", factor=5.0).apply(2.0)) == 10.0
  assert hyperparameter(example(size=4), "size") == 4
  with pytest.raises(TypeError, match="speed"):
    example(speed=1.0)
  with pytest.raises(TypeError):
    example(1.0)
  with pytest.raises(ValueError, match=r"example\.rule must be one of times, plus"):
    example(rule="minus")


def test_numbers_among_them_are_traced():
  assert jax.tree.leaves(example(factor=5.0).apply) == [5.0]
  gradient = jax.grad(lambda factor: example(factor=factor, rule="times").apply(3.0))(2.0)
  assert float(gradient) == 3.0


def test_the_signature_and_the_docstring_name_every_field():
  assert str(inspect.signature(example)).startswith("(*, factor: float = 2.0, rule: Literal['times', 'plus'] = 'plus',")
  assert inspect.signature(example).return_annotation is Method
  texts = described(example.__doc__, "Args")
  assert list(texts) == ["factor", "rule", "size"]
  assert texts["factor"].endswith("characters a line.") and texts["rule"] == "added by this one."
  assert example.__doc__.startswith("A method.\n\nArgs:\n  factor: of the value;")
  assert example.__doc__.endswith("\n\nReturns:\n  A function of one value.")
  assert max(map(len, example.__doc__.splitlines())) <= 120


def test_they_become_a_configuration():
  registry = Registry("thing")
  registry.register(example)
  fields = dataclasses.fields(registry["example"].config)
  assert [(field.name, field.default) for field in fields] == [("factor", 2.0), ("rule", "plus"), ("size", None)]


def test_a_field_without_a_description_is_refused():
  @dataclasses.dataclass(frozen=True, kw_only=True)
  class Silent(Common):
    number: int = 0

  @keywords_of(Silent)
  def silent(options: Silent) -> Method:
    """A method."""
    return Method(lambda value: value + options.number)

  with pytest.raises(TypeError, match="'number' of silent is not described"):
    Registry("thing").register(silent)


def test_groups_keep_their_order_in_a_registered_attack():
  names = list(inspect.signature(psmu_pp).parameters)
  assert names[:2] == ["bound", "steps"] and names[6] == "num_items" and names[-1] == "upload_shared"
