"""A sweep in miniature: a small file of interactions, and the command as a process."""

import dataclasses
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

# Else importing submitit closes the streams of logging's handlers, of which one may be what pytest reads output from.
os.environ["SUBMITIT_LOG_LEVEL"] = "NOCONFIG"

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(scope="session")
def data_file(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
  """24 users, 60 items."""
  random = np.random.default_rng(3)
  rows = ["user,item,timestamp"]
  for user in range(24):
    items = random.choice(60, 8, replace=False)
    rows += [f"{user},{item},{time}" for time, item in enumerate(items)]
  rows += [f"{item % 24},{item},0" for item in range(60)]
  file = tmp_path_factory.mktemp("data") / "tiny.csv"
  file.write_text("\n".join(dict.fromkeys(rows)) + "\n")
  return file


@dataclasses.dataclass(frozen=True)
class Command:
  """The sweep as a user runs it, on the small file."""

  data_file: pathlib.Path
  folder: pathlib.Path

  def arguments(self, *extra: str) -> list[str]:
    """Flags of a run of seconds."""
    return [f"--dataset={self.data_file}", "--data.repeats=drop", "--train.epochs=2", "--train.clients_per_round=8",
            "--mf.dim=4", f"--out_dir={self.folder}", *extra]

  def line(self, *arguments: str) -> list[str]:
    """The command line; all processes share the tests' compiled programs."""
    import jax

    cache = jax.config.jax_compilation_cache_dir
    return [sys.executable, "-W", "error", "-m", "experiments.sweep", f"--compilation_cache_dir={cache}", *arguments]

  def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs it to its end."""
    return subprocess.run(self.line(*arguments), cwd=ROOT, capture_output=True, text=True, check=False,
                          env=os.environ | {"COLUMNS": "200"})


@pytest.fixture
def command(data_file: pathlib.Path, tmp_path: pathlib.Path) -> Command:
  return Command(data_file, tmp_path / "out")
