"""How many processes run cells, and how long they take."""

import functools

import polars as pl
import pytest

from experiments.grid import expand
from experiments.sweep import cost
from experiments.sweep.command import main
from experiments.sweep.cost import Expected, likely_seconds, most_jobs, usable_cores
from experiments.sweep.materials import load_datasets

GB = 10**9


def jobs(cells, *, cores=4, available=64 * GB):
  datasets = load_datasets(cells, None)
  expected = Expected(functools.partial(likely_seconds, datasets=datasets))
  return min(most_jobs(cells, datasets, cores=cores, available=available), expected.processes(cells))


def test_the_demo_has_a_process_per_core():
  cells = expand([{}], {"attack": "none,random,pieck_ipe,pieck_uea", "defense": "none,norm_bound,median", "seed": "0,1",
                        "train.epochs": "40"})
  # 12 programs of 1.5 s, and 24 cells of 40 epochs of 10^5 interactions.
  assert jobs(cells) == 3 and jobs(cells, cores=2) == 2 and jobs(cells, cores=1) == 1
  assert jobs(cells, available=2 * GB + GB // 2) == 2 and jobs(cells, available=GB // 2) == 1


def test_few_short_cells_have_one_process():
  assert jobs(expand([{}], {"attack": "none,random", "train.epochs": "5"})) == 1


def test_one_program_that_runs_long_is_shared():
  assert jobs(expand([{}], {"seed": "0-2", "train.epochs": "1000"}), cores=8) == 3, "a process per cell at most"


def test_what_cells_took_tells_what_the_others_take():
  cells = expand([{}], {"attack": "none,random", "seed": "0,1"})
  expected = Expected(lambda cell: {"none": 1.0, "random": 2.0}[cell.flat["attack"]])
  assert [expected.seconds(cell) for cell in cells] == [1.0, 1.0, 2.0, 2.0]
  # Two programs of 1.5 s and 6 s of training.
  assert expected.processes(cells) == 1
  expected.took(cells[0], 10.0)
  assert [expected.seconds(cell) for cell in cells] == [10.0, 10.0, 20.0, 20.0]
  assert expected.processes(cells[1:]) == 5, "one for every ten seconds of 50 and a program"
  expected.took(cells[2], 4.0)
  assert [expected.seconds(cell) for cell in cells] == [10.0, 10.0, 4.0, 4.0] and expected.processes(cells[3:]) == 1


def test_cells_with_images_have_one_process():
  cells = expand([{}], {"model": "vncf", "images.source": "drawn", "seed": "0-9", "train.epochs": "1000"})
  assert jobs(cells) == 1


def test_a_container_that_is_granted_less_has_fewer_cores(tmp_path, monkeypatch):
  own = usable_cores()
  file = tmp_path / "cpu.max"
  monkeypatch.setattr(cost, "_QUOTA", file)
  for text, cores in (("50000 100000", 1), ("max 100000", own), (f"{(own + 3) * 1000} 1000", own)):
    file.write_text(text)
    assert usable_cores() == cores


def listed(command, capsys, *extra):
  capsys.readouterr()
  assert main(["sweep", *command.arguments("--attack=none,random", *extra, "--list")]) == 0
  return capsys.readouterr().out.splitlines()[0]


def test_the_list_says_how_many_programs_and_how_long(command, capsys):
  grid = ("--seed=0-2",)
  assert listed(command, capsys, *grid).endswith(
    "; 2 programs to compile; how long they take is not known until one is finished")
  assert main(["sweep", *command.arguments("--attack=none,random", "--seed=0")]) == 0
  line = listed(command, capsys, *grid)
  assert line.startswith("6 cells, 2 of them finished") and "the others take about" in line
  assert main(["sweep", *command.arguments("--attack=none,random", *grid)]) == 0
  assert listed(command, capsys, *grid).endswith("; nothing is left to do")


def test_what_is_left_by_hand(monkeypatch, tmp_path):
  cells = expand([{}], {"attack": "none,random", "seed": "0-2"})
  times = {("none", 0): (2.0, 1.5), ("none", 1): (4.0, 0.0)}

  def read(_, cell):
    wall, compiled = times[cell.flat["attack"], cell.config.seed]
    return pl.DataFrame({"wall_s": [0.1, wall], "compile_s": [compiled] * 2})

  monkeypatch.setattr(cost, "read_metrics", read)
  found = cost.remaining(cells, [True, True, False, False, False, False], tmp_path)
  # One of 3 s, three of as long as all took on average, and two programs of 1.5 s.
  assert found.programs == 2 and found.seconds == pytest.approx(3.0 + 3 * 3.0 + 2 * 1.5)
