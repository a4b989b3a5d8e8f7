"""Where a method comes from, in words that change with its code: results of a plugin's former self are not its own."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import pathlib
import sys
from collections.abc import Callable
from typing import Any

from fedrecjax.config import REGISTRIES, RunConfig
from fedrecjax.datasets import OWN_SETS, digest_of

FILES: dict[str, str] = {}
"""Where the modules come from that were made of single files, by their names: the file's name and its SHA-256."""
_OWN = __name__.partition(".")[0]


def plugins_of(config: RunConfig) -> str | None:
  """The plugins that a run needs: names with what tells versions apart, joined by "; "; None for a run without.

  >>> from fedrecjax.config import from_flat
  >>> plugins_of(from_flat({"attack": "pieck_uea"})) is None
  True
  """
  methods = (config.model, config.attack, *config.defense)
  constructors: list[Callable[..., Any]] = [REGISTRIES[one.kind][one.name].constructor for one in methods]
  if config.dataset in OWN_SETS.names():
    constructors.append(OWN_SETS[config.dataset].constructor)
  found = {provenance(one) for one in constructors} - {None}
  return "; ".join(sorted(map(str, found))) or None


def provenance(constructor: Callable[..., Any]) -> str | None:
  """Where a constructor comes from; None for those of this package.

  Returns:
    Of a plugin that is one file its name and its SHA-256. Of a package its name, that of its distribution with the
    version, if it is installed, and the SHA-256 of what `sha256sum` prints of its Python files.
  """
  name = constructor.__module__
  if name.partition(".")[0] == _OWN:
    return None
  return FILES.get(name) or _of_module(name)


def package_of(module: str) -> str:
  """The outermost package of a module that lies in one place.

  >>> package_of("json.decoder")
  'json'
  """
  parts = module.split(".")
  outer = (".".join(parts[: end + 1]) for end in range(len(parts)))
  return next((one for one in outer if _place_of(one) is not None), module)


def _place_of(module: str) -> pathlib.Path | None:
  """The folder of a package or the file of a module; None of one that is shared among folders or has no file."""
  found = sys.modules.get(module)
  folders, file = list(getattr(found, "__path__", ())), getattr(found, "__file__", None)
  if len(folders) == 1:
    return pathlib.Path(folders[0])
  return pathlib.Path(file) if file is not None and pathlib.Path(file).is_file() else None


@functools.cache
def _of_module(module: str) -> str:
  """Looked at once in a process, which goes on with what it has imported."""
  package = package_of(module)
  place, distribution = _place_of(package), _distribution(package)
  named = package if distribution is None else f"{package} of {distribution}"
  if place is None:
    return named
  return f"{named} {_digest_below(place) if place.is_dir() else digest_of(place)}"


def _digest_below(folder: pathlib.Path) -> str:
  files = sorted(folder.rglob("*.py"))
  lines = "".join(f"{digest_of(file)}  {file.relative_to(folder).as_posix()}\n" for file in files)
  return hashlib.sha256(lines.encode()).hexdigest()


def _distribution(package: str) -> str | None:
  """Name and version of what installed a package."""
  names = importlib.metadata.packages_distributions().get(package.partition(".")[0], [])
  return f"{names[0]} {importlib.metadata.version(names[0])}" if names else None
