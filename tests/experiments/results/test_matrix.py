"""The matrix of attacks and defenses: strengths and rankings of invented rows, and the page from some of them."""

import dataclasses
import pathlib
import re

import numpy as np
import polars as pl
import pytest

from experiments import command_line
from experiments.grid import expand
from experiments.recipes import GROUPS, RECIPES
from experiments.recipes.matrix import APART, DEFENSES, MATRIX, MODELS, TARGETED, UNTARGETED
from experiments.results import command
from experiments.results.cell_files import write_cell
from experiments.results.matrix import (
  keeps_enough,
  mean_rate,
  ranked_attacks,
  ranked_defenses,
  runs_of,
  strength,
)
from experiments.results.matrix_page import kept_runs, matrix_page
from experiments.results.matrix_plot import strengths
from fedrecjax import attacks
from fedrecjax.attacks import ATTACKS
from fedrecjax.defenses import DEFENSES as REGISTERED
from fedrecjax.simulation.results import Result

DOCS = pathlib.Path(__file__).parents[3] / "docs"


# Of MF, what eighteen cells show; all of it takes seconds to make.
SMALL = dataclasses.replace(MATRIX, settings=tuple(
  {**block, "attack": attack, "defense": "none,median"}
  for block, attack in zip(MATRIX.settings, ("none", "a_hum", "lie"), strict=False)
))


def values_of(name):
  """The values of a setting in all blocks of the recipe, by model."""
  return {
    model: [value for block in MATRIX.settings if block["model"] == model for value in block[name].split(",")]
    for model in MODELS
  }


def row(hits=0.1, exposure=0.0, diverged=None):
  none = diverged is not None
  return {"hr@10": None if none else hits, "er@10": None if none else exposure, "diverged_at_epoch": diverged}


def runs(**without):
  """Two seeds of: pieck_uea, stronger than a_hum but under median; median of little use; lie and fang."""
  table = {
    ("none", "none"): [row(0.10), row(0.12)], ("none", "median"): [row(0.08), row(0.10)],
    ("none", "krum"): [row(0.02), row(0.02)], ("none", "union"): [row(0.10), row(0.10)],
    ("pieck_uea", "none"): [row(0.1, 0.9), row(0.1, 1.0)], ("pieck_uea", "median"): [row(0.1, 0.1), row(0.1, 0.2)],
    ("pieck_uea", "krum"): [row(0.02, 0.0), row(0.02, 0.0)], ("pieck_uea", "union"): [row(0.1, 0.8), row(0.1, 0.8)],
    ("a_hum", "none"): [row(0.1, 0.5), row(0.1, 0.7)], ("a_hum", "median"): [row(0.1, 0.4), row(0.1, 0.4)],
    ("lie", "none"): [row(0.05), row(0.03)], ("fang", "none"): [row(diverged=3), row(0.06)],
    ("fang", "median"): [row(0.08), row(0.11)],
  }
  return {("mf", *key): dict(enumerate(rows)) for key, rows in table.items() if key not in without.get("keys", ())}


def test_the_matrix_is_every_method_but_those_of_pictures():
  assert {*TARGETED, *UNTARGETED, *APART, "none"} == {*ATTACKS.names(), "gdmpd", "gdmpd_unguided"}
  assert {*DEFENSES, *APART} == {*REGISTERED.names(), "psmu_v", "psmu_pp", "image_popularity"}
  assert set(UNTARGETED) == attacks.UNTARGETED
  for block in MATRIX.settings:
    assert tuple(block["defense"].split(",")) == DEFENSES and block["seed"] == MODELS[block["model"]]
  assert all(sorted(names) == sorted(("none", *TARGETED, *UNTARGETED)) for names in values_of("attack").values())
  assert "matrix" not in GROUPS["all"]


def test_the_whole_matrix_has_as_many_cells_as_its_page_says():
  cells = expand(MATRIX.settings, {})
  counts = {model: sum(cell.flat["model"] == model for cell in cells) for model in MODELS}
  assert counts == {"mf": 3 * 27 * 11, "ncf": 27 * 11}


