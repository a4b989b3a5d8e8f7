"""The help texts of the sweep: its flags, and what there is of each kind, in a line each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from absl import flags

from experiments.recipes import GROUPS, RECIPES
from fedrecjax.config import REGISTRIES, owners
from fedrecjax.datasets import OWN_SETS, dataset_names
from fedrecjax.methods.registry import Method

_LISTS = {"model": "models", "attack": "attacks", "defense": "defenses"}


def short_help(values: flags.FlagValues) -> str:
  """The flags of the sweep and its axes, and what they may name."""
  end = "--helpfull explains the fields of all owners, --helpfull --plugin=FILE.py those of a plugin, too."
  return "\n\n".join([_flags(values, ("sweep", "axes")), *_lists(), end])


def full_help(values: flags.FlagValues) -> str:
  """All flags, and what axes and recipes may name."""
  return "\n\n".join([_flags(values, ("sweep", "axes", *owners())), *_lists()])


def _flags(values: flags.FlagValues, groups: Sequence[str]) -> str:
  by_group = values.flags_by_module_dict()
  lines = [
    "python -m experiments.sweep [flags]",
    "",
    "Axes and fields take comma lists; the grid is their product.",
  ]
  for group in groups:
    lines += ["", f"{group}:"]
    for flag in by_group[group]:
      lines.append(flags.text_wrap(f"--{flag.name}: {flag.help}", indent="      ", firstline_indent="  "))
  return "\n".join(lines)


def _lists() -> list[str]:
  """A paragraph for each kind, attacks by what they do."""
  texts = []
  for kind, title in _LISTS.items():
    for family, methods in _families(REGISTRIES[kind][name] for name in REGISTRIES[kind].names()).items():
      lines = {one.name: (one.config.__doc__ or "").rstrip(".") for one in methods}
      texts.append(_list(f"{title}{family}", lines))
  own = {name: OWN_SETS[name].config.__doc__ or "" for name in OWN_SETS.names()}
  texts.append(_list("data sets, or paths of files", {name: own.get(name, "") for name in dataset_names()}))
  texts.append(_list("recipes", {name: recipe.title for name, recipe in RECIPES.items()}))
  return [*texts, _list("recipes of a paper", {name: f"{len(names)} recipes" for name, names in GROUPS.items()})]


def _families(methods: Iterable[Method]) -> Mapping[str, list[Method]]:
  """Methods by the family that their module lies in, if it lies in one, and those of plugins by themselves."""
  found: dict[str, list[Method]] = {"": []}
  for method in methods:
    package, *rooms = method.constructor.__module__.split(".")
    family = "" if len(rooms) < 3 else f", {rooms[1].replace('_', ' ')}"
    found.setdefault(family if package == "fedrecjax" else ", of plugins", []).append(method)
  return {family: several for family, several in found.items() if several}


def _list(title: str, lines: Mapping[str, str]) -> str:
  width = max(map(len, lines))
  indent = " " * (width + 4)
  entries = [
    flags.text_wrap(line, indent=indent, firstline_indent=f"  {name:{width}}  ") if line else f"  {name}"
    for name, line in lines.items()
  ]
  return "\n".join([f"{title}:", *entries])
