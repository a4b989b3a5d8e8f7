"""What the commands have in common in reading their flags."""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from absl import flags
from rich.console import Console

from experiments.errors import UsageError
from fedrecjax.config import ConfigError
from fedrecjax.datasets import DataError

DONE, FAILED, BAD_INPUT = 0, 1, 2


class HelpAsked(Exception):
  """The command line asks for help; the message is the help text."""


def run_command(name: str, work: Callable[[], None]) -> int:
  """Runs a command and says in one line what was wrong.

  Args:
    name: of the command.
    work: reads the flags and does everything.

  Returns:
    Exit status: 0 done, 1 if results could not be written, 2 for bad flags or data.
  """
  try:
    work()
    return DONE
  except HelpAsked as text:
    print(text)
    return DONE
  except (UsageError, DataError, ConfigError) as error:
    print(f"{name}: {error}", file=sys.stderr)
    return BAD_INPUT
  except OSError as error:
    print(f"{name}: {error}", file=sys.stderr)
    return FAILED


def read_group(group: str, argv: Sequence[str], define: Callable[[dict[str, Any]], None]) -> Callable[[str], Any]:
  """Reads the flags of the command `python -m experiments.GROUP`.

  Args:
    group: name of the command.
    argv: the program's name and its flags.
    define: defines the flags, given what every `flags.DEFINE_...` needs to know; `--help` is added.

  Returns:
    The value of a flag by its name.

  Raises:
    HelpAsked: for --help.
    UsageError: for flags that cannot be read.
  """
  values = flags.FlagValues()
  known: dict[str, Any] = {"flag_values": values, "module_name": group}
  define(known)
  flags.DEFINE_bool("help", False, "show the flags.", short_name="h", **known)
  read_flags(values, argv, {"help": lambda values: group_help(values, group)})
  return lambda name: values[name].value


def use_folder(folder: pathlib.Path) -> None:
  """Makes the folder of the results.

  Raises:
    UsageError: naming --out_dir, if that cannot be.
  """
  try:
    folder.mkdir(parents=True, exist_ok=True)
  except OSError as error:
    raise UsageError(f"--out_dir: cannot use {folder}: {error.strerror}") from error


def output(width: int = 1000) -> Console:
  """Standard output; in a file or a pipe lines are as wide as given, by default as long as they need to be."""
  return Console() if sys.stdout.isatty() else Console(width=width)


def print_line(console: Console, text: str) -> None:
  """Prints text as it is: no markup, no colors, no line breaks."""
  console.print(text, markup=False, highlight=False, soft_wrap=True)


def group_help(values: flags.FlagValues, group: str) -> str:
  """The help text of the command `python -m experiments.GROUP`, whose flags are of that group."""
  lines = [f"python -m experiments.{group} [flags]", ""]
  for flag in values.flags_by_module_dict()[group]:
    default = "" if flag.default is None else f" default {flag.default}."
    lines.append(flags.text_wrap(f"--{flag.name}: {flag.help}{default}", indent="      ", firstline_indent="  "))
  return "\n".join(lines)


def read_flags(
  values: flags.FlagValues, argv: Sequence[str], helps: Mapping[str, Callable[[flags.FlagValues], str]]
) -> None:
  """Sets `values` to what a command line says.

  Args:
    values: with all flags defined.
    argv: the program's name and its flags.
    helps: what makes the help text, by the flag that asks for it.

  Raises:
    HelpAsked: for one of the flags of `helps`.
    UsageError: for flags that cannot be read, and for anything else than flags.
  """
  try:
    rest = values(list(argv))[1:]
  except flags.Error as error:
    raise UsageError(" ".join(str(error).removeprefix("ERROR:: ").split())) from error
  for name, text in helps.items():
    if values[name].value:
      raise HelpAsked(text(values))
  if rest:
    raise UsageError(f"expected flags only, got {rest[0]!r}")
