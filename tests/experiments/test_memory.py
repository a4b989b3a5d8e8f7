"""Freed memory stays with the process where the C library is glibc."""

import ctypes
import platform
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
