"""What the commands have in common: their entry, their flags, and what they print."""

from __future__ import annotations

import dataclasses
import pathlib
import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
from absl import flags
from rich.console import Console

from experiments.atomic_files import check_writable
from experiments.errors import UsageError
from experiments.grid import paths_apart, shown
from fedrecjax.config import ConfigError, field_help
from fedrecjax.datasets import DATA_DIR_VARIABLE, DATASETS, DataError
from fedrecjax.methods.fields import expected
from fedrecjax.version import __version__

DONE, FAILED, BAD_INPUT = 0, 1, 2
GIVEN = "true"
"""The value of a flag of an optional text that is given without one."""


class HelpAsked(Exception):
  """The command line asks for help; the message is the help text."""


def command(name: str, work: Callable[[Sequence[str]], int | None]) -> Callable[..., int]:
  """The entry of a command, which says in one line what was wrong.

  Args:
    name: of the command.
    work: reads the program's name and its flags and does everything; may return an exit status of its own.
  """

  def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command.

    Args:
      argv: the program's name and its flags; by default those of the process.

    Returns:
      Exit status: 0 done, 1 if something failed, such as a method that breaks its contract, or could not be
      written, 2 for bad flags or data.
    """
    try:
      return work(sys.argv if argv is None else argv) or DONE
    except HelpAsked as text:
      print(text)
      return DONE
    except (UsageError, DataError, ConfigError) as error:
      print(f"{name}: {error}", file=sys.stderr)
      return BAD_INPUT
    except Exception as error:
      if not isinstance(error, (OSError, MemoryError)) and not is_expected(error):
        raise
      print(f"{name}: {error if str(error) else type(error).__name__}", file=sys.stderr)
      return FAILED

  return main


def is_expected(error: Exception) -> bool:
  """Whether an error is one of this project's own, whose message says in a line what was wrong."""
  return type(error).__module__.startswith(("fedrecjax.", "experiments."))


class _OptionalText(flags.ArgumentParser[str | None]):
  """Reads what absl makes of a flag without a value as such."""

  def parse(self, argument: str) -> str | None:
    """See :meth:`FlagGroup.optional_text`."""
    return None if argument in ("false", "") else argument


@dataclasses.dataclass(frozen=True)
class FlagGroup:
  """Defines the flags of a command, or of one group of them.

  Attributes:
    values: where they are defined.
    name: of the command or the group.
  """

  values: flags.FlagValues
  name: str

  def text(self, name: str, default: str | None, help_text: str) -> None:
    """A text."""
    flags.DEFINE_string(name, default, help_text, **self._place)

  def optional_text(self, name: str, help_text: str) -> None:
    """A text that may be left out behind its flag, which then is `GIVEN`; None without the flag, or behind --noNAME."""
    parser = _OptionalText()
    serializer: flags.ArgumentSerializer[str | None] = flags.ArgumentSerializer()
    flag = flags.Flag(parser, serializer, name, None, help_text, boolean=True)
    flags.DEFINE_flag(flag, **self._place)

  def texts(self, name: str, default: Sequence[str], help_text: str) -> None:
    """A comma list of texts."""
    flags.DEFINE_list(name, list(default), help_text, **self._place)

  def repeated(self, name: str, help_text: str) -> None:
    """A text that may be given several times."""
    flags.DEFINE_multi_string(name, None, help_text, **self._place)

  def choice(self, name: str, default: str, choices: Sequence[str], help_text: str) -> None:
    """One of several texts."""
    flags.DEFINE_enum(name, default, list(choices), help_text, **self._place)

  def switch(self, name: str, default: bool, help_text: str, short_name: str | None = None) -> None:
    """Yes or no."""
    flags.DEFINE_bool(name, default, help_text, short_name=short_name, **self._place)

  def integer(self, name: str, default: int | None, help_text: str, *, least: int, most: int | None = None) -> None:
    """A whole number."""
    flags.DEFINE_integer(name, default, help_text, lower_bound=least, upper_bound=most, **self._place)

  def number(
    self, name: str, default: float, help_text: str, *, least: float | None = None, most: float | None = None
  ) -> None:
    """A number."""
    flags.DEFINE_float(name, default, help_text, lower_bound=least, upper_bound=most, **self._place)

  def version(self) -> None:
    """`--version`."""
    self.switch("version", False, "show the versions of fedrecjax, JAX and Python.")

  def dataset(self) -> None:
    """`--dataset`: one data set."""
    self.text("dataset", "synthetic", f"data set: {', '.join(DATASETS)}, or the path of a file.")

  def data_dir(self) -> None:
    """`--data_dir`: where data sets are."""
    self.text("data_dir", None, "folder with one folder per data set; default: the environment variable"
              f" {DATA_DIR_VARIABLE}, else a cache folder of the user.")

  def out_dir(self) -> None:
    """`--out_dir`: where results go, a folder of the command's name by default."""
    self.text("out_dir", f"results/{self.name}", "folder of the results.")

  @property
  def _place(self) -> dict[str, Any]:
    return {"flag_values": self.values, "module_name": self.name}


