"""The code, the commands and the notebooks that the README and the guides show are run; what pages name is there."""

import importlib
import importlib.util
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys

import jax
import pytest
import yaml

import fedrecjax.analysis
from fedrecjax.config import REGISTRIES

ROOT = pathlib.Path(__file__).parent.parent
DOCS = ROOT / "docs"
ALL_PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md")), *sorted((DOCS / "reference").glob("*.md"))]
NOTEBOOKS = sorted((DOCS / "notebooks").glob("*.ipynb"))
# Python and, below a line that says so, commands; everything in the order of the page.
RUN = re.compile(r"```(python)\n(.*?)```|<!-- run -->\n```(sh)\n(.*?)```", re.DOTALL)
PAGES = [page for page in ALL_PAGES if RUN.search(page.read_text())]
# Commands in blocks and in sentences.
SHOWN = re.compile(r"```(?:sh|text)\n(.*?)```|`(python -m experiments\.[^`]+)`", re.DOTALL)
PLACEHOLDERS = {"NAME": "pieck_table3", "DIR": "folder"}


def commands_of(text):
  """The commands `python -m experiments...` of some lines, each as module and flags."""
  lines = re.sub(r"\\\n|\n(?= *--)", " ", text).splitlines()
  split = [shlex.split(line, comments=True) for line in lines if line.strip().startswith("python -m experiments")]
  return [(words[2], [word for word in words[3:] if word not in ("...", "PATH...")]) for words in split]


def entry_of(module):
  """What runs the command of a module."""
  is_package = importlib.util.find_spec(module).submodule_search_locations is not None
  return importlib.import_module(f"{module}.command" if is_package else module).main


def shown_commands():
  """Every command of any page, with the page that shows it first.

  Those on plugins need the files that their page shows; tests/experiments/sweep/test_plugins.py runs them.
  """
  commands = {}
  for page in ALL_PAGES:
    if page.name == "plugins.md":
      continue
    for blocks in SHOWN.findall(page.read_text()):
      for module, flags in commands_of("".join(blocks)):
        commands.setdefault((module, *flags), page.name)
  return commands


@pytest.fixture
def registered_methods_restored(monkeypatch):
  for registry in REGISTRIES.values():
    monkeypatch.setattr(registry, "_methods", dict(registry._methods))


@pytest.mark.parametrize("page", PAGES[1:], ids=lambda page: page.name)
def test_examples_run(page, registered_methods_restored, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  namespace = {}
  for python, code, shell, lines in RUN.findall(page.read_text()):
    if python:
      exec(compile(code, page.name, "exec"), namespace)
    for module, flags in commands_of(lines if shell else ""):
      short = [re.sub(r"^(--train\.epochs)=.*", r"\1=1", flag) for flag in flags]
      assert entry_of(module)([module, *short, *["--jobs=1"] * (module == "experiments.sweep")]) == 0


def test_flags_of_shown_commands_are_there(tmp_path, monkeypatch, capsys):
  """Cells of a sweep are listed, of other commands the flags are read; nothing is computed."""
  monkeypatch.chdir(tmp_path)
  monkeypatch.delenv("FEDRECJAX_DATA", raising=False)
  commands = shown_commands()
  assert len(commands) > 40
  refused = {}
  for (module, *flags), page in commands.items():
    known = [re.sub("|".join(PLACEHOLDERS), lambda found: PLACEHOLDERS[found[0]], flag) for flag in flags]
    status = entry_of(module)([module, *known, "--list" if module == "experiments.sweep" else "--help"])
    if status:
      refused[page, module, *flags] = capsys.readouterr().err
  assert not refused


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda one: one.stem)
def test_notebooks_run(notebook, tmp_path):
  """Every cell for fewer epochs, in a kernel of its own; what is printed is what is kept, but for its numbers."""
  (tmp_path / "short.ipynb").write_text(shortened(notebook.read_text()))
  execute = (
    "import sys, nbformat, nbclient; notebook = nbformat.read(sys.argv[1], 4);"
    " nbclient.execute(notebook, cwd='.', timeout=300); nbformat.write(notebook, 'executed.ipynb')"
  )
  environment = os.environ | {
    "PYTHONPATH": str(ROOT), "JAX_COMPILATION_CACHE_DIR": jax.config.jax_compilation_cache_dir,
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.1",
  }
  command = [sys.executable, "-c", execute, "short.ipynb"]
  done = subprocess.run(command, cwd=tmp_path, env=environment, text=True, check=False, capture_output=True)
  assert done.returncode == 0, done.stderr[-2000:]
  assert printed(tmp_path / "executed.ipynb") == printed(notebook)


