"""The configuration of a run: frozen dataclasses, their flat form by dotted name, validation and a stable hash."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import typing
from collections.abc import Callable
from typing import Any, Literal

from fedrecjax.attacks import ATTACKS
from fedrecjax.client_optimizer import ClientOptimizer
from fedrecjax.defenses import DEFENSES
from fedrecjax.fields import expected, fits, is_optional, takes_numbers
from fedrecjax.models import MODELS
from fedrecjax.protocols import PRESET_FIELD, PRESETS
from fedrecjax.registry import Registry, described
from fedrecjax.server import ServerOptimizer


class ConfigError(ValueError):
  """A field has an impossible value; the message is one line that names the field and what was expected."""


def _check_fields(section: Any) -> None:
  owner = next(name for name, config in SECTIONS.items() if isinstance(section, config))
  for name, annotation in typing.get_type_hints(type(section)).items():
    _check_field(annotation, getattr(section, name), f"{owner}.{name}")


def _check_field(annotation: Any, value: Any, name: str) -> None:
  if not fits(annotation, value):
    raise ConfigError(f"{name} must be {expected(annotation)}, got {value!r}")


def _require(condition: bool, field: str, expected: str, value: Any) -> None:
  if not condition:
    raise ConfigError(f"{field} must be {expected}, got {value!r}")


@dataclasses.dataclass(frozen=True)
class DataConfig:
  """How interactions become training and held-out items.

  Attributes:
    split: how items are held out: "default" is the source's own split where it ships one, else "last"; "last"
      holds out each user's latest item (by time, or by file order where no time is known); "last_by_time",
      "last_by_order", "last_two" (as "last", and the item before it is neither trained on nor ranked, as a
      validation set would be), "random" (one item), "ratio" (a share), "given" (the source's own).
    test_ratio: share of a user's items that "ratio" holds out.
    repeats: interactions that occur several times: "keep" or "drop" all but the first.
    too_few: users with too few items to hold one out: "error", "train_only" (keep, without evaluating them) or
      "drop".
    seed: seed of splits that draw. It is apart from the run's seed, so that several seeds share one split.
  """

  split: Literal["default", "last", "last_by_time", "last_by_order", "last_two", "random", "ratio", "given"] = "default"
  test_ratio: float = 0.2
  repeats: Literal["keep", "drop"] = "keep"
  too_few: Literal["error", "train_only", "drop"] = "error"
  seed: int = 0

  def __post_init__(self) -> None:
    _check_fields(self)
    _require(0 < self.test_ratio < 1, "data.test_ratio", "between 0 and 1", self.test_ratio)
    _require(self.seed >= 0, "data.seed", "0 or more", self.seed)


@dataclasses.dataclass(frozen=True)
class TrainConfig:
  """Federated training.

  Attributes:
    epochs: epochs to train; an epoch has as many rounds as it takes to visit every client once.
    clients_per_round: clients in a round, C.
    participation: "shuffled" visits every client once per epoch, in shuffled batches; "uniform" draws C clients for
      every round.
    loss: "bce" (PIECK Eq. 2) or "bpr".
    reduction: a client's loss is the "mean" or the "sum" over its training pairs.
    num_negatives: negatives per positive, q.
    negatives: "once" draws them before training and keeps them, as all published codes do; "every_round" draws
      anew. Held-out items can be drawn: leaving them out would leak the answer.
    duplicates: an item that occurs several times in a client's list is uploaded as the "sum" of its gradients, or
      only its "first" occurrence counts, as in PIECK's published code (needs negatives=once).
    learning_rate: step size of the server, and of the clients for their own vectors.
    client_learning_rate: step size of the clients where it differs; none: the server's.
    client_learning_rates: "fixed" gives all clients the same step size; "uniform" and "log_uniform" draw each client's
      own, once, between client_learning_rate and learning_rate (PIECK Table X).
    client_optimizer: what a client does with its own vector: "sgd"; "adam", which advances when it takes part; or
      "adam_table", one Adam at a server that keeps all user vectors, so that all of them move on in every round
      (ClusterAttack's code).
    local_steps: steps of gradient descent that a client takes before it uploads how far it came, in units of its step
      size; 1 is FedSGD, more FedAvg.
    server_optimizer: what the server does with the aggregated gradient: "sgd"; "adam" over the whole item table
      (ClusterAttack); or "lazy_adam", which leaves alone what a round does not touch.
    l2: weight of the L2 penalty: half of it times the squared norms is added to each client's loss; 0: none.
    l2_rows: the item rows that it is on, beside the client's own vector: "uploaded", each row that the client uploads;
      "copies", each as often as it stands in the client's list (Spattack's code; FedRecAttack's server keeps one copy,
      which makes it "uploaded"); "table", all public parameters, as a term of the aggregated update (ClusterAttack,
      where a mean over clients makes it one).
    dropout: share of the numbers of each looked-up item row, and of each looked-up user vector in models that take it
      as it is, that are left out in training (ClusterAttack). A model that reads histories has its own dropout beside.
    row_clip: clients scale each uploaded row down to this L2 norm (FedRecAttack Eq. 5); none: no clipping.
    upload_noise: standard deviation mu of the noise on each uploaded row, in units of row_clip (FedRecAttack
      Eq. 5); 0: none.
    pseudo_items: items outside its list for which each client uploads rows drawn like its real ones, to hide which
      are real (FedGNN); 0: none.
    privacy_clip: clients clip each uploaded number to this absolute value, delta, before privacy_noise (FedGNN); none:
      no clipping.
    privacy_noise: scale lambda of the Laplace noise on each uploaded number (FedGNN); the privacy budget is
      2 privacy_clip / privacy_noise. 0: none.
  """

  epochs: int = 300
  clients_per_round: int = 256
  participation: Literal["shuffled", "uniform"] = "shuffled"
  loss: Literal["bce", "bpr"] = "bce"
  reduction: Literal["mean", "sum"] = "mean"
  num_negatives: int = 1
  negatives: Literal["once", "every_round"] = "once"
  duplicates: Literal["sum", "first"] = "sum"
  learning_rate: float = 1.0
  client_learning_rate: float | None = None
  client_learning_rates: Literal["fixed", "uniform", "log_uniform"] = "fixed"
  client_optimizer: ClientOptimizer = "sgd"
  local_steps: int = 1
  server_optimizer: ServerOptimizer = "sgd"
  l2: float = 0.0
  l2_rows: Literal["uploaded", "copies", "table"] = "uploaded"
  dropout: float = 0.0
  row_clip: float | None = None
  upload_noise: float = 0.0
  pseudo_items: int = 0
  privacy_clip: float | None = None
  privacy_noise: float = 0.0

  def __post_init__(self) -> None:
    _check_fields(self)
    for field in ("epochs", "clients_per_round", "num_negatives", "learning_rate", "local_steps"):
      _require(getattr(self, field) > 0, f"train.{field}", "positive", getattr(self, field))
    for field in ("client_learning_rate", "row_clip", "privacy_clip"):
      value = getattr(self, field)
      _require(value is None or value > 0, f"train.{field}", "positive or none", value)
    for field in ("upload_noise", "privacy_noise", "l2", "pseudo_items"):
      _require(getattr(self, field) >= 0, f"train.{field}", "0 or more", getattr(self, field))
    _require(0 <= self.dropout < 1, "train.dropout", "at least 0 and below 1", self.dropout)
    _require(self.privacy_noise == 0 or self.privacy_clip is not None, "train.privacy_clip",
             "set where train.privacy_noise is, since unbounded numbers have no budget", self.privacy_clip)
    _require(self.upload_noise == 0 or self.row_clip is not None, "train.row_clip",
             "set where train.upload_noise is, which is in its units", self.row_clip)
    _require(self.duplicates == "sum" or self.negatives == "once", "train.negatives",
             "once where train.duplicates=first", self.negatives)
    _require(self.client_learning_rates == "fixed" or self.client_learning_rate is not None,
             "train.client_learning_rate", "set where train.client_learning_rates draws them between it and"
             " train.learning_rate", self.client_learning_rate)
    if self.client_optimizer == "adam_table":
      _require(self.client_learning_rates == "fixed", "train.client_learning_rates",
               "fixed where train.client_optimizer=adam_table, which is one optimiser", self.client_learning_rates)
    if self.local_steps > 1:
      _require(self.client_optimizer == "sgd", "train.client_optimizer", "sgd where train.local_steps is above 1",
               self.client_optimizer)
      _require(self.pseudo_items == 0, "train.pseudo_items", "0 where train.local_steps is above 1",
               self.pseudo_items)
      _require(self.duplicates == "sum", "train.duplicates", "sum where train.local_steps is above 1",
               self.duplicates)


@dataclasses.dataclass(frozen=True)
class AttackerConfig:
  """What every attack has in common: how many malicious clients there are and what they promote.

  Attributes:
    malicious_ratio: malicious clients as a share of the benign users (added) or of all users (converted); the
      number is rounded down.
    membership: "added" puts malicious clients beside the users; "converted" takes users over.
    targets: how targets are chosen: "random" items, the "least_popular" ones (ties at random), or "given" ones.
    num_targets: number of targets, T.
    target_items: for "given": item ids, joined with + on the command line.
    start_epoch: first epoch, from 0, in which malicious clients attack. Before it those with data of their own behave,
      others send nothing.
    stop_epoch: first epoch in which they no longer do; none: they attack to the end.
    colluding: whether malicious clients share what they know and do; else each acts on its own, as the only one.
    own_items: random items that an added malicious client holds, for attacks of clients with data of their own;
      converted ones hold what they held as users.
    public_share: share of each user's training items that everybody can see, rounded up (FedRecAttack's xi), for
      attacks that use them.
  """

  malicious_ratio: float = 0.05
  membership: Literal["added", "converted"] = "added"
  targets: Literal["random", "least_popular", "given"] = "random"
  num_targets: int = 1
  target_items: tuple[int, ...] = ()
  start_epoch: int = 0
  stop_epoch: int | None = None
  colluding: bool = True
  own_items: int = 30
  public_share: float = 0.01

  def __post_init__(self) -> None:
    _check_fields(self)
    _require(self.start_epoch >= 0, "attacker.start_epoch", "0 or more", self.start_epoch)
    _require(self.stop_epoch is None or self.stop_epoch > self.start_epoch, "attacker.stop_epoch",
             "above attacker.start_epoch or none", self.stop_epoch)
    _require(self.own_items > 0, "attacker.own_items", "positive", self.own_items)
    _require(0 <= self.public_share <= 1, "attacker.public_share", "0 to 1", self.public_share)
    _require(0 <= self.malicious_ratio < 1, "attacker.malicious_ratio", "at least 0 and below 1", self.malicious_ratio)
    _require(self.num_targets > 0, "attacker.num_targets", "positive", self.num_targets)
    given = self.targets == "given"
    _require(given == bool(self.target_items), "attacker.target_items",
             "set where attacker.targets=given, and only there", self.target_items)
    _require(len(set(self.target_items)) == len(self.target_items), "attacker.target_items", "different items",
             self.target_items)


@dataclasses.dataclass(frozen=True)
class EvalConfig:
  """Evaluation, always over benign users.

  Attributes:
    every: epochs between two evaluation points; the last epoch is always one.
    candidates: items that a held-out item is ranked among for hr and ndcg: "all" but the user's training items, or
      "sampled" ones. Exposure of targets is always ranked among all.
    num_negatives: for "sampled": different items outside the user's training items, drawn anew at every point.
    held_out_negative: for "sampled": whether the held-out item may itself be drawn, as in PIECK's published code.
    exposure_among: items that targets are ranked among for exposure: "not_trained" are all but the user's training
      items; "unseen" leaves out held-out items too (FedRecAttack's and A-hum's code). A target that is left out does
      not count for that user.
    left_out: share of the users, malicious ones first, who are not evaluated (0.05 in ClusterAttack's code).
    ks: list lengths K, joined with + on the command line.
  """

  every: int = 1
  candidates: Literal["all", "sampled"] = "all"
  num_negatives: int = 99
  held_out_negative: bool = False
  exposure_among: Literal["not_trained", "unseen"] = "not_trained"
  left_out: float = 0.0
  ks: tuple[int, ...] = (5, 10, 20)

  def __post_init__(self) -> None:
    _check_fields(self)
    _require(self.every > 0, "eval.every", "positive", self.every)
    _require(self.num_negatives > 0, "eval.num_negatives", "positive", self.num_negatives)
    _require(0 <= self.left_out < 1, "eval.left_out", "at least 0 and below 1", self.left_out)
    _require(bool(self.ks) and min(self.ks) > 0, "eval.ks", "positive list lengths", self.ks)


SECTIONS: dict[str, type] = {
  "data": DataConfig, "train": TrainConfig, "attacker": AttackerConfig, "eval": EvalConfig,
}
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
    defense: parts of the defence, in order.
    seed: seed of everything drawn in the run except the data.
    data: see :class:`DataConfig`.
    train: see :class:`TrainConfig`.
    attacker: see :class:`AttackerConfig`.
    eval: see :class:`EvalConfig`.
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

  def flat(self) -> dict[str, Any]:
    """All fields by dotted name; values are plain and JSON-ready (tuples as lists)."""
    result: dict[str, Any] = {
      "dataset": self.dataset,
      "model": self.model.name,
      "attack": self.attack.name,
      "defense": "+".join(part.name for part in self.defense),
      "seed": self.seed,
    }
    sections = [(name, getattr(self, name)) for name in SECTIONS]
    methods = [(owner_of(part.kind, part.name), part.hyperparameters)
               for part in (self.model, self.attack, *self.defense)]
    for owner, section in sections + methods:
      for field in dataclasses.fields(section):
        value = getattr(section, field.name)
        result[f"{owner}.{field.name}"] = list(value) if isinstance(value, tuple) else value
    return result

  def hash(self) -> str:
    """16 hexadecimal digits that depend on every field, and on nothing else."""
    text = json.dumps(self.flat(), sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


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
  readers: dict[Any, Callable[[str], Any]] = {
    bool: lambda text: {"true": True, "1": True, "false": False, "0": False}[text.lower()],
    int: int,
    float: float,
  }
  if typing.get_origin(annotation) is tuple:
    reader: Callable[[str], Any] = _integers
  else:
    reader = readers.get(annotation, str)
  try:
    value = reader(text)
  except (ValueError, KeyError):
    value = None
  if not fits(annotation, value):
    raise ConfigError(f"{name} must be {wanted}, got {text!r}")
  return value


def _integers(text: str) -> tuple[int, ...]:
  return tuple(int(part) for part in text.split("+")) if text else ()


def from_flat(values: dict[str, Any]) -> RunConfig:
  """Builds a configuration from fields by dotted name; fields left out have their defaults.

  Args:
    values: plain values as :meth:`RunConfig.flat` makes them (JSON's lists are accepted for tuples). "eval.preset"
      stands for the fields of a paper's protocol (:data:`fedrecjax.protocols.PRESETS`), which other fields override.

  Raises:
    ConfigError: for an unknown or foreign field or an impossible value.
  """
  values = _with_preset(values)
  dataset, seed = values.pop("dataset", "synthetic"), values.pop("seed", 0)
  _require(isinstance(seed, int) and 0 <= seed < 2**31, "seed", "an integer of at least 0 and below 2^31", seed)
  names = {"model": values.pop("model", "mf"), "attack": values.pop("attack", "none"),
           "defense": values.pop("defense", "none")}
  chosen = {"model": [names["model"]], "attack": [names["attack"]], "defense": names["defense"].split("+")}
  if len(set(chosen["defense"])) < len(chosen["defense"]):
    raise ConfigError(f"defense {names['defense']!r} names a part twice")
  methods: dict[str, list[MethodConfig]] = {}
  fields_of: dict[str, dict[str, Any]] = {}
  for name, value in values.items():
    owner, _, field = name.partition(".")
    fields_of.setdefault(owner, {})[field] = tuple(value) if isinstance(value, list) else value
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
    sections["attacker"] = dataclasses.replace(sections["attacker"], malicious_ratio=0.0, membership="added")
  return RunConfig(dataset, methods["model"][0], methods["attack"][0], tuple(methods["defense"]), seed, **sections)


def _with_preset(values: dict[str, Any]) -> dict[str, Any]:
  name = values.get(PRESET_FIELD)
  rest = {field: value for field, value in values.items() if field != PRESET_FIELD}
  if name is None:
    return rest
  _require(name in PRESETS, PRESET_FIELD, f"one of {', '.join(PRESETS)}", name)
  return PRESETS[name] | rest


def _instance(config: type, owner: str, arguments: dict[str, Any]) -> Any:
  hints = typing.get_type_hints(config)
  for name, value in arguments.items():
    if name not in hints:
      raise ConfigError(f"unknown field {owner}.{name}; known: {', '.join(sorted(hints)) or 'none'}")
    _check_field(hints[name], value, f"{owner}.{name}")
    if takes_numbers(hints[name]) and isinstance(value, int):
      arguments = {**arguments, name: float(value)}
  return config(**arguments)
