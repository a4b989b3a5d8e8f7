"""Registration: names, signatures that become configurations, descriptions."""

import dataclasses
from typing import Annotated, Literal

import pytest

from fedrecjax.config import field_help, owners
from fedrecjax.methods.fields import IF_SET
from fedrecjax.methods.registry import Registry, described


def good(
  *,
  rate: float = 0.5,
  sizes: tuple[int, ...] = (1,),
  rule: Literal["a", "b"] = "a",
  seed: int | None = None,
):
  """A method.

  Args:
    rate: how fast,
      in items.
    sizes: how large.
    rule: which one.
    seed: of draws; none: the run's.

  Returns:
    What it was given.
  """
  return rate, sizes, rule, seed


def test_a_signature_becomes_a_configuration():
  registry = Registry("thing")
  assert registry.register(good) is good
  config = registry["good"].config
  assert [field.name for field in dataclasses.fields(config)] == ["rate", "sizes", "rule", "seed"]
  assert config.__dataclass_params__.frozen
  assert {field.metadata["help"] for field in dataclasses.fields(config)} == {
    "how fast, in items.",
    "how large.",
    "which one.",
    "of draws; none: the run's.",
  }
  assert registry["good"].build(config(rate=2.0, seed=4)) == (2.0, (1,), "a", 4)
  assert registry.names() == ["good"]


def test_names_are_unique_and_unknown_ones_are_answered_with_the_known():
  registry = Registry("thing")
  registry.register(good)
  with pytest.raises(ValueError, match="thing 'good' is already registered"):
    registry.register(good)
  with pytest.raises(KeyError, match="unknown thing 'bad'; known: good"):
    registry["bad"]


def test_a_hyperparameter_that_joined_later_is_marked():
  def late(*, rate: float = 0.5, rule: Annotated[Literal["a", "b"], IF_SET] = "a"):
    """A method.

    Args:
      rate: how fast.
      rule: which one.
    """
    return rate, rule

  registry = Registry("thing")
  registry.register(late)
  marks = {field.name: bool(field.metadata[IF_SET]) for field in dataclasses.fields(registry["late"].config)}
  assert marks == {"rate": False, "rule": True}


def positional(rate: float = 1.0):
  """Args:
  rate: r.
  """


def without_default(*, rate: float):
  """Args:
  rate: r.
  """


def without_annotation(*, rate=1.0):
  """Args:
  rate: r.
  """


def of_odd_type(*, rate: complex = 1j):
  """Args:
  rate: r.
  """


def undescribed(*, rate: float = 1.0):
  """Nothing about it."""


@pytest.mark.parametrize(
  ("constructor", "message"),
  [
    (positional, "keyword-only"),
    (without_default, "have a default"),
    (without_annotation, "one of the annotations"),
    (of_odd_type, "one of the annotations"),
    (undescribed, "not described"),
  ],
)
def test_signatures_that_cannot_be_used(constructor, message):
  with pytest.raises(TypeError, match=rf"parameter 'rate' of {constructor.__name__}.*{message}"):
    Registry("thing").register(constructor)


def test_described_reads_one_section_alone():
  text = "Summary.\n\nArgs:\n  rate: speed.\n\nReturns:\n  rate: not this."
  assert described(text, "Args") == {"rate": "speed."}
  assert described(None, "Args") == {}


def test_every_field_of_every_owner_has_a_help_text():
  for owner, config in owners().items():
    for field in dataclasses.fields(config):
      assert len(field_help(owner, field.name)) > 5, f"{owner}.{field.name}"
