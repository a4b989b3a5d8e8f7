"""What a report says, from folders with invented results."""

import json
import shlex

import polars as pl
import pytest

from experiments.errors import UsageError
from experiments.grid import cell_name, expand
from experiments.recipes import RECIPES, Figure, Recipe
from experiments.report.asked import Asked, AskedRecipe, keep_asked, read_asked
from experiments.report.charts import charts_of
from experiments.report.comparison import comparison_of
from experiments.report.content import report_of
from experiments.report.findings import stands_out
from experiments.report.folders import gathered
from experiments.report.measured import Measured, measured
from experiments.report.rerun import rerun_command
from experiments.results.cell_files import read_metrics
from experiments.sweep.flags import parse_command_line
from experiments.sweep.recipe_cells import blocks_of
from tests.experiments.report.conftest import GRID
from tests.support.invented_sweep import write_invented


@pytest.fixture(scope="module")
def report(sweep):
  with gathered([sweep.folder]) as found:
    return report_of(found)


def part(report, anchor):
  return next(one for one in report.parts if one.anchor == anchor)


def test_what_ran_and_what_did_not(report, sweep):
  assert report.facts[0] == ("25 of 27", "runs finished") and ("1", "failed") in report.facts
  assert report.summary[0].startswith("25 runs of 9 configurations with 3 seeds: model `mf` on data set `a<b>")
  assert report.summary[0].endswith(
    ", attacks `none`, `explicit_boosting`, `pieck_uea`, defenses `none`, `median`, `norm_bound`; 20 epochs each.")
  failed, unrun = (line for line in report.warnings if cell_name(sweep.failed, []) in line or "asked for" in line)
  assert failed == f"Failed: {cell_name(sweep.failed, [])}: MemoryError: <script>alert(1)</script>"
  assert "1 run that was asked for is not finished" in unrun and cell_name(sweep.unrun, []) in unrun
  assert any(line.startswith("1 run diverged and has no part") for line in report.warnings)
  (never,) = (line for line in report.warnings if line.startswith("nobody was malicious in round 3 (in "))
  assert never.endswith(" and 1 more run)")


def test_every_part_is_there(report):
  assert [one.anchor for one in report.parts] == [
    "results", "grid", "curves", "cost", "detection", "stealth", "runs", "settings"]
  assert [one.kind for one in part(report, "grid").heat_maps] == ["exposure", "utility"]
  assert len(part(report, "runs").runs.rows) == 25
  assert part(report, "settings").tables[0].rows[0][0] == "dataset"


def test_curves_are_what_was_measured(sweep, report):
  exposure = part(report, "curves").charts[0]
  assert exposure.metric == "er@10" and [panel.title for panel in exposure.panels] == ["none", "median", "norm_bound"]
  panel = exposure.panels[0]
  line = next(line for line in panel.lines if line.name == "pieck_uea")
  cell = next(cell for cell in sweep.cells if (cell.flat["attack"], cell.flat["defense"], cell.config.seed) == (
    "pieck_uea", "none", 1))
  metrics = read_metrics(sweep.folder, cell)
  assert panel.epochs == metrics["epoch"].to_list()
  assert dict(line.seeds)[1] == [round(value, 4) for value in metrics["er@10"]]
  assert line.mean[-1] == pytest.approx(sum(values[-1] for _, values in line.seeds) / 3, abs=1e-4)


def test_curves_of_many_points_are_thinned(sweep, monkeypatch):
  monkeypatch.setattr("experiments.report.charts._MOST_POINTS", 0)
  (chart,) = charts_of(sweep.cells, sweep.folder, {"hr@10": ""})
  assert {len(panel.epochs) for panel in chart.panels} == {8}
  assert all(panel.epochs[-1] == 20 for panel in chart.panels)


def group(attack, defense, exposure, utility, seeds=3):
  flat = {"attack": attack, "defense": defense, "model": "mf", "dataset": "synthetic"}
  values = {"er@10": (exposure,) * seeds, "hr@10": (utility,) * seeds}
  return Measured(flat, attack, defense, defense, "`mf` on `synthetic`", values, seeds, 0)


