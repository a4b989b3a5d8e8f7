"""An override changes the field that it names, in what the run is called by and in what the method is made with."""

import dataclasses
import typing

import pytest

from fedrecjax.config import REGISTRIES, SECTIONS, from_flat, owner_of
from fedrecjax.methods.fields import choices, is_optional
from fedrecjax.methods.registry import Method

FIELDS = [
  (kind, name, field.name)
  for kind, registry in REGISTRIES.items() for name in registry.names()
  for field in dataclasses.fields(registry[name].config)
]


def another(annotation, value):
  """A value of a field's type that is not this one."""
  if is_optional(annotation):
    if value is not None:
      return None
    annotation = next(one for one in typing.get_args(annotation) if one is not type(None))
  if choices(annotation):
    return next(choice for choice in choices(annotation) if choice != value)
  if annotation is bool:
    return not value
  if typing.get_origin(annotation) is tuple:
    return (*value, 7)
  return {int: 7, float: 0.375, str: "other"}[annotation] if value is None else {
    int: lambda: value + 1, float: lambda: value + 0.375, str: lambda: value + "_other",
  }[annotation]()


@pytest.mark.parametrize(("kind", "name", "field"), FIELDS)
def test_of_a_methods_fields_one_is_changed_and_reaches_the_constructor(kind, name, field, monkeypatch):
  registry, method = REGISTRIES[kind], REGISTRIES[kind][name]
  default = method.config()
  value = another(typing.get_type_hints(method.config)[field], getattr(default, field))
  given = {}
  key = f"{owner_of(kind, name)}.{field}"
  before, after = from_flat({kind: name}), from_flat({kind: name, key: value})
  assert {one for one in after.flat() if after.flat().get(one) != before.flat().get(one)} == {key}
  assert after.hash() != before.hash()
  monkeypatch.setitem(registry._methods, name, Method(name, lambda **options: given.update(options), method.config))
  parts = [after.model, after.attack, *after.defense]
  next(part for part in parts if (part.kind, part.name) == (kind, name)).build()
  assert given == dataclasses.asdict(default) | {field: value}


# Sections in which one field needs another are tested with them in test_run.py.
FREE = [
  (owner, field.name) for owner, section in SECTIONS.items() for field in dataclasses.fields(section)
  if owner == "eval" or (owner == "train" and field.name in (
    "epochs", "clients_per_round", "participation", "loss", "reduction", "num_negatives", "negatives",
    "negatives_outside", "learning_rate", "client_learning_rate", "server_optimizer", "client_optimizer", "l2",
    "l2_rows", "l2_clients", "dropout", "row_clip", "pseudo_items", "privacy_clip",
  ))
]


@pytest.mark.parametrize(("owner", "field"), FREE)
def test_of_a_section_one_field_is_changed(owner, field):
  hints = typing.get_type_hints(SECTIONS[owner])
  before = from_flat({})
  value = getattr(getattr(before, owner), field)
  other = {"clients_per_round": "all", "dropout": 0.25, "left_out": 0.25}.get(field) or another(hints[field], value)
  after = from_flat({f"{owner}.{field}": other})
  assert getattr(getattr(after, owner), field) == other
  assert {one for one in after.flat() if after.flat().get(one) != before.flat().get(one)} == {f"{owner}.{field}"}
