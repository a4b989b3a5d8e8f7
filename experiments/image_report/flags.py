"""The flags of the command `python -m experiments.image_report`."""

from __future__ import annotations

import dataclasses
import math
import pathlib
import typing
from collections.abc import Callable, Sequence
from typing import Any

from experiments.command_line import FlagGroup, comma_list, field_flag_help, folder, read_group
from experiments.errors import UsageError
from experiments.grid import shown
from fedrecjax.config import MethodConfig, RunConfig, from_flat, owners, parse

MODELS = ("vncf", "lightvgcn")
ATTACKS = ("psmu_v", "psmu_pp")
PURIFIERS = ("gdmpd_unguided", "gdmpd")
LIST_LENGTH = 5
"""K of the exposure ratio, the paper's."""
SMALLEST_SIDE = 8
"""Pixels that BRISQUE needs."""
_OWNERS = ("data", "train", "attacker", "images", *MODELS, *ATTACKS, *PURIFIERS)
# Fields that have a flag of their own here, or that say nothing where thresholds are compared and no server refuses.
_WITHHELD = {
  "train.epochs", "attacker.malicious_ratio", "attacker.num_targets",
  *(f"{attack}.{field}" for attack in ATTACKS for field in ("bound", "adaptive")),
  *(f"{purifier}.{field}" for purifier in PURIFIERS
    for field in ("start", "respacing", "threshold", "share", "flagged")),
}
# Defaults of the paper where they are not those of a sweep.
_DEFAULTS = {
  "train.learning_rate": 0.001, "train.num_negatives": 4, "train.server_optimizer": "adam",
  "train.client_optimizer": "adam", "attacker.targets": "least_popular", "attacker.start_epoch": 8,
  "images.source": "covers",
}


@dataclasses.dataclass(frozen=True)
class Options:
  """What the command line asks for.

  Attributes:
    runs: a run under the attack for each bound, without a defence.
    purifiers: in the order in which they are shown.
    calibration_share: share of the normal images that set thresholds; the others are judged by them.
    share: share of normal images that the quantile and the normal fit let be flagged.
    reached: share of the users on whose list a target must stand to count as having reached the lists.
    num_pictures: targets in the picture.
    repeats: measurements of the speed.
    brisque: files of BRISQUE's model and of its features' range; None without a score.
    data_dir: folder of the data sets and of images; None: the default.
    out_dir: where results go.
  """

  runs: tuple[RunConfig, ...]
  purifiers: tuple[MethodConfig, ...]
  calibration_share: float
  share: float
  reached: float
  num_pictures: int
  repeats: int
  brisque: tuple[pathlib.Path, pathlib.Path] | None
  data_dir: pathlib.Path | None
  out_dir: pathlib.Path

  @property
  def run(self) -> RunConfig:
    """The first run, for what all have in common."""
    return self.runs[0]


def bound_of(run: RunConfig) -> float:
  """The largest change of a pixel value that a run's attack may make."""
  return float(run.attack.hyperparameters.bound)


def parse_command_line(argv: Sequence[str]) -> Options:
  """Reads the command line.

  Args:
    argv: the program's name and its flags.

  Raises:
    HelpAsked: for --help.
    UsageError: for flags that cannot be used.
    ConfigError: for fields of a run that cannot be used.
  """
  value = read_group("image_report", argv, _define_flags)
  fields = dict(_DEFAULTS)
  for name, annotation in _annotations().items():
    if value(name) is not None:
      fields[name] = parse(annotation, value(name), f"--{name}")
  runs = _runs(value, {name: one for name, one in fields.items() if name.partition(".")[0] not in PURIFIERS})
  if (value("brisque_model") is None) != (value("brisque_range") is None):
    raise UsageError("--brisque_model and --brisque_range go together")
  return Options(
    runs=runs,
    purifiers=tuple(_purifier(name, value, fields) for name in PURIFIERS),
    calibration_share=_share("calibration_share", value("calibration_share")),
    share=_share("share", value("share")),
    reached=value("reached"),
    num_pictures=value("num_pictures"),
    repeats=value("repeats"),
    brisque=(pathlib.Path(value("brisque_model")), pathlib.Path(value("brisque_range")))
    if value("brisque_model") else None,
    data_dir=folder(value("data_dir")),
    out_dir=pathlib.Path(value("out_dir")),
  )


def _annotations() -> dict[str, Any]:
  """Types of the fields of a run that are flags here, by name."""
  known = owners()
  return {
    f"{owner}.{name}": annotation
    for owner in _OWNERS
    for name, annotation in typing.get_type_hints(known[owner]).items()
    if f"{owner}.{name}" not in _WITHHELD
  }


