"""What a sweep says of its data before it trains, and keeps beside each cell."""

import json

from experiments.grid import expand
from experiments.sweep.command import main
from experiments.sweep.data_block import blocks_of, summaries_of
from experiments.sweep.materials import load_datasets

LABEL = "  malicious     "


def block(data_file, **settings):
  """The lines of a sweep over the small file, told apart by what malicious clients they count."""
  names = {name.replace("__", "."): text for name, text in settings.items()}
  cells = expand([{}], {"dataset": str(data_file), "data.repeats": "drop", **names})
  datasets = load_datasets(cells, None)
  lines = blocks_of(cells, datasets, summaries_of(datasets), {})
  return lines, [line.removeprefix(LABEL).partition(" clients")[0] for line in lines if line.startswith(LABEL)]


def test_each_threat_is_said_once(data_file):
  lines, threats = block(data_file, attack="none,random,popular", seed="0-1", attacker__malicious_ratio="0.1,0.5")
  assert lines[0] == "Data: tiny.csv" and lines[1].startswith(f"  file          {data_file}: csv, utf-8, comma")
  assert lines[2:4] == ["  users         24", "  items         60"]
  assert threats == ["2 of 26", "12 of 36"]
  assert sum(line.startswith("  target        item ") for line in lines) == 2


def test_without_an_attack_there_is_no_threat(data_file):
  assert block(data_file)[1] == []


def test_each_data_set_has_a_block(data_file):
  lines, threats = block(data_file, attack="random", data__split="last,ratio")
  assert lines.count("Data: tiny.csv") == 2 and threats == ["1 of 25"] * 2


def test_many_threats_are_not_all_said(data_file):
  ratios = ",".join(f"0.{number}" for number in range(1, 8))
  assert block(data_file, attack="random", attacker__malicious_ratio=ratios)[1][-1] == "otherwise in 2 more settings"


def test_the_block_comes_before_training_and_is_kept_with_each_cell(command, capsys):
  flags = ["sweep", *command.arguments("--attack=random", "--random.max_rows=8", "--attacker.malicious_ratio=0.1")]
  assert main(flags) == 0
  said = capsys.readouterr().err
  assert said.count("Data: tiny.csv\n") == 1 and said.index("Data: tiny.csv") < said.index("[1/1]")
  (folder,) = (command.folder / "cells").iterdir()
  kept = json.loads((folder / "summary.json").read_text())
  assert kept["data"]["users"] == kept["data"]["held_out"] == 24 and kept["threat"]["malicious"] == 2
  assert kept["reading"]["files"][0]["columns"][2] == ["time", "timestamp"]
  assert kept["reading"]["left_out"] == [{"by": "repeats", "rows": 4, "users": 0}]
  assert "summary.json" in json.loads((folder / "config.json").read_text())["files"]
  assert main(flags) == 0 and "Data:" not in capsys.readouterr().err
