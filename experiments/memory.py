"""How a process keeps its memory, and how much of it compiled programs hold."""

from __future__ import annotations

import ctypes
import pathlib
import sys

# Parameters of glibc's mallopt. Blocks that are mapped one by one go back to the system whatever the threshold, and
# glibc maps all above 32 MB so unless it is told to map none.
_TRIM_THRESHOLD, _MOST_MAPPED = -1, -4
_NEVER = 2**31 - 1


def keep_freed_memory() -> bool:
  """Makes the process keep freed memory for its next use instead of giving it back to the system.

  XLA allocates and frees the arrays of a program in every call. Given back, each page of them is cleared by the kernel
  when it is touched again: an evaluation of MovieLens-100K then takes five times as long. Whether it happens without
  this is a matter of what else lies in memory.

  Returns:
    Whether the system's C library could be told; only glibc can.
  """
  if not sys.platform.startswith("linux"):
    return False
  try:
    library = ctypes.CDLL(None)
    return bool(library.mallopt(_TRIM_THRESHOLD, _NEVER) and library.mallopt(_MOST_MAPPED, 0))
  except (OSError, AttributeError):
    return False


def holds_many_programs() -> bool:
  """Whether compiled programs fill most of the 65,530 memory maps that Linux allows a process."""
  maps = pathlib.Path("/proc/self/maps")
  return maps.exists() and maps.read_bytes().count(b"\n") > 40_000
