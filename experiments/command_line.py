"""What the commands have in common in reading their flags."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from absl import flags

from experiments.errors import UsageError


class HelpAsked(Exception):
  """The command line asks for help; the message is the help text."""


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
