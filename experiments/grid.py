"""From settings to cells: the product of the axes, as run configurations without repetitions."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import math
import pathlib
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from experiments.errors import UsageError
from fedrecjax.config import (
  REGISTRIES,
  SECTIONS,
  ConfigError,
  RunConfig,
  defense_parts,
  from_flat,
  owner_of,
  owners,
  parse,
  with_unset,
)
from fedrecjax.config.presets import PRESET_FIELD, PROTOCOL_FIELDS
from fedrecjax.config.training_presets import TRAINING_FIELDS, TRAINING_PRESET_FIELD
from fedrecjax.datasets import NAMED_SETS, data_digest
from fedrecjax.datasets.given_splits import named_parts
from fedrecjax.defenses import chain
from fedrecjax.methods.fields import names_apart, takes_names, written
from fedrecjax.methods.spelling import did_you_mean
from fedrecjax.plugins import plugins_of

AXES = ("dataset", "model", "attack", "defense", "seed")
MOST_CELLS = 100_000

Settings = Mapping[str, str]
"""Values of flags by name without dashes, each a comma list, as on the command line."""


class Cell(NamedTuple):
  """One run of a sweep.

  Attributes:
    config: everything that its result depends on, but for what data files hold.
    flat: the configuration by dotted name.
    hash: of the configuration, the digest of data files and plugins; names the cell's folder.
    data_digest: of the files that the data come from, see :func:`fedrecjax.datasets.data_digest`; None where they come
      from none, or those are not there.
    plugins: that its methods come from, see :func:`fedrecjax.plugins.plugins_of`; None where they come from none.
  """

  config: RunConfig
  flat: dict[str, Any]
  hash: str
  data_digest: str | None = None
  plugins: str | None = None

  @property
  def without_data(self) -> str:
    """Hash of the configuration alone."""
    return self.config.hash()


def expand(blocks: Sequence[Settings], overrides: Settings, *, all_concern: bool = True) -> list[Cell]:
  """The cells of a sweep, in an order in which neighbours share compiled programs.

  Args:
    blocks: each a product of axes; axes and fields left out have their defaults.
    overrides: settings that replace those of every block, "eval.preset" the whole evaluation protocol, "train.preset"
      all of how it trains.
    all_concern: whether each override must concern at least one cell.

  Returns:
    Different cells; of those that come out the same only the first is kept.

  Raises:
    UsageError: if an override concerns no cell.
    ConfigError: if a value is impossible.

  >>> grid = expand([{"attack": "none,pieck_uea", "pieck_uea.num_popular": "10,50"}], {"seed": "0-1"})
  >>> [(cell.flat["attack"], cell.flat.get("pieck_uea.num_popular")) for cell in grid]
  [('none', None), ('none', None), ('pieck_uea', 10), ('pieck_uea', 10), ('pieck_uea', 50), ('pieck_uea', 50)]
  """
  cells: dict[str, Cell] = {}
  applied: set[str] = set()
  grids = [_grid(block, overrides) for block in blocks]
  _check_size(grids)
  for axes, fields in grids:
    for values, own in _choices(axes, fields):
      applied.update(own)
      for combination in itertools.product(*(fields[name] for name in own)):
        config = from_flat(values | dict(zip(own, combination, strict=True)))
        cell = Cell(config, config.flat(), config.hash())
        cells.setdefault(cell.hash, cell)
  foreign = [name for name in overrides if name not in AXES and name not in applied]
  if foreign and all_concern:
    raise UsageError(
      f"--{foreign[0]} belongs to {foreign[0].partition('.')[0]}, which takes part in no cell of the grid;"
      " add it to --model, --attack or --defense, or leave the flag out"
    )
  _check_methods(cells.values())
  return in_order_of_structure(list(cells.values()))


def _grid(block: Settings, overrides: Settings) -> tuple[dict[str, list[Any]], dict[str, list[Any]]]:
  """The values of the axes of a block, those that are given, and of its fields."""
  for preset, fields in ((PRESET_FIELD, PROTOCOL_FIELDS), (TRAINING_PRESET_FIELD, TRAINING_FIELDS)):
    if preset in overrides:
      # Else what a block says of the protocol or of training would override the preset.
      block = {name: text for name, text in block.items() if name not in fields}
  merged = {**block, **overrides}
  if "attacker.target_items" in overrides and "attacker.targets" not in overrides:
    merged["attacker.targets"] = "given"
  axes = {name: axis_values(name, merged[name]) for name in AXES if name in merged}
  return axes, {name: field_values(name, text) for name, text in merged.items() if name not in AXES}


def _check_size(grids: Iterable[tuple[Mapping[str, list[Any]], Mapping[str, list[Any]]]]) -> None:
  """Counts the cells before any is made, since making a hundred thousand takes minutes."""
  count = 0
  for axes, fields in grids:
    for _, own in _choices(axes, fields):
      count += math.prod(len(fields[name]) for name in own)
      if count > MOST_CELLS:
        raise UsageError(f"the grid has more than {MOST_CELLS:,} cells; run parts of it, each with its own --out_dir")


def _choices(
  axes: Mapping[str, list[Any]], fields: Mapping[str, list[Any]]
) -> Iterator[tuple[dict[str, Any], list[str]]]:
  """The product of the axes, and for each the fields that concern it."""
  for choice in itertools.product(*axes.values()):
    values = dict(zip(axes, choice, strict=True))
    present = _owners_of(values)
    yield values, [name for name in fields if name.partition(".")[0] in present]


def of_data(cells: Sequence[Cell], data_dir: pathlib.Path | None) -> list[Cell]:
  """The same cells as those of the data files and plugins that are there: with other contents a cell is another one.

  Args:
    cells: of a grid.
    data_dir: folder of named data sets.

  Raises:
    DataError: if a file cannot be read.
  """
  files = [(cell.config.dataset, cell.config.attacker.public_file) for cell in cells]
  digests = {(name, public): data_digest(name, data_dir=data_dir, public_file=public) for name, public in set(files)}
  return [_identified(cell, digests[own]) for cell, own in zip(cells, files, strict=True)]


def _identified(cell: Cell, digest: str | None) -> Cell:
  plugins = plugins_of(cell.config)
  found = cell._replace(hash=cell.without_data, data_digest=digest, plugins=plugins)
  if digest is None and plugins is None:
    return found
  # Files used to be numbered by their ids; results of those days are no longer those of the same cell.
  how = "" if cell.config.dataset in NAMED_SETS else " ids are names"
  text = cell.without_data if digest is None else f"{cell.without_data} {digest}{how}"
  text += "" if plugins is None else f" {plugins}"
  return found._replace(hash=hashlib.sha256(text.encode()).hexdigest()[:16])


def parse_only(text: str) -> dict[str, tuple[str, ...]]:
  """Reads FIELD=VALUE+VALUE,...: which values of which fields are wanted.

  Raises:
    UsageError: if the text is no such list.

  >>> parse_only("attack=none+spattack_od,defense=median")
  {'attack': ('none', 'spattack_od'), 'defense': ('median',)}
  """
  wanted = {}
  for part in filter(None, text.split(",")):
    field, equals, values = part.strip().partition("=")
    if not (equals and field and values):
      raise UsageError(f"--only must be a comma list of FIELD=VALUE+VALUE, got {part!r}")
    wanted[field] = tuple(values.split("+"))
  return wanted


def select(cells: Sequence[Cell], wanted: Mapping[str, Sequence[str]]) -> list[Cell]:
  """The cells whose fields have one of the wanted values.

  Raises:
    UsageError: if no cell has such a field, or none is left.
  """
  flats = [with_unset(cell.flat) for cell in cells]
  for field in wanted:
    if not any(field in flat for flat in flats):
      meant = did_you_mean(field, dict.fromkeys(itertools.chain(*flats)))
      raise UsageError(f"--only: no cell has a field {field}{meant}")
  # A value may itself be joined with +, as a defense of two parts.
  texts = {field: {*values, "+".join(values)} for field, values in wanted.items()}
  left = [
    cell for cell, flat in zip(cells, flats, strict=True)
    if all(field in flat and shown(flat[field]) in values for field, values in texts.items())
  ]
  if not left:
    raise UsageError(f"--only leaves none of the {len(cells)} cells")
  return left


def _owners_of(values: Mapping[str, Any]) -> set[str]:
  """The owners of the fields of a cell with these axes."""
  methods = [("model", values.get("model", "mf")), ("attack", values.get("attack", "none"))]
  methods += [("defense", part) for part in defense_parts(values.get("defense", "none"))]
  return {owner_of(kind, name) for kind, name in methods} | set(SECTIONS)


def axis_values(name: str, text: str) -> list[Any]:
  """The values of an axis; seeds may be given as ranges.

  Raises:
    UsageError: if the text is no such list.

  >>> axis_values("seed", "0-2,7"), axis_values("defense", "none,norm_bound+median")
  ([0, 1, 2, 7], ['none', 'norm_bound+median'])
  """
  parts = paths_apart(text) if name == "dataset" else [part.strip() for part in text.split(",")]
  if not all(parts):
    raise UsageError(f"--{name} must be a comma list without empty places, got {text!r}")
  if name in REGISTRIES:
    known = REGISTRIES[name].names()
    for part in parts:
      for method in part.split("+") if name == "defense" else [part]:
        if method not in known:
          meant = did_you_mean(method, known)
          raise UsageError(f"--{name} must be a comma list of {', '.join(known)}, got {method!r}{meant}")
  if name != "seed":
    return parts
  seeds: list[int] = []
  for part in parts:
    first, _, last = part.partition("-")
    if not first.isdecimal() or not (last or first).isdecimal() or (last and int(last) < int(first)):
      raise UsageError(f"--seed must be a comma list of integers or ranges like 0-4, got {part!r}")
    count = int(last or first) + 1 - int(first)
    if len(seeds) + count > MOST_CELLS:
      raise UsageError(f"--seed: {part} is {count:,} seeds, and a sweep has at most {MOST_CELLS:,} cells")
    seeds += range(int(first), int(last or first) + 1)
  return seeds


def field_values(name: str, text: str) -> list[Any]:
  """The values of a field given by dotted name.

  Raises:
    UsageError: if there is no such field.
    ConfigError: if a value is not of the field's type.

  >>> field_values("train.learning_rate", "0.5,1"), field_values("eval.ks", "5+10")
  ([0.5, 1.0], [(5, 10)])
  """
  if name in (PRESET_FIELD, TRAINING_PRESET_FIELD):
    return [part.strip() for part in text.split(",")]
  owner, _, field = name.partition(".")
  annotations = typing.get_type_hints(owners().get(owner, object))
  if field not in annotations:
    raise UsageError(f"there is no flag --{name}")
  annotation = annotations[field]
  if takes_names(annotation):
    parts = names_apart(text, ",")
  else:
    parts = paths_apart(text) if str in (annotation, *typing.get_args(annotation)) else text.split(",")
  return [parse(annotation, part, f"--{name}") for part in parts]


def paths_apart(text: str) -> list[str]:
  """The places of a comma list, of which those that make up the path of a file or folder are one.

  The longest path that exists wins, so that names of files may have commas in them.

  >>> paths_apart("ml-100k, ml-1m")
  ['ml-100k', 'ml-1m']
  """
  parts = text.split(",")
  found, start = [], 0
  while start < len(parts):
    end = next(
      (end for end in range(len(parts), start + 1, -1) if _is_there(",".join(parts[start:end]).strip())), start + 1
    )
    found.append(",".join(parts[start:end]).strip())
    start = end
  return found


def _is_there(text: str) -> bool:
  """Whether a text is the path of a file or folder, or of the files of a split."""
  try:
    named = named_parts(text)
    return pathlib.Path(text).exists() if named is None else all(part.path.is_file() for part in named)
  except (OSError, ValueError):
    return False


def _check_methods(cells: Iterable[Cell]) -> None:
  """Builds every method once, because only constructors know which hyperparameters they accept."""
  checked: set[Any] = set()
  for cell in cells:
    config = cell.config
    for methods in ((config.model,), (config.attack,), config.defense):
      if methods in checked:
        continue
      checked.add(methods)
      built = [method.build() for method in methods]
      if methods[0].kind == "defense":
        try:
          chain(*built)
        except ValueError as error:
          raise ConfigError(f"--defense={cell.flat['defense']}: {error}") from error


def structure_of(cell: Cell) -> tuple[tuple[str, Any], ...]:
  """What cells have in common that share a compiled program: all but numbers and seeds; hashable."""
  return tuple(
    (name, tuple(value) if isinstance(value, list) else value)
    for name, value in cell.flat.items()
    if name != "seed" and not isinstance(value, float)
  )


def in_order_of_structure(cells: list[Cell]) -> list[Cell]:
  """Puts cells together that share a compiled program."""
  first: dict[Any, int] = {}
  places = [(first.setdefault(structure_of(cell), number), number) for number, cell in enumerate(cells)]
  return [cells[number] for _, number in sorted(places)]


def varying_fields(cells: Sequence[Cell]) -> list[str]:
  """The fields that tell the cells apart, axes first.

  A field counts only where it means something: what attackers have in common is left aside in cells without attack.
  """
  values: dict[str, set[str]] = {}
  for cell in cells:
    for name, value in with_unset(cell.flat).items():
      if not (name.startswith("attacker.") and cell.flat["attack"] == "none"):
        values.setdefault(name, set()).add(repr(value))
  return [name for name, seen in values.items() if len(seen) > 1]


def shown(value: Any) -> str:
  """A value of a field as it is written on the command line; "-" where the field does not apply.

  >>> shown([5, 10]), shown(True), shown(0.5), shown(None)
  ('5+10', 'true', '0.5', '-')
  """
  if value is None:
    return "-"
  if isinstance(value, (list, tuple)):
    return "+".join(written(part) for part in value)
  return str(value).lower() if isinstance(value, bool) else str(value)


def label(flat: Mapping[str, Any], name: str) -> str:
  """A field of a flat configuration as it is written on the command line; "-" where it does not apply."""
  return shown(with_unset(flat).get(name))


def cell_name(cell: Cell, varying: Iterable[str]) -> str:
  """A name for messages: the axes, and the other fields that vary."""
  axes = [shown(cell.flat[name]) for name in AXES[:-1]] + [f"seed={cell.config.seed}"]
  fields = [f"{name}={shown(cell.flat[name])}" for name in varying if name not in AXES and name in cell.flat]
  return " ".join(axes + fields)


@dataclasses.dataclass(frozen=True)
class Shard:
  """A part of a sweep.

  Attributes:
    index: 0 to count - 1.
    count: number of parts.
  """

  index: int = 0
  count: int = 1

  def of(self, cells: Sequence[Cell]) -> list[Cell]:
    """The cells of this part. Every `count`-th one, so that slow neighbours are spread over all parts."""
    return list(cells[self.index :: self.count])


def parse_shard(text: str) -> Shard:
  """Reads i/n.

  Raises:
    UsageError: if the text is no such part.

  >>> parse_shard("2/8")
  Shard(index=2, count=8)
  """
  index, slash, count = text.partition("/")
  if not (slash and index.isdecimal() and count.isdecimal() and int(index) < int(count)):
    raise UsageError(f"--shard must be i/n with i from 0 to n-1, got {text!r}")
  return Shard(int(index), int(count))
