"""The configuration of a run: its sections and methods, their flat form by dotted name and a stable hash."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import typing
from collections.abc import Callable, Mapping
from typing import Any

from fedrecjax.attacks import ATTACKS
from fedrecjax.config.presets import PRESET_FIELD, PRESETS
from fedrecjax.config.sections import (
  SECTIONS,
  AttackerConfig,
  ConfigError,
  DataConfig,
  EvalConfig,
  ImagesConfig,
  TrainConfig,
  check_field,
  hint,
  require,
)
from fedrecjax.config.training_presets import TRAINING_PRESET_FIELD, TRAINING_PRESETS
from fedrecjax.defenses import DEFENSES
from fedrecjax.methods.fields import (
  IF_SET,
  as_declared,
  choices,
  expected,
  fits,
  is_optional,
  name_of,
  names_apart,
  takes_names,
  words_beside_numbers,
)
from fedrecjax.methods.registry import Method, Registry, described
from fedrecjax.methods.spelling import did_you_mean
from fedrecjax.models import MODELS
from fedrecjax.types import Defense

REGISTRIES: dict[str, Registry[Any]] = {"model": MODELS, "attack": ATTACKS, "defense": DEFENSES}


@dataclasses.dataclass(frozen=True)
class MethodConfig:
  """A method by name and its hyperparameters.

  Attributes:
    kind: "model", "attack" or "defense".
    name: as registered.
    hyperparameters: instance of the registered config dataclass.
  """

  kind: str
  name: str
  hyperparameters: Any

  def build(self) -> Any:
    """The method itself.

    Raises:
      ConfigError: if a hyperparameter is out of its range.
    """
    try:
      return REGISTRIES[self.kind][self.name].build(self.hyperparameters)
    except ValueError as error:
      raise ConfigError(str(error)) from error


@dataclasses.dataclass(frozen=True)
class RunConfig:
  """One run: everything that its result depends on.

  Attributes:
    dataset: name of a data set or path of a file.
    model: base recommender.
    attack: attack.
    defense: parts of the defence, in order; one that has no aggregation rule ends in the rule `none`, with the run's
      `none.*` fields.
    seed: seed of everything drawn in the run except the data.
    data: see :class:`DataConfig`.
    train: see :class:`TrainConfig`.
    attacker: see :class:`AttackerConfig`.
    eval: see :class:`EvalConfig`.
    images: see :class:`ImagesConfig`.
  """

  dataset: str
  model: MethodConfig
  attack: MethodConfig
  defense: tuple[MethodConfig, ...]
  seed: int
  data: DataConfig
  train: TrainConfig
  attacker: AttackerConfig
  eval: EvalConfig
  images: ImagesConfig

  def flat(self) -> dict[str, Any]:
    """All fields that apply, by dotted name; values are plain and JSON-ready (tuples as lists).

    Those of images apply where there are images, those of :func:`unset_fields` where they are set.
    """
    result: dict[str, Any] = {
      "dataset": self.dataset,
      "model": self.model.name,
      "attack": self.attack.name,
      "defense": _defense_name([part.name for part in self.defense]),
      "seed": self.seed,
    }
    sections = [(name, getattr(self, name)) for name in SECTIONS if name != "images" or self.images.source != "none"]
    methods = [(owner_of(part.kind, part.name), part.hyperparameters)
              for part in (self.model, self.attack, *self.defense)]
    for owner, section in sections + methods:
      for field in dataclasses.fields(section):
        value = getattr(section, field.name)
        if not (field.metadata.get(IF_SET) and value == field.default):
          result[f"{owner}.{field.name}"] = list(value) if isinstance(value, tuple) else value
    return result

  def hash(self) -> str:
    """16 hexadecimal digits that depend on every field, and on nothing else."""
    text = json.dumps(self.flat(), sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def defense_parts(text: str) -> list[str]:
  """The parts of a defence, with the rule `none` behind parts of which none aggregates.

  >>> defense_parts("norm_bound"), defense_parts("norm_bound+median"), defense_parts("none")
  (['norm_bound', 'none'], ['norm_bound', 'median'], ['none'])
  """
  parts = text.split("+")
  return parts if any(_aggregates(part) for part in parts) else [*parts, "none"]


def _aggregates(name: str) -> bool:
  return name not in DEFENSES.names() or _has_rule(DEFENSES[name])


@functools.cache
def _has_rule(method: Method[Defense]) -> bool:
  return method.constructor().aggregate is not None


def _defense_name(parts: list[str]) -> str:
  """The name of a defence: `norm_bound` and `norm_bound+none` are the same one."""
  return "+".join(parts[:-1] if len(parts) > 1 and parts[-1] == "none" else parts)


def owner_of(kind: str, name: str) -> str:
  """The owner's name of a method's fields; the two methods called none are told apart by their kind.

  >>> owner_of("attack", "pieck_uea"), owner_of("defense", "none")
  ('pieck_uea', 'none')
  """
  return name if not (kind == "attack" and name == "none") else "no_attack"


def owners() -> dict[str, type]:
  """Every owner of fields and its dataclass, in the order of help texts."""
  result = dict(SECTIONS)
  for kind, registry in REGISTRIES.items():
    for name in registry.names():
      if dataclasses.fields(registry[name].config):
        result[owner_of(kind, name)] = registry[name].config
  return result


def unset_fields() -> dict[str, Any]:
  """The fields that are no part of a flat configuration, nor of its hash, while they have their defaults, and those.

  >>> unset_fields()["data.user_core"]
  0
  """
  return {name: default for owner, config in owners().items() for name, default in _unset_of(owner, config)}


def _unset_of(owner: str, config: type) -> list[tuple[str, Any]]:
  return [(f"{owner}.{one.name}", one.default) for one in dataclasses.fields(config) if one.metadata.get(IF_SET)]


def with_unset(flat: Mapping[str, Any]) -> dict[str, Any]:
  """A flat configuration, and behind its fields the defaults of those that apply to it and are not set.

  Args:
    flat: from :meth:`RunConfig.flat`.

  >>> with_unset(from_flat({}).flat())["data.user_core"]
  0
  """
  parts = [("model", flat["model"]), ("attack", flat["attack"])]
  parts += [("defense", part) for part in defense_parts(flat["defense"])]
  present = {**SECTIONS, **{owner_of(kind, name): REGISTRIES[kind][name].config for kind, name in parts}}
  unset = {name: default for owner, config in present.items() for name, default in _unset_of(owner, config)}
  return {**flat, **{name: default for name, default in unset.items() if name not in flat}}


def field_help(owner: str, field: str) -> str:
  """The description of a field, as on the command line."""
  config = owners()[owner]
  declared = next(one for one in dataclasses.fields(config) if one.name == field)
  return declared.metadata.get("help") or described(config.__doc__, "Attributes")[field]


def parse(annotation: Any, text: str, name: str) -> Any:
  """The value that `text` stands for, of the type of a field.

  Raises:
    ConfigError: naming `name`, if the text is no such value.

  >>> parse(tuple[int, ...], "5+10", "eval.ks"), parse(float | None, "none", "train.row_clip")
  ((5, 10), None)
  """
  text, wanted = text.strip(), expected(annotation)
  if is_optional(annotation):
    if text.lower() == "none":
      return None
    annotation = next(one for one in typing.get_args(annotation) if one is not type(None))
  if words_beside_numbers(annotation):
    if text in words_beside_numbers(annotation):
      return text
    annotation = int
  readers: dict[Any, Callable[[str], Any]] = {
    bool: lambda text: {"true": True, "1": True, "false": False, "0": False}[text.lower()],
    int: int,
    float: float,
  }
  if typing.get_origin(annotation) is tuple:
    reader: Callable[[str], Any] = _names if takes_names(annotation) else _integers
  else:
    reader = readers.get(annotation, str)
  try:
    value = reader(text)
  except (ValueError, KeyError):
    value = None
  if not fits(annotation, value):
    raise ConfigError(f"{name} must be {wanted}, got {text!r}{hint(name) or did_you_mean(text, choices(annotation))}")
  return value


def _names(text: str) -> tuple[int | str, ...]:
  return tuple(name_of(part) for part in names_apart(text, "+")) if text else ()


def _integers(text: str) -> tuple[int, ...]:
  return tuple(int(part) for part in text.split("+")) if text else ()


def from_flat(values: dict[str, Any]) -> RunConfig:
  """Builds a configuration from fields by dotted name; fields left out have their defaults.

  Args:
    values: plain values as :meth:`RunConfig.flat` makes them (JSON's lists are accepted for tuples). "eval.preset"
      stands for the fields of a paper's protocol (:data:`fedrecjax.config.presets.PRESETS`) and "train.preset" for how
      a paper trains the model (:data:`fedrecjax.config.training_presets.TRAINING_PRESETS`); other fields override them.

  Raises:
    ConfigError: for an unknown or foreign field or an impossible value.
  """
  values = _with_given_targets(_with_training_preset(_with_preset(values)))
  dataset, seed = values.pop("dataset", "synthetic"), as_declared(int, values.pop("seed", 0))
  require(fits(int, seed) and 0 <= seed < 2**31, "seed", "an integer of at least 0 and below 2^31", seed)
  names = {"model": values.pop("model", "mf"), "attack": values.pop("attack", "none"),
           "defense": values.pop("defense", "none")}
  for axis, name in {"dataset": dataset, **names}.items():
    require(isinstance(name, str), axis, "a text", name)
  chosen = {"model": [names["model"]], "attack": [names["attack"]], "defense": defense_parts(names["defense"])}
  if len(set(chosen["defense"])) < len(chosen["defense"]):
    raise ConfigError(f"defense {names['defense']!r} names a part twice")
  methods: dict[str, list[MethodConfig]] = {}
  fields_of: dict[str, dict[str, Any]] = {}
  for name, value in values.items():
    owner, _, field = name.partition(".")
    fields_of.setdefault(owner, {})[field] = value
  for kind, parts in chosen.items():
    for name in parts:
      try:
        config = REGISTRIES[kind][name].config
      except KeyError as error:
        raise ConfigError(error.args[0]) from error
      arguments = fields_of.pop(owner_of(kind, name), {})
      methods.setdefault(kind, []).append(MethodConfig(kind, name, _instance(config, owner_of(kind, name), arguments)))
  sections = {name: _instance(section, name, fields_of.pop(name, {})) for name, section in SECTIONS.items()}
  if fields_of:
    owner = next(iter(fields_of))
    raise ConfigError(f"field {owner}.{next(iter(fields_of[owner]))} belongs to no part of this run")
  if names["attack"] == "none":
    sections["attacker"] = sections["attacker"].without_clients()
  return RunConfig(dataset, methods["model"][0], methods["attack"][0], tuple(methods["defense"]), seed, **sections)


def _with_given_targets(values: dict[str, Any]) -> dict[str, Any]:
  """Target items alone say that targets are given."""
  if values.get("attacker.target_items") and "attacker.targets" not in values:
    return values | {"attacker.targets": "given"}
  return values


def _with_preset(values: dict[str, Any]) -> dict[str, Any]:
  name = values.get(PRESET_FIELD)
  rest = {field: value for field, value in values.items() if field != PRESET_FIELD}
  if name is None:
    return rest
  require(name in PRESETS, PRESET_FIELD, f"one of {', '.join(PRESETS)}", name)
  return PRESETS[name] | rest


def _with_training_preset(values: dict[str, Any]) -> dict[str, Any]:
  name, model = values.get(TRAINING_PRESET_FIELD), values.get("model", "mf")
  rest = {field: value for field, value in values.items() if field != TRAINING_PRESET_FIELD}
  if name is None:
    return rest
  require(name in TRAINING_PRESETS, TRAINING_PRESET_FIELD, f"one of {', '.join(TRAINING_PRESETS)}", name)
  common, models = TRAINING_PRESETS[name]
  if model not in models and "train.learning_rate" not in rest:
    raise ConfigError(f"{TRAINING_PRESET_FIELD}={name} has a train.learning_rate for {', '.join(models)}, and none for"
                      f" {model}; give your own")
  present = {"train", model, *defense_parts(values.get("defense", "none"))}
  fields = {**common, **models.get(model, {})}
  return {field: value for field, value in fields.items() if field.partition(".")[0] in present} | rest


def _instance(config: type, owner: str, arguments: dict[str, Any]) -> Any:
  hints, declared = typing.get_type_hints(config), {}
  for name, value in arguments.items():
    if name not in hints:
      known = f"{', '.join(sorted(hints)) or 'none'}{did_you_mean(name, hints)}"
      raise ConfigError(f"unknown field {owner}.{name}; known: {known}")
    declared[name] = as_declared(hints[name], value)
    check_field(hints[name], declared[name], f"{owner}.{name}")
  return config(**declared)
