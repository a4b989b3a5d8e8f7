"""Processes that tests start, and those that these start."""

import pathlib
import time

import pytest


def _stat(process):
  """State and parent of a process."""
  return process.joinpath("stat").read_text().rpartition(") ")[2].split()[:2]


def workers_of(parent):
  """The processes that run cells for a sweep."""
  found = []
  for process in pathlib.Path("/proc").glob("[0-9]*"):
    try:
      if _stat(process)[1] == str(parent) and b"experiments.sweep" in process.joinpath("cmdline").read_bytes():
        found.append(int(process.name))
    except OSError:
      continue
  return found


def is_gone(number):
  """Whether a process has ended; where nobody waits for it, it stays in the list as a zombie."""
  try:
    return _stat(pathlib.Path(f"/proc/{number}"))[0] == "Z"
  except OSError:
    return True


def wait_until(true, what, seconds=60.0):
  """Waits, and fails if it takes too long."""
  limit = time.monotonic() + seconds
  while not true():
    if time.monotonic() > limit:
      pytest.fail(f"not in time: {what}")
    time.sleep(0.02)
