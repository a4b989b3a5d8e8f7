"""Measurements that are kept: what was measured, on which machine, with which versions."""

from __future__ import annotations

import importlib.metadata
import json
import os
import pathlib
import platform
from collections.abc import Sequence
from typing import Any

import jax

from experiments.atomic_files import new_file
from experiments.errors import UsageError
from experiments.sweep.cost import usable_cores
from fedrecjax.version import __version__

_PACKAGES = ("jax", "jaxlib", "numpy", "flax", "optax")
_CPUINFO = pathlib.Path("/proc/cpuinfo")


def machine() -> dict[str, Any]:
  """What a measurement depends on beside the code: processor, cores, memory, device and versions."""
  return {
    "processor": _processor(),
    "cores": usable_cores(),
    "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
    "device": jax.devices()[0].device_kind,
    "python": platform.python_version(),
    "fedrecjax": __version__,
    **{name: importlib.metadata.version(name) for name in _PACKAGES},
  }


def _processor() -> str:
  try:
    lines = _CPUINFO.read_text().splitlines()
  except OSError:
    return platform.processor() or platform.machine()
  names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
  return names[0] if names else platform.machine()


def write_record(file: pathlib.Path, rows: Sequence[dict[str, Any]]) -> None:
  """Writes measurements, each as a row of names and numbers, with the machine that they were made on."""
  file.parent.mkdir(parents=True, exist_ok=True)
  with new_file(file) as temporary:
    temporary.write_text(json.dumps({"machine": machine(), "rows": list(rows)}, indent=1) + "\n")


def read_record(file: pathlib.Path) -> dict[str, Any]:
  """Reads what :func:`write_record` has written.

  Raises:
    UsageError: if the file is missing or holds something else.
  """
  try:
    found: dict[str, Any] = json.loads(file.read_text())
  except (OSError, ValueError) as error:
    raise UsageError(f"cannot read measurements from {file}: {error}") from error
  if not isinstance(found, dict) or not isinstance(found.get("rows"), list):
    raise UsageError(f"{file} holds no measurements: expected an object with machine and rows")
  return found
