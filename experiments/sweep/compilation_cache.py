"""Compiled programs, kept in a folder for later processes on the same kind of machine."""

from __future__ import annotations

import contextlib
import hashlib
import os
import pathlib
import platform
import time
import warnings
import zlib
from collections.abc import Callable
from typing import Any

import jax
import jaxlib

from experiments.atomic_files import check_writable
from experiments.errors import UsageError
from experiments.sweep.flags import AUTO, NONE
from fedrecjax.datasets import DataError
from fedrecjax.datasets.zstandard import largest_size

MOST_BYTES = 2 * 2**30
_LEAST_COMPILE_S = 0.1
_ENTRY = "*-cache"
_STAMP = ".checked"
_CPUINFO = pathlib.Path("/proc/cpuinfo")
# What a program may be compiled for: XLA takes every instruction that the processor has.
_OF_PROCESSOR = ("vendor_id", "cpu family", "model", "stepping", "flags", "CPU implementer", "CPU part", "Features")


def use_compilation_cache(asked: str, say: Callable[[str], None]) -> None:
  """Keeps compiled programs as --compilation_cache_dir asks.

  Args:
    asked: "auto" for the user's cache folder, or where JAX has been told to keep them already; "none"; or a folder.
    say: is told, in a line, if none can be kept in the user's cache folder.

  Raises:
    UsageError: if the folder that is asked for by name cannot be written.
  """
  if asked == NONE:
    jax.config.update("jax_compilation_cache_dir", None)
    return
  if asked == AUTO and programs_kept_in() is not None:
    return
  try:
    folder = user_folder() / kind_of_machine() if asked == AUTO else pathlib.Path(asked)
    folder.mkdir(parents=True, exist_ok=True)
    check_writable(folder)
    remove_damaged(folder)
    if asked == AUTO:
      shrink(folder.parent, MOST_BYTES)
  except (OSError, RuntimeError) as error:
    if asked != AUTO:
      raise UsageError(f"--compilation_cache_dir: {error}") from error
    say(f"compiled programs are not kept for later: {error}; --compilation_cache_dir names another folder, or none")
    return
  keep_programs_in(str(folder))


def programs_kept_in() -> str | None:
  """The folder that JAX has been told of; None: none."""
  settings: Any = jax.config  # whose types do not name its settings
  return settings.jax_compilation_cache_dir or None


def keep_programs_in(folder: str | None) -> None:
  """Tells JAX of a folder that can be written; None: of none."""
  jax.config.update("jax_compilation_cache_dir", folder)
  jax.config.update("jax_persistent_cache_min_compile_time_secs", _LEAST_COMPILE_S)
  # An entry that another process is just writing, or removes, is compiled again, which needs no word.
  warnings.filterwarnings("ignore", message="Error (reading|writing) persistent compilation cache entry")


def user_folder() -> pathlib.Path:
  """Where programs of all kinds of machines are kept for this user.

  Raises:
    RuntimeError: if the user has no home.
  """
  cache = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
  return pathlib.Path(cache) / "fedrecjax" / "programs"


def kind_of_machine() -> str:
  """Names what a compiled program depends on beside the program: JAX, the device, and what the processor can do."""
  device = _processor() if jax.default_backend() == "cpu" else jax.devices()[0].device_kind
  digest = hashlib.sha256(f"{jaxlib.__version__} {device}".encode()).hexdigest()[:8]
  return f"jax-{jax.__version__}-{jax.default_backend()}-{digest}"


def _processor() -> str:
  """What the first core says of itself."""
  try:
    lines = _CPUINFO.read_text().split("\n\n")[0].splitlines()
  except OSError:
    return f"{platform.machine()} {platform.processor()}"
  return "\n".join(line for line in lines if line.partition(":")[0].strip() in _OF_PROCESSOR)


def shrink(root: pathlib.Path, most: int) -> None:
  """Removes the programs that were not used for longest until what lies in all folders of `root` is small enough.

  Args:
    root: of folders of programs.
    most: bytes.
  """
  entries = []
  for file in root.glob(f"*/{_ENTRY}"):
    with contextlib.suppress(FileNotFoundError):
      status = file.stat()
      entries.append((max(status.st_atime, status.st_mtime), status.st_size, file))
  total = sum(size for _, size, _ in entries)
  for _, size, file in sorted(entries):
    if total <= most:
      return
    file.unlink(missing_ok=True)
    total -= size


def remove_damaged(folder: pathlib.Path) -> None:
  """Removes programs that were half written when their process was killed, or the disk was full.

  JAX would stumble over such an entry in every later process, and never replace it. Each is looked at once.

  Args:
    folder: of programs.
  """
  stamp, started = folder / _STAMP, time.time()
  checked = stamp.stat().st_mtime if stamp.exists() else 0.0
  for entry in folder.glob(_ENTRY):
    with contextlib.suppress(FileNotFoundError):
      if entry.stat().st_mtime >= checked and not _is_whole(entry):
        entry.unlink()
  stamp.touch()
  os.utime(stamp, (started, started))


def _is_whole(entry: pathlib.Path) -> bool:
  """Whether an entry, which JAX has packed in one of two ways, can be unpacked."""
  packed = entry.read_bytes()
  try:
    if packed.startswith(b"\x28\xb5\x2f\xfd"):
      return largest_size(entry, packed) >= 0
    return bool(zlib.decompress(packed))
  except (DataError, zlib.error):
    return False
