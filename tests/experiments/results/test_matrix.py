"""The matrix of attacks and defenses: its cells, strengths and rankings of invented rows, the page from some of them."""

import pathlib
import re

import numpy as np
import pytest

from experiments import command_line
from experiments.grid import expand
from experiments.recipes import GROUPS, RECIPES
from experiments.recipes.matrix import APART, DEFENSES, MODELS, TARGETED, UNTARGETED
from experiments.results import command
from experiments.results.kept import keep
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

DOCS = pathlib.Path(__file__).parents[3] / "docs"


@pytest.fixture(scope="module")
def cells():
  return expand(RECIPES["matrix"].settings, {})


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


def test_the_matrix_is_every_method_but_those_of_pictures(cells):
  assert {*TARGETED, *UNTARGETED, *APART, "none"} == {*ATTACKS.names(), "gdmpd", "gdmpd_unguided"}
  assert {*DEFENSES, *APART} == {*REGISTERED.names(), "psmu_v", "psmu_pp", "image_popularity"}
  assert set(UNTARGETED) == attacks.UNTARGETED
  combinations = {(cell.flat["model"], cell.flat["attack"], cell.flat["defense"]) for cell in cells}
  assert len(combinations) == 2 * 27 * 11 and len(cells) == 4 * 27 * 11
  assert "matrix" not in GROUPS["all"]


def test_seeds_targets_and_users_are_those_of_all_cells(cells):
  for model, count in {"mf": 3, "ncf": 1}.items():
    of_model = [cell for cell in cells if cell.flat["model"] == model]
    by_seed = {seed: sum(cell.config.seed == seed for cell in of_model) for seed in range(count)}
    assert len(of_model) == sum(by_seed.values()) and set(by_seed.values()) == {27 * 11}
  for field, value in {"attacker.targets": "least_popular", "attacker.malicious_ratio": 0.05, "eval.left_out": 0.05}.items():
    assert {cell.flat[field] for cell in cells} == {value}
  taken_over = {cell.flat["attack"] for cell in cells if cell.flat["attacker.membership"] == "converted"}
  assert taken_over == set(UNTARGETED)


def test_no_combination_of_it_is_refused():
  """As docs/compatibility.md has it, where refused combinations stand in rows of models, defenses and attacks."""
  page = (DOCS / "compatibility.md").read_text(encoding="utf-8")
  refused = re.findall(r"^\| (?!models|---)([^|]*)\|", page, re.MULTILINE)
  assert refused and not [models for models in refused if "all" in models or {*re.findall("`(.*?)`", models)} & set(MODELS)]
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
  assert [(one.attack, one.best, one.defenses) for one in ranked] == [("a_hum", "median", 1), ("pieck_uea", "median", 2)]
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


@pytest.fixture(scope="module")
def kept(cells, tmp_path_factory):
  """Docs in which some cells of MF are kept, and the folder that they were kept from."""
  import polars as pl

  from experiments.results import kept as module

  chosen = [
    cell for cell in cells
    if cell.flat["model"] == "mf" and cell.flat["defense"] in ("none", "median")
    and cell.flat["attack"] in ("none", "a_hum", "lie")
  ]
  measured = pl.DataFrame([
    {
      "config_hash": cell.hash, "version": "0.1", "wall_s": 1.0, "diverged_at_epoch": None, "hr@10": 0.1, "ndcg@10": 0.05,
      "er@10": 0.5 + 0.01 * cell.config.seed if cell.flat["attack"] == "a_hum" else 0.0, "target_ndcg@10": 0.25,
    }
    for cell in chosen
  ])
  docs = tmp_path_factory.mktemp("docs")
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(module, "gather_results", lambda folder: measured)
    patch.setattr(module, "finished_in", lambda folder, planned: [(cell, cell.hash) for cell in chosen])
    assert keep("matrix", docs, docs / "results" / "matrix.csv") == len(chosen) == 18
  return docs


def test_the_page_is_made_of_what_there_is(kept):
  text = matrix_page(kept / "results" / "matrix.csv")
  assert "| mf | 0-2 | 18 | 891 | 0 |" in text and "| ncf | 0 | 0 | 297 | 0 |" in text and "## NCF" not in text
  assert "| 1 | a_hum | median | 0.510 ±0.025 | 0.510 ±0.025 | 1 |" in text
  assert "| a_hum | 0.510 ±0.025 | - | 0.510 ±0.025 |" in text and "(images/matrix.png)" in text
  assert "### Untargeted attacks" in text and "psmu_v" in text
  found = kept_runs(kept / "results" / "matrix.csv")
  assert found == runs_of_kept(found) and len(found) == 6


def runs_of_kept(found):
  return {key: dict(sorted(by_seed.items())) for key, by_seed in found.items()}


def test_the_command_writes_checks_and_draws_the_page(kept, capsys):
  arguments = ["results", f"--docs={kept}"]
  assert command.main(arguments) == command_line.DONE and (kept / "matrix.md").is_file()
  assert command.main([*arguments, "--check"]) == command_line.DONE
  (kept / "matrix.md").write_text("another")
  assert command.main([*arguments, "--check"]) == command_line.FAILED
  error = capsys.readouterr().err
  assert "matrix.md is not what docs/results make" in error and error.count("\n") == 1
  assert command._draw_matrix(kept) == command_line.DONE
  assert (kept / "images" / "matrix.png").read_bytes().startswith(b"\x89PNG")


def test_without_results_the_page_says_how_many_are_missing(tmp_path):
  text = matrix_page(tmp_path / "matrix.csv")
  assert "| mf | 0-2 | 0 | 891 | 0 |" in text and "png" not in text


def test_the_page_in_the_docs_is_what_the_kept_results_make():
  assert (DOCS / "matrix.md").read_text(encoding="utf-8") == matrix_page(DOCS / "results" / "matrix.csv")


def test_rows_are_found_by_what_was_run(cells):
  import polars as pl

  some = cells[:3]
  frame = pl.DataFrame([{"config_hash": cell.hash, "hr@10": 0.5} for cell in some])
  found = runs_of(cells, frame)
  assert sum(map(len, found.values())) == 3
  assert found[some[0].flat["model"], some[0].flat["attack"], some[0].flat["defense"]][some[0].config.seed]["hr@10"] == 0.5
