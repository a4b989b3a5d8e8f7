"""What each test costs: a plugin, `python -m pytest -p tests.support.costs --costs=FILE.csv ...`.

One row per test: wall seconds with its fixtures, seconds of tracing and lowering, of compilation, and of compilation
that the cache has saved. With a cold cache (`XDG_CACHE_HOME` of an empty folder) the last is what tests share.
"""

import collections
import csv
import pathlib
import time

import jax
import pytest

COLUMNS = ("wall_s", "trace_s", "compile_s", "saved_s")
_KINDS = {"trace": "trace_s", "mlir": "trace_s", "backend_compile": "compile_s", "compile_time_saved": "saved_s"}


class Costs:
  """Collects the costs of the tests of one process, and of its workers."""

  def __init__(self, file: pathlib.Path):
    self.file = file
    self.rows: dict[str, dict[str, float]] = collections.defaultdict(lambda: dict.fromkeys(COLUMNS, 0.0))
    self.current: str | None = None
    jax.monitoring.register_event_duration_secs_listener(self.listen)

  def listen(self, event: str, seconds: float, **_: object) -> None:
    """Counts an event of JAX for the test that runs."""
    for kind, column in _KINDS.items():
      if self.current is not None and kind in event:
        self.rows[self.current][column] += seconds
        return

  @pytest.hookimpl(hookwrapper=True)
  def pytest_runtest_protocol(self, item: pytest.Item):
    """Times a test."""
    self.current, started = item.nodeid, time.perf_counter()
    yield
    self.rows[item.nodeid]["wall_s"] += time.perf_counter() - started
    self.current = None

  @pytest.hookimpl(optionalhook=True)
  def pytest_testnodedown(self, node, error: object) -> None:
    """Takes over what a worker has collected."""
    del error
    self.rows.update(getattr(node, "workeroutput", {}).get("costs", {}))

  def pytest_sessionfinish(self, session: pytest.Session) -> None:
    """Hands the costs on to the controller, or writes them."""
    if hasattr(session.config, "workeroutput"):
      session.config.workeroutput["costs"] = {name: dict(row) for name, row in self.rows.items()}
      return
    with self.file.open("w", newline="") as stream:
      writer = csv.writer(stream)
      writer.writerow(("test", *COLUMNS))
      for name, row in sorted(self.rows.items(), key=lambda one: -one[1]["wall_s"]):
        writer.writerow((name, *(f"{row[column]:.3f}" for column in COLUMNS)))


def pytest_addoption(parser: pytest.Parser) -> None:
  """Adds the flag."""
  parser.addoption("--costs", default="costs.csv", help="file that the costs of tests are written to")


def pytest_configure(config: pytest.Config) -> None:
  """Registers the collection."""
  config.pluginmanager.register(Costs(pathlib.Path(config.getoption("--costs"))), "costs")
