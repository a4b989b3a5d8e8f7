"""From a file, a module or an installed package to registered methods; a mistake in one is a line with its place."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib
import importlib.metadata
import importlib.util
import pathlib
import sys
import traceback
import types
from collections.abc import Callable, Iterator
from typing import NamedTuple

from fedrecjax.plugins.provenance import FILES, package_of
from fedrecjax.plugins.registration import TABLES, PluginError, kind_of, register

GROUPS = {f"fedrecjax.{kind}s": kind for kind in ("attack", "defense", "model", "dataset")}
"""Groups of entry points, and the kinds of what they name."""
_SUFFIX = ".py"


class Plugin(NamedTuple):
  """A plugin that was asked for.

  Attributes:
    text: as it was named: a file or a module.
    source: of a file, as it was when it was read; None of a module.
  """

  text: str
  source: bytes | None = None


def load_plugin(text: str) -> Plugin:
  """Loads a plugin, which registers its methods.

  Args:
    text: a Python file, whose name ends in .py, or the dotted name of a module.

  Returns:
    The plugin, for :func:`load_again` in another process.

  Raises:
    PluginError: naming the plugin and, of a mistake in it, its file and line.
  """
  plugin = Plugin(text, _source_of(text) if text.endswith(_SUFFIX) else None)
  load_again(plugin)
  return plugin


def load_again(plugin: Plugin) -> None:
  """Loads a plugin as it was before, also if its file has changed since; once in each process.

  Raises:
    PluginError: as :func:`load_plugin`.
  """
  if plugin.source is None:
    _import(plugin.text)
    root = package_of(plugin.text)
    registered = [name for name in _modules_of_methods() if package_of(name) == root]
  else:
    name = _execute(pathlib.Path(plugin.text), plugin.source)
    registered = [one for one in _modules_of_methods() if one == name]
  if not registered:
    raise PluginError(f"{plugin.text}: it registers nothing; put @fedrecjax.register above the function that makes an"
                      " attack, a defense, a model or a data set")


def load_installed() -> list[str]:
  """Loads what installed packages offer by entry points, see `GROUPS`.

  Returns:
    A line for each that cannot be loaded, and is left out.
  """
  lines = []
  for entry in _entry_points(tuple(sys.path)):
    try:
      _load_entry(entry)
    except PluginError as error:
      lines.append(str(error))
  return lines


@functools.lru_cache(maxsize=1)
def _entry_points(path: tuple[str, ...]) -> tuple[importlib.metadata.EntryPoint, ...]:
  """Those of our groups of what is installed; `path` is where that is looked for."""
  del path
  found = importlib.metadata.entry_points()
  return tuple(entry for group in GROUPS for entry in found.select(group=group))


def _load_entry(entry: importlib.metadata.EntryPoint) -> None:
  kind = GROUPS[entry.group]
  table = TABLES[kind]
  source = "an unknown package" if entry.dist is None else f"{entry.dist.name} {entry.dist.version}"
  title = f"{kind} {entry.name} of the installed {source}"
  try:
    with _all_or_nothing():
      constructor = entry.load()
      if not callable(constructor) or kind_of(constructor) != kind:
        raise PluginError(f"{entry.value} makes no {kind}")
      own = constructor.__name__.rstrip("_")
      if own != entry.name:
        raise PluginError(f"its entry point must be named as its function, {own}")
      if own not in table.names() or table[own].constructor is not constructor:
        register(constructor)
  except (Exception, SystemExit) as error:
    folder = _folder_of(entry.module)
    raise PluginError(f"{title}: {_account(error, lambda file: folder is not None and folder in file)}") from error


def _modules_of_methods() -> list[str]:
  """The module of each registered constructor."""
  return [table[name].constructor.__module__ for table in TABLES.values() for name in table.names()]


def _source_of(text: str) -> bytes:
  try:
    return pathlib.Path(text).read_bytes()
  except FileNotFoundError as error:
    raise PluginError(f"{text}: no such file") from error
  except OSError as error:
    raise PluginError(f"{text}: it cannot be read: {error.strerror}") from error


def _execute(path: pathlib.Path, source: bytes) -> str:
  """Runs a file as a module of its own, which is named after its content, and returns the name."""
  digest = hashlib.sha256(source).hexdigest()
  name = f"fedrecjax_plugin_{path.stem}_{digest[:16]}"
  if name in FILES:
    return name
  module = types.ModuleType(name)
  module.__file__ = str(path)
  # Dataclasses look their module up.
  sys.modules[name] = module
  FILES[name] = f"{path.name} {digest}"
  try:
    with _all_or_nothing():
      exec(compile(source, str(path), "exec"), module.__dict__)
  except (Exception, SystemExit) as error:
    del sys.modules[name], FILES[name]
    raise PluginError(f"{path}: {_account(error, lambda file: file == str(path))}") from error
  return name


@contextlib.contextmanager
def _all_or_nothing() -> Iterator[None]:
  """Undoes what is registered in a block that fails."""
  before = {kind: table.names() for kind, table in TABLES.items()}
  try:
    yield
  except BaseException:
    for kind, table in TABLES.items():
      for name in set(table.names()) - set(before[kind]):
        table.remove(name)
    raise


def _import(name: str) -> None:
  try:
    with _all_or_nothing():
      importlib.import_module(name)
  except (Exception, SystemExit) as error:
    if isinstance(error, ModuleNotFoundError) and error.name is not None and f"{name}.".startswith(f"{error.name}."):
      raise PluginError(f"{name}: there is no module {error.name}; the name of a file ends in {_SUFFIX}") from error
    folder = _folder_of(name)
    raise PluginError(f"{name}: {_account(error, lambda file: folder is not None and folder in file)}") from error


def _folder_of(module: str) -> str | None:
  """Where the outermost package of a module lies, or the file of a module in none."""
  try:
    spec = importlib.util.find_spec(module.partition(".")[0])
  except (ImportError, ValueError):
    return None
  if spec is None:
    return None
  places = list(spec.submodule_search_locations or ())
  return places[0] if places else spec.origin


def _account(error: BaseException, is_own: Callable[[str], bool]) -> str:
  """What went wrong in a plugin, in one line, with the place in its own files."""
  message = (str(error).strip().splitlines() or ["no message"])[0]
  text = message if isinstance(error, PluginError) else f"{type(error).__name__}: {message}"
  if isinstance(error, SyntaxError) and error.filename is not None and is_own(error.filename):
    return f"{error.filename}:{error.lineno}: {type(error).__name__}: {error.msg}"
  places = [frame for frame in traceback.extract_tb(error.__traceback__) if is_own(frame.filename)]
  return f"{places[-1].filename}:{places[-1].lineno}: {text}" if places else text