def test_sentences_name_the_strongest_attack_the_best_defense_and_its_price():
  groups = [
    group("none", "none", 0.01, 0.4), group("none", "median", 0.01, 0.3), group("none", "krum", 0.01, 0.39),
    group("pieck_uea", "none", 0.9, 0.4), group("pieck_uea", "median", 0.05, 0.3),
    group("pieck_uea", "krum", 0.7, 0.39),
    group("random", "none", 0.2, 0.4), group("random", "median", 0.06, 0.3), group("random", "krum", 0.1, 0.39),
    group("cluster", "none", 0.01, 0.1),
  ]
  assert stands_out(groups, "er@10", "hr@10") == [
    "Without a defense `pieck_uea` brings the targets' exposure `er@10` to 0.900 ±0.000, against 0.010 without attack,"
    " the most of 2 attacks.",
    "Under the attack that is worst for it, `median` leaves `er@10` at 0.060 ±0.000 (`random`), the least of 2"
    " defenses; `krum` at 0.700 ±0.000 (`pieck_uea`).",
    "Without a defense `cluster` brings `hr@10` of benign users from 0.400 to 0.100 ±0.000.",
    "Without attack `median` costs benign users most: `hr@10` is 0.300 ±0.000 with it, 0.400 without a defense.",
  ]


def test_settings_are_told_apart_and_what_belongs_to_a_defense_is_none(tmp_path):
  cells = expand([{}], {"attack": "none,pieck_uea", "defense": "none,norm_bound", "norm_bound.max_norm": "0.1,0.5",
                        "model": "mf,ncf", "train.epochs": "2"})
  results = pl.DataFrame({"config_hash": [cell.hash for cell in cells], "er@10": [0.5] * len(cells)})
  groups = measured(cells, results, ("er@10",))
  assert {one.setting for one in groups} == {"`mf` on `synthetic`", "`ncf` on `synthetic`"}
  assert {one.defense for one in groups} == {"none", "norm_bound, max_norm=0.1", "norm_bound, max_norm=0.5"}
  lines = stands_out(groups, "er@10", "er@10")
  assert lines[0].startswith("With `mf` on `synthetic`: ") and any(line.startswith("With `ncf`") for line in lines)


def test_sentences_claim_nothing_that_is_not_there():
  weak = [group("none", "none", 0.01, 0.4, 1), group("random", "none", 0.011, 0.4, 1)]
  assert stands_out(weak, "er@10", "hr@10") == [
    "Without a defense no attack lifts the targets' exposure `er@10` above the 0.010 that they have without attack.",
    "Some figures are of 1 seed alone, which tells little of chance: compare them with care, or add seeds.",
  ]
  # A defense that was not tried against the strongest attack is not praised.
  untried = [group("pieck_uea", "none", 0.9, 0.4), group("random", "median", 0.0, 0.3),
             group("random", "krum", 0.1, 0.3)]
  assert not any("median" in line for line in stands_out(untried, "er@10", "hr@10"))


@pytest.mark.parametrize("settings", [
  {"attack": "pieck_uea", "defense": "norm_bound+median", "model": "ncf", "seed": "3", "norm_bound.max_norm": "0.25",
   "pieck_uea.num_popular": "7", "eval.ks": "5+10", "train.row_clip": "0.5"},
  {"attack": "fedrecattack", "attacker.target_items": "1469+7", "seed": "0", "eval.preset": "pieck"},
  {"dataset": "it's <b>.csv", "seed": "1", "train.preset": "pieck"},
])
def test_the_command_beside_a_run_makes_that_run(settings):
  (cell,) = expand([{}], settings)
  words = shlex.split(rerun_command(cell))
  assert words[:3] == ["python", "-m", "experiments.sweep"]
  options = parse_command_line(words[2:])
  assert [one.hash for one in expand(*blocks_of(options))] == [cell.hash]


def test_several_folders_are_one(sweep, report, tmp_path):
  halves = tmp_path / "first", tmp_path / "second"
  for number, half in enumerate(halves):
    (half / "cells").mkdir(parents=True)
    # The first cell is in both.
    for cell in [sweep.cells[0], *sweep.cells[number::2]]:
      target = half / "cells" / cell.hash
      if not target.exists():
        target.symlink_to(sweep.folder / "cells" / cell.hash)
  with gathered(halves) as found:
    together = report_of(found)
  assert together.title == "first + second" and together.facts[0] == ("25", "runs finished")
  assert part(together, "results").tables == part(report, "results").tables


def test_cells_that_are_not_understood_are_named(sweep, tmp_path):
  folder = tmp_path / "out"
  write_invented(folder, sweep.cells[:2])
  file = folder / "cells" / sweep.cells[1].hash / "config.json"
  content = json.loads(file.read_text())
  content["config"]["attack"] = "of_a_plugin"
  file.write_text(json.dumps(content))
  with gathered([folder]) as found:
    report = report_of(found)
  assert report.facts[0][0] == "1"
  (line,) = report.warnings
  assert line.startswith(f"{sweep.cells[1].hash} is left out: this version") and "of_a_plugin" in line


