"""Methods of others in a sweep: their flags, their cells, and processes that load them."""

import dataclasses
import os
import subprocess
import sys

import polars as pl
import pytest

from experiments.command_line import HelpAsked
from experiments.errors import UsageError
from experiments.grid import expand, of_data
from experiments.sweep.command import main
from experiments.sweep.flags import parse_command_line
from experiments.sweep.launch import shard_commands
from fedrecjax.config import from_flat
from fedrecjax.plugins import plugins_of
from tests.support.plugins import attack, files_of, forgotten


@pytest.fixture
def plugin(tmp_path):
  with forgotten():
    path = tmp_path / "own.py"
    path.write_text(attack())
    yield path


def parsed(*arguments):
  return parse_command_line(["sweep", *arguments])


def cells(*arguments):
  return {cell.flat["attack"]: cell for cell in of_data(expand([{}], parsed(*arguments).settings), None)}


@pytest.mark.parametrize("named", [
  lambda path: [f"--plugin={path}"], lambda path: ["--seed", "1", "--plugin", str(path)],
  lambda path: ["--jobs=1", f"-plugin={path}", f"--plugin={path}"],
])
def test_its_flags_are_flags(named, plugin):
  options = parsed(*named(plugin), "--attack=own", "--own.strength=1,2")
  assert options.settings["own.strength"] == "1,2" and [one.text for one in options.plugins] == [str(plugin)]
  with pytest.raises(HelpAsked) as asked:
    parsed(f"--plugin={plugin}", "--helpfull")
  assert "--own.strength: of nothing. a finite number; default 1.0." in str(asked.value)
  with pytest.raises(HelpAsked, match="own"):
    parsed(f"--plugin={plugin}", "--help")


def test_a_file_of_flags_may_name_it(plugin, tmp_path):
  (tmp_path / "all.flags").write_text(f"--plugin={plugin}\n--attack=own\n")
  assert parsed(f"--flagfile={tmp_path / 'all.flags'}", "--own.strength=3").settings["own.strength"] == "3"


def test_what_cannot_be_loaded_names_the_flag(tmp_path):
  with pytest.raises(UsageError, match=r"^--plugin=.*none\.py: no such file$"):
    parsed(f"--plugin={tmp_path / 'none.py'}")


def test_a_changed_plugin_makes_other_cells_of_its_methods_alone(plugin):
  found = []
  for source in (attack(), attack(line="# mended")):
    plugin.write_text(source)
    with forgotten():
      found.append(cells(f"--plugin={plugin}", "--attack=none,own"))
  before, after = found
  assert before["none"] == after["none"] and before["none"].hash == before["none"].without_data
  assert before["own"].without_data == after["own"].without_data and before["own"].hash != after["own"].hash
  assert before["own"].plugins.startswith("own.py ")


def test_recipes_and_lists_take_it(plugin, tmp_path, capsys):
  flags = (f"--plugin={plugin}", "--attack=none,own", "--seed=0", "--list", f"--out_dir={tmp_path / 'out'}")
  assert main(["sweep", "--recipe=pieck_table4", "--defense=none", "--dataset=synthetic", *flags]) == 0
  assert "own" in capsys.readouterr().out


def test_shards_get_it():
  assert "--plugin=own.py" in shard_commands(["--plugin=own.py", "--launcher=ray"], 2)[1]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
  """A folder with the page's package as pip installs it, and the page's file beside."""
  source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("installed")
  for name, text in files_of("plugins.md").items():
    (source / name).parent.mkdir(exist_ok=True)
    (source / name).write_text(text)
  pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--no-build-isolation",
         "--disable-pip-version-check", "--target", target, source]
  done = subprocess.run(pip, text=True, check=False, capture_output=True)
  assert done.returncode == 0, done.stderr
  (target / "my_attack.py").write_text((source / "my_attack.py").read_text())
  return target


def test_the_page_s_package_and_file_are_swept_in_several_processes(command, installed, monkeypatch):
  monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(installed), os.environ.get("PYTHONPATH", "")]))
  flags = (f"--plugin={installed / 'my_attack.py'}", "--attack=none,drift,my_attack", "--defense=shrink+median",
           "--jobs=2", "--checkpoint_every=1", "--tensorboard")
  done = command.run(*command.arguments(*flags))
  assert done.returncode == 0, done.stderr
  table = pl.read_parquet(command.folder / "results.parquet")
  assert table["attack"].to_list() == ["drift", "my_attack", "none"]
  assert table["drift.step"].to_list() == [1, None, None]
  drift, mine, none = table["plugins"]
  assert none.startswith("drifting_items of drifting-items 1.0 ") and drift == none
  assert mine.startswith(f"{none}; my_attack.py ")
  assert len(list((command.folder / "tensorboard").glob("tiny.csv_mf_*_seed0_*/events.out.tfevents.*"))) == 3
  # Where the plugins are not, results are gathered all the same.
  elsewhere = dataclasses.replace(command)
  assert main(["sweep", *elsewhere.arguments("--list")]) == 0
  with forgotten():
    monkeypatch.syspath_prepend(str(installed))
    parsed(f"--plugin={installed / 'my_attack.py'}")
    config = from_flat({"attack": "my_attack", "defense": "shrink+median"})
    assert plugins_of(config) == mine
