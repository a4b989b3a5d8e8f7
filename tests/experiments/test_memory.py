"""Freed memory stays with the process where the C library is glibc."""

import ctypes
import platform
import subprocess
import sys

import pytest

from experiments import memory


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_glibc_is_told():
  assert memory.keep_freed_memory()


def test_other_libraries_are_left_alone(monkeypatch):
  monkeypatch.setattr(sys, "platform", "darwin")
  assert not memory.keep_freed_memory()


def test_a_library_without_the_function_is_no_error(monkeypatch):
  monkeypatch.setattr(sys, "platform", "linux")
  monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
  assert not memory.keep_freed_memory()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_large_blocks_are_used_again():
  """Clearing 80 MB anew would be 20,000 page faults of 4 kB."""
  script = """
import resource, numpy as np
from experiments.memory import keep_freed_memory
assert keep_freed_memory()
faults = []
for _ in range(3):
  before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
  np.ones(10_000_000)
  faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
print(*faults)
"""
  printed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
  first, *again = map(int, printed.split())
  assert max(again) < min(first, 1000) / 2
