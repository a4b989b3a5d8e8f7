"""What each test costs: a plugin, `python -m pytest -p tests.support.costs --costs=FOLDER ...`.

One row per test, written as it ends, in a file for each process: wall seconds with its fixtures, seconds of tracing and
lowering, of compilation, and of compilation that the cache has saved. With the cache of an empty folder
(`XDG_CACHE_HOME`) the last is what tests share.
"""

import csv
import os
import pathlib
import time

import jax
import pytest

COLUMNS = ("wall_s", "trace_s", "compile_s", "saved_s", "failed")
_KINDS = {"trace": "trace_s", "mlir": "trace_s", "backend_compile": "compile_s", "compile_time_saved": "saved_s"}


class Costs:
  """Collects the costs of the tests of one process."""

  def __init__(self, file: pathlib.Path):
    file.parent.mkdir(parents=True, exist_ok=True)
    self.stream = file.open("w", newline="", buffering=1)
    self.writer = csv.writer(self.stream)
    self.writer.writerow(("test", *COLUMNS))
    self.row = dict.fromkeys(COLUMNS, 0.0)
    jax.monitoring.register_event_duration_secs_listener(self.listen)

  def listen(self, event: str, seconds: float, **_: object) -> None:
    """Counts an event of JAX for the test that runs."""
    for kind, column in _KINDS.items():
      if kind in event:
        self.row[column] += seconds
        return

  def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
    """Notes a failure."""
    self.row["failed"] += report.failed

  @pytest.hookimpl(hookwrapper=True)
  def pytest_runtest_protocol(self, item: pytest.Item):
    """Times a test."""
    self.row, started = dict.fromkeys(COLUMNS, 0.0), time.perf_counter()
    yield
    self.row["wall_s"] = time.perf_counter() - started
    self.writer.writerow((item.nodeid, *(f"{self.row[column]:.3f}" for column in COLUMNS)))


def pytest_addoption(parser: pytest.Parser) -> None:
  """Adds the flag."""
  parser.addoption("--costs", default="costs", help="folder that the costs of tests are written to")


def pytest_configure(config: pytest.Config) -> None:
  """Registers the collection."""
  worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
  config.pluginmanager.register(Costs(pathlib.Path(config.getoption("--costs")) / f"{worker}.csv"), "costs")