def field_flag_help(name: str, annotation: Any, default: Any) -> str:
  """The help text of the flag of a configuration's field.

  Args:
    name: dotted.
    annotation: of the field.
    default: of the flag.
  """
  owner, _, field = name.partition(".")
  shown_default = "none" if default is None or default == () else shown(default)
  return f"{field_help(owner, field).rstrip('.')}. {expected(annotation)}; default {shown_default}."


def comma_list(flag: str, text: str, *, paths: bool = False) -> tuple[str, ...]:
  """The parts of a comma list, each once; if of paths, commas within one that exists are part of it.

  Raises:
    UsageError: naming the flag, if there are none.

  >>> comma_list("rules", "mean, krum,mean")
  ('mean', 'krum')
  """
  places = paths_apart(text) if paths else text.split(",")
  parts = tuple(dict.fromkeys(part.strip() for part in places if part.strip()))
  if not parts:
    raise UsageError(f"--{flag} must be a comma list, got {text!r}")
  return parts


def folder(text: str | None) -> pathlib.Path | None:
  """The folder that a flag names, if it names one."""
  return pathlib.Path(text) if text else None


def read_group(group: str, argv: Sequence[str], define: Callable[[FlagGroup], None]) -> Callable[[str], Any]:
  """Reads the flags of the command `python -m experiments.GROUP`.

  Args:
    group: name of the command.
    argv: the program's name and its flags.
    define: defines the flags; `--help` and `--version` are added.

  Returns:
    The value of a flag by its name.

  Raises:
    HelpAsked: for --help and --version.
    UsageError: for flags that cannot be read.
  """
  values = flags.FlagValues()
  defined = FlagGroup(values, group)
  define(defined)
  defined.switch("help", False, "show the flags.", short_name="h")
  defined.version()
  read_flags(values, argv, {"help": lambda values: group_help(values, group), "version": version_line})
  return lambda name: values[name].value


def use_folder(path: pathlib.Path) -> None:
  """Makes the folder of the results.

  Raises:
    UsageError: naming --out_dir, if that cannot be.
  """
  try:
    path.mkdir(parents=True, exist_ok=True)
  except OSError as error:
    raise UsageError(f"--out_dir: cannot use {path}: {error.strerror}") from error


def check_out_dir(path: pathlib.Path) -> None:
  """Checks, before anything is computed, that results can be written.

  Raises:
    UsageError: naming --out_dir, if they cannot.
  """
  try:
    check_writable(path)
  except OSError as error:
    raise UsageError(f"--out_dir: cannot write into {path}: {error.strerror}") from error


def output(width: int = 1000) -> Console:
  """Standard output; in a file or a pipe lines are as wide as given, by default as long as they need to be."""
  return Console() if sys.stdout.isatty() else Console(width=width)


def print_line(console: Console, text: str) -> None:
  """Prints text as it is: no markup, no colors, no line breaks."""
  console.print(text, markup=False, highlight=False, soft_wrap=True)


def version_line(values: flags.FlagValues) -> str:
  """What `--version` shows."""
  del values
  return f"fedrecjax {__version__} (jax {jax.__version__}, Python {platform.python_version()})"


def group_help(values: flags.FlagValues, group: str) -> str:
  """The help text of the command `python -m experiments.GROUP`, whose flags are of that group."""
  lines = [f"python -m experiments.{group} [flags]", ""]
  for flag in values.flags_by_module_dict()[group]:
    default = "" if flag.default is None else f" default {flag.default}."
    lines.append(flags.text_wrap(f"--{flag.name}: {flag.help}{default}", indent="      ", firstline_indent="  "))
  return "\n".join(lines)


def read_flags(
  values: flags.FlagValues, argv: Sequence[str], helps: Mapping[str, Callable[[flags.FlagValues], str]], *,
  places: bool = False,
) -> list[str]:
  """Sets `values` to what a command line says.

  Args:
    values: with all flags defined.
    argv: the program's name and its flags.
    helps: what makes the help text, by the flag that asks for it.
    places: whether folders may stand among the flags.

  Returns:
    What is no flag, in order.

  Raises:
    HelpAsked: for one of the flags of `helps`.
    UsageError: for flags that cannot be read, and without `places` for anything else than flags.
  """
  values.set_gnu_getopt(places)
  try:
    rest = values(list(argv))[1:]
  except flags.Error as error:
    raise UsageError(" ".join(str(error).removeprefix("ERROR:: ").split())) from error
  for name, text in helps.items():
    if values[name].value:
      raise HelpAsked(text(values))
  if rest and not places:
    raise UsageError(f"expected flags only, got {rest[0]!r}")
  return rest
