"""Methods of others on a command line: loaded before its flags are defined, since theirs are among them."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from absl import flags

from experiments.errors import UsageError
from fedrecjax.plugins import Plugin, PluginError, load_again, load_installed, load_plugin

FLAG = "plugin"
HELP = ("Python file (NAME.py) or module (PACKAGE.MODULE) that registers attacks, defenses, models or data sets of your"
        " own; may be given several times. Their hyperparameters become flags, too. Installed packages offer theirs by"
        " themselves")


def load_plugins(argv: Sequence[str]) -> tuple[Plugin, ...]:
  """Loads what installed packages offer, and the plugins that a command line names.

  Args:
    argv: the program's name and its flags, of which others than --plugin may be unknown.

  Raises:
    UsageError: naming --plugin, if one cannot be loaded.
  """
  for line in load_installed():
    print(f"{line}; it is left out", file=sys.stderr)
  try:
    return tuple(load_plugin(text) for text in dict.fromkeys(_named_in(argv)))
  except PluginError as error:
    raise UsageError(f"--{FLAG}={error}") from error


def _named_in(argv: Sequence[str]) -> list[str]:
  """The values of --plugin, also in files of flags."""
  values = flags.FlagValues()
  flags.DEFINE_multi_string(FLAG, [], HELP, flag_values=values)
  # Else a value that stands apart from its flag, which is unknown here, would end the flags.
  values.set_gnu_getopt(True)
  try:
    values(list(argv), known_only=True)
  except flags.Error:
    # What is wrong is said where all flags are read.
    return []
  return list(values[FLAG].value or [])


def load_plugins_again(plugins: Sequence[Plugin]) -> None:
  """Loads in a process that runs cells what its sweep has loaded, which has said what cannot be."""
  load_installed()
  for plugin in plugins:
    load_again(plugin)