@pytest.mark.parametrize(("name", "expected"), [("absent", "is no folder"), ("empty", "holds no finished cell")])
def test_folders_without_results_are_refused(tmp_path, name, expected):
  (tmp_path / "empty").mkdir()
  with pytest.raises(UsageError, match=expected), gathered([tmp_path / name]):
    pass


def test_a_recipe_has_its_title_and_verdicts(tmp_path, monkeypatch):
  recipe = Recipe("tiny table", "Nobody, 1999, Table I", ({"attack": "none", "train.epochs": "20", "seed": "0-4"},),
                  ("hr@10",), (Figure({"attack": "none"}, {"hr@10": 0.9}),))
  monkeypatch.setitem(RECIPES, "tiny", recipe)
  cells, others = expand(recipe.settings, {}), expand([{}], {"attack": "random", "train.epochs": "20"})
  write_invented(tmp_path, [*cells, *others])
  keep_asked(tmp_path, Asked({}, {"tiny": AskedRecipe(tuple(cell.hash for cell in cells), {}, ("A note",))}))
  with gathered([tmp_path]) as found:
    report = report_of(found)
  assert report.title == "Tiny table"
  table = part(report, "results-tiny").tables[0]
  assert "hr@10 verdict" in table.header and "A note." in table.notes and len(table.rows) == 1
  assert report.summary[1] == "`tiny`: Beside the paper's figures: 1 differs."
  # What is of no recipe has a table of its own.
  assert part(report, "results").tables[0].title == "Runs of no recipe"


def test_what_was_asked_for_is_kept_once_and_read_together(tmp_path):
  first = Asked({"a": "run a"}, {"demo": AskedRecipe(("a",), {"seed": "0"}, ())})
  for asked in (first, first, Asked({"b": "run b"}, {"demo": AskedRecipe(("b",), {}, ("quick",))})):
    keep_asked(tmp_path, asked)
  (tmp_path / "asked" / "0.json").write_text('{"cells": 3')
  assert len(list((tmp_path / "asked").iterdir())) == 3
  assert read_asked([tmp_path]).names == {"a": "run a", "b": "run b"}
  together = read_asked([tmp_path]).recipes["demo"]
  assert sorted(together.cells) == ["a", "b"] and together.settings == {"seed": "0"} and together.notes == ("quick",)


def test_two_folders_are_compared_run_by_run(sweep, tmp_path):
  others = expand([{}], {**GRID, "attack": "none,pieck_uea", "defense": "none", "train.learning_rate": "0.5"})
  write_invented(tmp_path, others, version="0.2")
  with gathered([sweep.folder]) as first, gathered([tmp_path]) as second:
    report = comparison_of(first, second)
    with pytest.raises(UsageError, match="no run in common"):
      comparison_of(first, second._replace(cells=expand([{}], {"seed": "7"})))
  assert report.facts == (("6", "runs in both"), ("6", "the very same"))
  assert report.summary[1] == "`train.learning_rate` is 1.0 in the first and 0.5 in the second."
  assert report.warnings[0].startswith("19 runs only in ")
  assert report.warnings[1].endswith("0.1 in the first and 0.2 in the second.")
  (table,) = report.parts[0].tables
  assert [row[:3] for row in table.rows] == [("none", "none", "3"), ("pieck_uea", "none", "3")]
  assert table.rows[0][table.header.index("er@10 change")] == "+0.0000 ±0.0000"


def test_a_change_is_told_with_its_interval(sweep, tmp_path):
  cells = [cell for cell in sweep.cells if cell.flat["attack"] == cell.flat["defense"] == "none"]
  write_invented(tmp_path / "a", cells)
  write_invented(tmp_path / "b", cells)
  with gathered([tmp_path / "a"]) as first, gathered([tmp_path / "b"]) as second:
    moved = second.results.with_columns(second.results["hr@10"] + 0.1)
    report = comparison_of(first, second._replace(results=moved))
  assert report.facts[1] == ("0", "the very same")
  assert "Largest change: `hr@10` +0.1000 ±0.0000 of none, none." in report.summary
  assert report.summary[-1].startswith("Beyond its interval over seeds is the change of 1 configuration of 1;")