def test_targets_and_users_are_those_of_all_cells():
  expected = {"attacker.targets": "least_popular", "attacker.malicious_ratio": "0.05", "eval.left_out": "0.05"}
  for name, value in expected.items():
    assert {block[name] for block in MATRIX.settings} == {value}
  taken_over = [block["attack"] for block in MATRIX.settings if block.get("attacker.membership") == "converted"]
  assert taken_over == [",".join(UNTARGETED)] * 2


def test_no_combination_of_it_is_refused():
  """As docs/compatibility.md has it, where refused combinations stand in rows of models, defenses and attacks."""
  page = (DOCS / "compatibility.md").read_text(encoding="utf-8")
  refused = re.findall(r"^\| (?!models|---)([^|]*)\|", page, re.MULTILINE)
  assert refused
  for models in refused:
    assert "all" not in models and not {*re.findall("`(.*?)`", models)} & set(MODELS)
  (tried,) = re.findall("^- models: (.*)$", page, re.MULTILINE)
  assert set(MODELS) <= {*re.findall("`(.*?)`", tried)}


def test_strength_is_against_the_same_seed_under_the_same_defense():
  assert strength(runs(), "mf", "pieck_uea", "none").mean == pytest.approx(0.95)
  assert strength(runs(), "mf", "lie", "none").mean == pytest.approx((0.5 + 0.75) / 2)
  assert strength(runs(), "mf", "fang", "none").mean == pytest.approx((1.0 + 0.5) / 2)
  assert strength(runs(), "mf", "fang", "median").mean == pytest.approx((0.0 - 0.1) / 2)
  assert strength(runs(), "mf", "lie", "median") is None and strength(runs(), "ncf", "lie", "none") is None
  one_seed = {**runs(), ("mf", "none", "none"): {1: row(0.12)}}
  assert strength(one_seed, "mf", "lie", "none") == (pytest.approx(0.75), None, 1)
  assert strength({**runs(), ("mf", "none", "none"): {1: row(0.0)}}, "mf", "lie", "none") is None
  assert mean_rate(runs(), ("mf", "fang", "none"), "hr@10").mean == pytest.approx(0.03)


def test_attacks_are_ranked_under_the_defense_that_is_best_against_them():
  ranked = ranked_attacks(runs(), "mf", "targeted")
  # Krum leaves pieck_uea nothing, and users nothing either.
  assert [(one.attack, one.best, one.defenses) for one in ranked] == [
    ("a_hum", "median", 1), ("pieck_uea", "median", 2)]
  assert ranked[1].strength.mean == pytest.approx(0.15) and ranked[1].undefended.mean == pytest.approx(0.95)
  assert [one.attack for one in ranked_attacks(runs(), "mf", "untargeted")] == ["fang"]
  assert ranked_attacks(runs(), "ncf", "targeted") == []


def test_defenses_are_ranked_under_the_attack_that_is_worst_for_them():
  ranked = ranked_defenses(runs(), "mf", "targeted")
  assert [(one.defense, one.worst, one.chosen) for one in ranked] == [
    ("median", "a_hum", True), ("union", "pieck_uea", True), ("none", "pieck_uea", True), ("krum", "pieck_uea", False)]
  assert ranked[0].hits.mean == pytest.approx(0.09) and ranked[0].attacks == 2
  assert not keeps_enough(runs(), "mf", "krum") and keeps_enough(runs(), "mf", "hics")
  untargeted = ranked_defenses(runs(), "mf", "untargeted")
  assert [(one.defense, one.worst) for one in untargeted] == [("median", "fang"), ("none", "fang")]


def test_without_the_runs_without_attack_nothing_is_ranked():
  without = runs(keys=[("none", defense) for defense in DEFENSES])
  assert ranked_attacks(without, "mf", "targeted") == [] and ranked_defenses(without, "mf", "targeted") == []


