"""The code that the README and the guides show is run."""

import os
import pathlib
import re
import subprocess
import sys

import pytest

from fedrecjax.config import REGISTRIES

ROOT = pathlib.Path(__file__).parent.parent
ALL_PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGES = [page for page in ALL_PAGES if "```python" in page.read_text()]


@pytest.fixture
def registered_methods_restored(monkeypatch):
  for registry in REGISTRIES.values():
    monkeypatch.setattr(registry, "_methods", dict(registry._methods))


@pytest.mark.parametrize("page", PAGES[1:], ids=lambda page: page.name)
def test_examples_run(page, registered_methods_restored, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  namespace = {}
  for block in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL):
    exec(compile(block, page.name, "exec"), namespace)


def test_the_example_of_the_readme_runs(tmp_path):
  """Compiled as its readers have it: it trains nine times for longer than the optimiser takes."""
  blocks = re.findall(r"```python\n(.*?)```", PAGES[0].read_text(), re.DOTALL)
  environment = os.environ | {"XLA_FLAGS": "", "PYTHONPATH": str(ROOT)}
  command = [sys.executable, "-W", "error", "-c", "\n".join(blocks)]
  done = subprocess.run(command, cwd=tmp_path, env=environment, text=True, check=False, capture_output=True)
  assert done.returncode == 0, done.stderr
  exposures = [float(line.split()[-1]) for line in done.stdout.splitlines()]
  assert len(exposures) == 9 and all(0 <= one <= 1 for one in exposures)


def test_the_readme_has_an_example_of_about_thirty_lines():
  block = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
  assert block is not None and 15 <= len(block.group(1).splitlines()) <= 35


def test_links_between_pages_lead_somewhere():
  for page in ALL_PAGES:
    for link in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
      assert (page.parent / link).exists(), f"{page.name}: {link}"
