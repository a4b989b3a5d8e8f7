"""What the commands have in common in reading their flags."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence

from absl import flags

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