def test_the_heat_map_has_a_row_per_attack_and_leaves_the_others_empty():
  values = strengths(runs(), "mf", "targeted")
  assert values.shape == (len(TARGETED), len(DEFENSES)) and np.isfinite(values).sum() == 6
  assert values[TARGETED.index("a_hum"), DEFENSES.index("median")] == pytest.approx(0.4)


@pytest.fixture(scope="module", autouse=True)
def small():
  with pytest.MonkeyPatch.context() as patch:
    patch.setitem(RECIPES, "matrix", SMALL)
    yield


@pytest.fixture(scope="module")
def kept(small, tmp_path_factory):
  """Docs in which cells of MF are kept, and which came from a folder of results."""
  sweep, docs = tmp_path_factory.mktemp("sweep"), tmp_path_factory.mktemp("docs")
  for cell in expand(SMALL.settings, {}):
    attacked = cell.flat["attack"] == "a_hum"
    values = {"epoch": 60, "round": 240, "wall_s": 1.0, "hr@10": 0.1, "ndcg@10": 0.05, "target_ndcg@10": 0.25,
              "er@10": (0.5 + 0.01 * cell.config.seed) * attacked}
    write_cell(sweep, cell, Result(
      metrics={name: np.array([value]) for name, value in values.items()}, per_user={"hr@10": np.array([1.0])},
      users=np.array([0]), targets=np.array([5]), state=None, compile_s=0.5, detection={}, stealth={}, images={},
    ), "0.1", {})
  assert command.main(["results", f"--docs={docs}", "--keep=matrix", f"--out_dir={sweep}"]) == command_line.DONE
  return docs


def test_the_page_is_made_of_what_there_is(kept):
  text = matrix_page(kept / "results" / "matrix.csv")
  assert "| mf | 0-2 | 18 | 891 | 0 |" in text and "| ncf | 0 | 0 | 297 | 0 |" in text and "## NCF" not in text
  assert "| 1 | a_hum | median | 0.510 ±0.025 | 0.510 ±0.025 | 1 |" in text
  assert "| a_hum | 0.510 ±0.025 | - | 0.510 ±0.025 |" in text and "(images/matrix.png)" in text
  assert "### Untargeted attacks" in text and "psmu_v" in text
  found = kept_runs(kept / "results" / "matrix.csv")
  assert {key: sorted(by_seed) for key, by_seed in found.items()} == {
    ("mf", attack, defense): [0, 1, 2] for attack in ("none", "a_hum", "lie") for defense in ("none", "median")}


def test_the_command_writes_checks_and_draws_the_page(kept, capsys):
  arguments = ["results", f"--docs={kept}"]
  assert (kept / "images" / "matrix.png").read_bytes().startswith(b"\x89PNG")
  assert command.main([*arguments, "--check"]) == command_line.DONE
  (kept / "matrix.md").write_text("another")
  assert command.main([*arguments, "--check"]) == command_line.FAILED
  error = capsys.readouterr().err
  assert "matrix.md is not what docs/results make" in error and error.count("\n") == 1
  assert command.main(arguments) == command_line.DONE
  assert (kept / "matrix.md").read_text(encoding="utf-8").startswith("# Every attack against every defense")


def test_without_results_the_page_says_how_many_are_missing(tmp_path):
  text = matrix_page(tmp_path / "matrix.csv")
  assert "| mf | 0-2 | 0 | 891 | 0 |" in text and "png" not in text


def test_the_page_in_the_docs_is_what_the_kept_results_make(monkeypatch):
  monkeypatch.setitem(RECIPES, "matrix", MATRIX)
  assert (DOCS / "matrix.md").read_text(encoding="utf-8") == matrix_page(DOCS / "results" / "matrix.csv")


def test_rows_are_found_by_what_was_run():
  cells = expand(SMALL.settings, {})
  frame = pl.DataFrame([{"config_hash": cell.hash, "hr@10": 0.5} for cell in cells[:2]])
  found = runs_of(cells, frame)
  assert sum(map(len, found.values())) == 2
  flat = cells[0].flat
  assert found[flat["model"], flat["attack"], flat["defense"]][flat["seed"]]["hr@10"] == 0.5