def _define_flags(group: FlagGroup) -> None:
  group.dataset()
  group.choice("model", "vncf", MODELS, "recommender that sees images.")
  group.choice("attack", "psmu_pp", ATTACKS, "attack by images.")
  group.text("bounds", "4,8,16,32", "comma list of largest changes of a pixel value, in units of 0..255; a run for"
             " each.")
  group.integer("epochs", 30, "epochs of each run; the images uploaded last are taken.", least=1)
  group.integer("num_targets", 100, "targets, whose images are changed.", least=2)
  group.number("malicious_ratio", 0.01, "invented users, under psmu_pp malicious clients too, as a share of the users.",
               least=0.0, most=1.0)
  group.integer("start", 178, "depth of purification in steps of 1000.", least=1)
  group.integer("respacing", 250, "steps that the way back is spread over, of the whole 1000.", least=2)
  group.number("calibration_share", 0.5, "share of the normal images that set thresholds; the others are judged by"
               " them.", least=0.0, most=1.0)
  group.number("share", 0.01, "share of normal images that the thresholds by quantile and normal fit let be flagged.",
               least=0.0, most=1.0)
  group.number("reached", 0.5, f"share of the users on whose list of {LIST_LENGTH} a target must stand, the other"
               " targets left out, to have reached the lists; 1 in the paper.", least=0.0, most=1.0)
  group.text("brisque_model", None, "file of BRISQUE's model, in the layout of OpenCV (.yml) or LIBSVM; default: no"
             " score, but the spread of BRISQUE's features.")
  group.text("brisque_range", None, "file of the range of its features, of the same layout.")
  group.integer("num_pictures", 2, "targets in pictures.png.", least=1)
  group.integer("repeats", 5, "measurements of the speed of purification.", least=1)
  group.integer("seed", 0, "seed of the runs and of the choice of images that set thresholds.", least=0)
  group.data_dir()
  group.out_dir()
  for name, annotation in _annotations().items():
    owner, _, field = name.partition(".")
    declared = next(one for one in dataclasses.fields(owners()[owner]) if one.name == field)
    group.text(name, None, field_flag_help(name, annotation, _DEFAULTS.get(name, declared.default)))


def _runs(value: Callable[[str], Any], fields: dict[str, Any]) -> tuple[RunConfig, ...]:
  """The run of each bound."""
  attack, epochs = value("attack"), value("epochs")
  fields = fields | {
    "dataset": value("dataset"), "model": value("model"), "attack": attack,
    "seed": value("seed"), "train.epochs": epochs, "eval.every": epochs,
    "eval.ks": (LIST_LENGTH, 20), "attacker.num_targets": value("num_targets"),
    "attacker.malicious_ratio": value("malicious_ratio"),
  }
  runs = tuple(from_flat(fields | {f"{attack}.bound": bound}) for bound in _bounds(value("bounds")))
  attacker, images = runs[0].attacker, runs[0].images
  for run in runs:
    run.model.build()
    run.attack.build()
  if attacker.start_epoch >= epochs:
    raise UsageError(f"--epochs must be above --attacker.start_epoch={attacker.start_epoch}, got {epochs}")
  if attacker.targets == "given" and len(attacker.target_items) < 2:
    raise UsageError(f"--attacker.target_items must be at least two items, got {shown(attacker.target_items)}")
  if images.source == "none":
    raise UsageError("--images.source must not be none")
  if images.size < SMALLEST_SIDE:
    raise UsageError(f"--images.size must be at least {SMALLEST_SIDE}, got {images.size}")
  return runs


def _purifier(name: str, value: Callable[[str], Any], fields: dict[str, Any]) -> MethodConfig:
  own = {field: given for field, given in fields.items() if field.startswith(f"{name}.")}
  own |= {f"{name}.{field}": value(field) for field in ("start", "respacing")}
  purifier = from_flat({"defense": name, **own}).defense[0]
  purifier.build()
  return purifier


def _bounds(text: str) -> tuple[float, ...]:
  bounds = []
  for part in comma_list("bounds", text):
    try:
      bound = float(part)
    except ValueError:
      bound = math.nan
    if not 0 < bound <= 255:
      raise UsageError(f"--bounds must be numbers above 0 and up to 255, got {part!r}")
    bounds.append(bound)
  return tuple(dict.fromkeys(bounds))


def _share(name: str, share: float) -> float:
  if not 0 < share < 1:
    raise UsageError(f"--{name} must lie between 0 and 1, got {share:g}")
  return share
