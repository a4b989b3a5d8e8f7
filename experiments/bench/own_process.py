"""Measurements in a process of their own, so that their peak memory is their own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any


def measured(name: str, flags: Sequence[str]) -> dict[str, Any]:
  """What the command `python -m experiments.NAME` prints as JSON on its last line.

  Args:
    name: of the command.
    flags: with which it measures in its process.

  Raises:
    OSError: naming its exit status, if it fails.
  """
  done = subprocess.run(
    [sys.executable, "-m", f"experiments.{name}", *flags], stdout=subprocess.PIPE, text=True, check=False
  )
  if done.returncode:
    raise OSError(f"exit status {done.returncode}")
  found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
  return found
