"""What all tests share: a cache of compiled programs, and a small data set with the awkward users
in it.
"""

import collections
import fnmatch
import gc
import importlib.metadata
import itertools
import os
import pathlib
import re

# LLVM's optimiser and XLA's newer emitter of fused loops take three quarters of the compile time and are not what is
# tested; XLA_FLAGS= leaves them on. Read when jax is first used, hence before it is imported. Later versions of jaxlib
# end at the third flag, which they do not know.
os.environ.setdefault("XLA_FLAGS", " ".join([
  "--xla_backend_optimization_level=0", "--xla_llvm_disable_expensive_passes=true",
  *["--xla_cpu_use_fusion_emitters=false"] * importlib.metadata.version("jaxlib").startswith("0.10."),
]))

import jax
import numpy as np
import pytest

from experiments.memory import holds_many_programs
from fedrecjax.datasets import Dataset, ItemLists
from fedrecjax.simulation.programs import PROGRAMS

# Traced programs are many small objects, which are looked through too often otherwise: a seventh of the time.
gc.set_threshold(200_000, 20, 20)

# Most of the tests' time is compilation by XLA, of programs that change only with the code.
# The cache is keyed by the program and XLA's version, so that it can be stale for nobody; it is the
# user's, because a folder inside the checkout would travel with it.
_CACHE = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
jax.config.update("jax_compilation_cache_dir", str(pathlib.Path(_CACHE) / "fedrecjax-tests"))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def slow_patterns() -> list[tuple[str, int]]:
  """Lines of slow.txt: a pattern of tests, and how many of the tests that it names stay quick."""
  lines = pathlib.Path(__file__).with_name("slow.txt").read_text().splitlines()
  parts = [line.rpartition(" ") for line in lines if line and not line.startswith("#")]
  return [(pattern, int(quick)) for pattern, _, quick in parts]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
  """Marks the tests that slow.txt names.

  They are named in one list, and not where they stand: what is slow is measured over the whole suite.
  """
  for pattern, quick in slow_patterns():
    # Brackets hold parameters here, and not sets of characters.
    is_named = re.compile(fnmatch.translate(pattern.replace("[", "(").replace("]", ")"))).match
    named: dict[str, int] = collections.Counter()
    for item in items:
      if is_named(item.nodeid.replace("[", "(").replace("]", ")")):
        function = item.nodeid.partition("[")[0]
        named[function] += 1
        if named[function] > quick:
          item.add_marker(pytest.mark.slow)


def _small_dataset() -> Dataset:
  """Twelve users, thirty items; users 0 to 4 are the awkward ones, the others are drawn."""
  random = np.random.default_rng(7)
  train = [
    [3],  # a single training item
    [5, 9, 5, 5, 2],  # repeated positives
    [1, 4, 8],  # no held-out item
    [7, 7],  # nothing but a repeated positive
    [0, 10, 20, 6, 11],  # two held-out items, one of them a training item too
  ]
  test: list[list[int]] = [[12], [3], [], [0], [10, 13]]
  for length in (2, 4, 6, 9, 12, 15, 18):
    drawn = random.choice(30, length + 1, replace=False).tolist()
    train.append(drawn[:-1])
    test.append(drawn[-1:])
  return Dataset("small", 12, 30, ItemLists.from_lists(train), ItemLists.from_lists(test))


@pytest.fixture(scope="session")
def small() -> Dataset:
  """See :func:`_small_dataset`."""
  return _small_dataset()


@pytest.fixture(scope="session")
def real_data() -> pathlib.Path:
  """The folder with real data sets; tests that need it are skipped where it is not set."""
  folder = os.environ.get("FEDRECJAX_DATA")
  if not folder:
    pytest.skip("set FEDRECJAX_DATA to a folder with real data sets to run this test")
  return pathlib.Path(folder)


@pytest.fixture(autouse=True, scope="module")
def _programs_are_given_back():
  """Drops compiled programs after each module: a process may hold some 65,000 memory maps, and
  thousands of programs hold more.
  """
  yield
  PROGRAMS.clear()
  jax.clear_caches()


_tests_done = itertools.count(1)


@pytest.fixture(autouse=True)
def _no_module_holds_too_many_programs():
  """The same within a module that has hundreds of them."""
  yield
  if next(_tests_done) % 20 == 0 and holds_many_programs():
    PROGRAMS.clear()
    jax.clear_caches()
