"""The code that the README and the guides show is run."""

import pathlib
import re

import pytest

from fedrecjax.config import REGISTRIES

ROOT = pathlib.Path(__file__).parent.parent
ALL_PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGES = [page for page in ALL_PAGES if "```python" in page.read_text()]


@pytest.fixture
def registered_methods_restored(monkeypatch):
  for registry in REGISTRIES.values():
    monkeypatch.setattr(registry, "_methods", dict(registry._methods))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_examples_run(page, registered_methods_restored, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  namespace = {}
  for block in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL):
    exec(compile(block, page.name, "exec"), namespace)


def test_the_readme_has_an_example_of_about_thirty_lines():
  block = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
  assert block is not None and 15 <= len(block.group(1).splitlines()) <= 35


def test_links_between_pages_lead_somewhere():
  for page in ALL_PAGES:
    for link in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
      assert (page.parent / link).exists(), f"{page.name}: {link}"
