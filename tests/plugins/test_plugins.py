"""Registration, loading and where methods come from, without any run."""

import importlib.metadata
import sys

import numpy as np
import pytest

import fedrecjax as frj
from fedrecjax.plugins import load_again, load_installed, loading, plugins_of
from fedrecjax.plugins.registration import TABLES
from tests.support.plugins import attack, forgotten


@pytest.fixture(autouse=True)
def _forgotten(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  monkeypatch.syspath_prepend(str(tmp_path))
  with forgotten():
    yield


def file(tmp_path, source, name="own.py"):
  (tmp_path / name).parent.mkdir(exist_ok=True)
  (tmp_path / name).write_text(source)
  return name


def own(**values):
  return frj.from_flat({"attack": "own", **values})


def test_a_file_registers_methods_and_data(tmp_path):
  data = ("@frj.register\ndef own_set() -> frj.Interactions:\n  import numpy as np\n"
          "  return frj.Interactions('own_set', np.zeros(3), np.arange(3), None, 1, 3, None)\n")
  frj.load_plugin(file(tmp_path, attack() + data))
  assert own(**{"own.strength": 2}).flat()["own.strength"] == 2.0
  assert np.array_equal(frj.load("own_set").train.items, [0, 1])
  with pytest.raises(frj.DataError, match=r"data\.min_rating is of files, and the set own_set"):
    frj.load("own_set", min_rating=3.0)
  assert plugins_of(frj.from_flat({"dataset": "own_set"})) == plugins_of(own())


@pytest.mark.parametrize(("source", "said"), [
  (None, "own.py: no such file"),
  ("x = 1", "own.py: it registers nothing; put @fedrecjax.register above"),
  ("import fedrecjax\n\nimport no_such_package", "own.py:3: ModuleNotFoundError: No module named 'no_such_package'"),
  ("def f(:", "own.py:1: SyntaxError: invalid syntax"),
  ("import sys\nsys.exit(3)", "own.py:2: SystemExit: 3"),
  ("import json\njson.loads('{')", "own.py:2: JSONDecodeError: Expecting property name"),
  (attack("pieck_uea"), "own.py:3: the name pieck_uea is taken by the attack pieck_uea; rename the function"),
  (attack("median"), "own.py:3: the name median is taken by the defense median"),
  (attack("train"), "own.py:3: the name train is taken by a section of the configuration"),
  (attack("synthetic"), "own.py:3: the name synthetic is taken by a data set"),
  (attack() + attack(), "the name own is taken by the attack own"),
  (attack(returns=""), "own.py:3: own must say what it makes, -> fedrecjax.NAME with one of Attack, Defense"),
  (attack(returns=" -> int"), "own.py:3: own must say what it makes"),
  (attack(arguments="strength: float = 1.0"), "own.py:3: parameter 'strength' of own must be keyword-only"),
  (attack(arguments="*, force: float = 1.0"), "own.py:3: parameter 'force' of own is not described in the Args"),
  (attack(returns=" -> frj.Interactions"), "own.py:3: own has hyperparameters, and a data set has none"),
])
def test_what_is_wrong_is_a_line_with_its_place(source, said, tmp_path):
  if source is not None:
    file(tmp_path, source)
  with pytest.raises(frj.PluginError) as caught:
    frj.load_plugin("own.py")
  assert str(caught.value).startswith("own.py: ") and said in str(caught.value) and "\n" not in str(caught.value)
  # Nothing is left of it, so that it can be mended.
  frj.load_plugin(file(tmp_path, attack()))


def test_another_content_is_another_plugin_and_another_place_is_not(tmp_path):
  found = []
  for name, source in (("own.py", attack()), ("own.py", attack(line="# mended")), ("below/own.py", attack())):
    with forgotten():
      frj.load_plugin(file(tmp_path, source, name))
      found.append(plugins_of(own()))
  assert found[0] == found[2] != found[1] and found[0].startswith("own.py ") and len(found[0].split()[1]) == 64
  assert plugins_of(frj.from_flat({})) is None


def test_another_process_has_the_file_as_it_was(tmp_path):
  with forgotten():
    plugin = frj.load_plugin(file(tmp_path, attack()))
    before = plugins_of(own())
  file(tmp_path, "broken(")
  load_again(plugin)
  load_again(plugin)
  assert plugins_of(own()) == before


def test_a_module_is_known_by_all_files_of_its_package(tmp_path, monkeypatch):
  found = []
  for helper in ("x = 1", "x = 2"):
    file(tmp_path, "", "own_package/__init__.py")
    file(tmp_path, helper, "own_package/helper.py")
    file(tmp_path, attack(line="from own_package import helper"), "own_package/methods.py")
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    with forgotten():
      frj.load_plugin("own_package.methods")
      found.append(plugins_of(own()))
  assert found[0] != found[1] and found[0].startswith("own_package ")
  for name, said in (("own_package.none", "there is no module own_package.none"), ("none_at_all", "there is no module"),
                     ("json", "json: it registers nothing")):
    with pytest.raises(frj.PluginError, match=said):
      frj.load_plugin(name)
  file(tmp_path, "import os\nimport no_such_package", "own_package/broken.py")
  with pytest.raises(frj.PluginError, match=r"broken\.py:2: ModuleNotFoundError: No module named 'no_such_package'"):
    frj.load_plugin("own_package.broken")


@pytest.mark.parametrize(("entry", "said"), [
  (("own", "own_package.methods:own", "fedrecjax.attacks"), None),
  (("own", "own_package.methods:own", "fedrecjax.defenses"), "own_package.methods:own makes no defense"),
  (("other", "own_package.methods:own", "fedrecjax.attacks"), "its entry point must be named as its function, own"),
  (("own", "own_package.broken:own", "fedrecjax.attacks"), "broken.py:1: ZeroDivisionError"),
])
def test_entry_points(entry, said, tmp_path, monkeypatch):
  file(tmp_path, "", "own_package/__init__.py")
  file(tmp_path, attack(), "own_package/methods.py")
  file(tmp_path, "1 / 0", "own_package/broken.py")
  monkeypatch.setattr(loading, "_entry_points", lambda path: (importlib.metadata.EntryPoint(*entry),))
  lines = load_installed()
  if said is None:
    assert lines == [] and load_installed() == [] and "own" in TABLES["attack"].names()
  else:
    assert len(lines) == 1 and said in lines[0] and "\n" not in lines[0] and entry[0] in lines[0]
    assert "own" not in TABLES["attack"].names()


def test_a_notebooks_cell_may_be_run_again():
  namespace = {"__name__": "__main__"}
  exec(attack(), namespace)
  exec(attack(arguments="*, strength: float = 3.0"), namespace)
  assert own().flat()["own.strength"] == 3.0
  with pytest.raises(frj.PluginError, match="the name own is taken"):
    exec(attack(), {"__name__": "elsewhere"})