def printed(notebook):
  """What each cell of a notebook prints, numbers left out, and the kinds of what it shows."""
  told = []
  for cell in json.loads(notebook.read_text())["cells"]:
    outputs = cell.get("outputs", [])
    # A kernel sends lines one by one or together, as they come.
    text = "".join("".join(output.get("text", "")) for output in outputs)
    words = re.sub(r"nan|[0-9]+(\.[0-9]+)?", "0", text)
    told.append((words, [sorted(output["data"]) for output in outputs if "data" in output]))
  return told


def shortened(code):
  short, places = re.subn(r"(?<![.\w])epochs=\d+", "epochs=2", code)
  assert places == 1
  return short


def test_the_example_of_the_readme_runs(tmp_path):
  """All of it, but for fewer epochs."""
  code = "\n".join(re.findall(r"```python\n(.*?)```", PAGES[0].read_text(), re.DOTALL))
  command = [sys.executable, "-W", "error", "-c", shortened(code)]
  environment = os.environ | {"PYTHONPATH": str(ROOT)}
  done = subprocess.run(command, cwd=tmp_path, env=environment, text=True, check=False, capture_output=True)
  assert done.returncode == 0, done.stderr
  exposures = [float(line.split()[-1]) for line in done.stdout.splitlines()]
  assert len(exposures) == 9 and all(0 <= one <= 1 for one in exposures)


def test_the_readme_has_an_example_of_about_thirty_lines():
  block = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
  assert block is not None and 15 <= len(block.group(1).splitlines()) <= 35


def test_links_between_pages_lead_somewhere():
  """Anchors, too, are looked at when the site is built."""
  for page in ALL_PAGES:
    for link in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
      assert (page.parent / link).exists(), f"{page.name}: {link}"


def test_every_page_is_found():
  """In the site's navigation, or from another page; and what the navigation names is there."""

  def files_of(entry):
    if isinstance(entry, str):
      return [entry]
    return [file for one in (entry.values() if isinstance(entry, dict) else entry) for file in files_of(one)]

  in_navigation = {DOCS / file for file in files_of(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"])}
  assert all(page.is_file() for page in in_navigation)
  linked = {
    (page.parent / link).resolve()
    for page in ALL_PAGES for link in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text())
  }
  assert {page.name for page in {*ALL_PAGES[1:], *NOTEBOOKS} - in_navigation - linked} == set()


def test_the_reference_has_every_public_name():
  """By where it is defined: functions whose module has the same name are not found by the shorter path."""
  entries = [
    name for page in (DOCS / "reference").glob("*.md")
    for name in re.findall(r"^::: (.+)$", page.read_text(), re.MULTILINE)
  ]
  assert len(set(entries)) == len(entries)
  rooms = {"attacks", "datasets", "defenses", "models", "__version__"}
  public = [getattr(fedrecjax, name) for name in sorted(set(fedrecjax.__all__) - rooms)]
  public += [getattr(fedrecjax.analysis, name) for name in fedrecjax.analysis.__all__]
  public += [registry[name].constructor for registry in REGISTRIES.values() for name in registry.names()]
  missing = {f"{one.__module__}.{one.__qualname__}" for one in public} - set(entries)
  assert missing <= {"fedrecjax.attacks.none.none"}
  for entry in entries:
    module, _, name = entry.rpartition(".")
    assert callable(getattr(importlib.import_module(module), name))
