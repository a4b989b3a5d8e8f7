"""Helpers shared by the tests of data sets."""

import gzip
import pathlib
from collections.abc import Callable

import pytest

Writer = Callable[[str, str], pathlib.Path]


@pytest.fixture
def write(tmp_path: pathlib.Path) -> Writer:
  """Writes text to a file of the given name in a fresh folder, gzipped if it ends in `.gz`."""

  def write_file(name: str, text: str) -> pathlib.Path:
    path = tmp_path / name
    content = text.encode()
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return path

  return write_file
