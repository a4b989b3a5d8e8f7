"""Results kept beside the docs: from a sweep's folder to a CSV to the page, and what is refused on the way."""

import pathlib

import numpy as np
import polars as pl
import pytest

from experiments import command_line
from experiments.grid import expand
from experiments.recipes import GROUPS, RECIPES, Figure, Recipe
from experiments.results import command, kept, page
from experiments.results.cell_files import write_cell
from experiments.results.kept import keep, read_kept, settings_digest
from experiments.results.page import csv_of
from fedrecjax.datasets import DataError
from fedrecjax.simulation.runner import DivergedError, Result

DOCS = pathlib.Path(__file__).parents[3] / "docs"
RECIPE = Recipe(
  "Tiny", "Nobody, 1999, Table I",
  ({"attack": "none,random", "train.epochs": "3", "seed": "0-4"},), ("er@10", "hr@10"),
  (Figure({"attack": "none"}, {"er@10": 0.0, "hr@10": 0.5}), Figure({"attack": "random"}, {"er@10": 0.9})),
)


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
  monkeypatch.setitem(RECIPES, "tiny", RECIPE)
  monkeypatch.setitem(GROUPS, "all", ("tiny",))
  monkeypatch.setitem(GROUPS, "pieck", ("tiny",))


def result_of(cell):
  seed, attacked = cell.config.seed, cell.flat["attack"] == "random"
  metrics = {"epoch": 3, "round": 12, "er@10": 0.25 * attacked, "hr@10": 0.5 + 0.01 * seed + 1e-9, "wall_s": 2.04}
  return Result(
    metrics={name: np.array([value]) for name, value in metrics.items()}, per_user={"hr@10": np.array([1.0])},
    users=np.array([0]), targets=np.array([5]), state=None, compile_s=0.5, detection={}, stealth={}, images={},
  )


@pytest.fixture
def sweep(tmp_path):
  """A folder in which all cells of the recipe are finished but one, and one has diverged."""
  folder = tmp_path / "sweep"
  for cell in expand(RECIPE.settings, {}):
    diverged = None
    if cell.config.seed == 4 and cell.flat["attack"] == "random":
      continue
    if cell.config.seed == 3 and cell.flat["attack"] == "random":
      diverged = DivergedError("it grew", result_of(cell), epoch=2, round=7)
    write_cell(folder, cell, result_of(cell), "0.1", {}, diverged)
  return folder


def changed(file, old, new):
  text = file.read_text()
  assert old in text
  file.write_text(text.replace(old, new, 1))


def test_finished_cells_are_kept_with_their_source(sweep, tmp_path):
  file = tmp_path / "tiny.csv"
  assert keep("tiny", sweep, file) == 9
  table = pl.read_csv(file)
  assert table.columns == [
    "cell", "seed", "er@10", "hr@10", "diverged_at_epoch", "settings", "config_hash", "version", "wall_s"]
  first = table.row(0, named=True)
  assert (first["cell"], first["hr@10"], first["version"], first["wall_s"]) == (
    "synthetic mf none none seed=0", 0.5, 0.1, 2.0)
  assert set(table["config_hash"]) <= {cell.hash for cell in expand(RECIPE.settings, {})}
  assert table.filter(pl.col("diverged_at_epoch").is_not_null())["cell"].to_list() == [
    "synthetic mf random none seed=3"]


def test_what_was_kept_is_read_as_it_was(sweep, tmp_path):
  file = tmp_path / "tiny.csv"
  keep("tiny", sweep, file)
  found = read_kept("tiny", file)
  assert [cell.hash for cell in found.cells] == found.results["config_hash"].to_list() and len(found.cells) == 9
  values = {(cell.flat["attack"], cell.config.seed): row["er@10"] for cell, row in
            zip(found.cells, found.results.iter_rows(named=True), strict=True)}
  assert values["none", 1] == 0.0 and values["random", 2] == 0.25 and values["random", 3] is None


@pytest.mark.parametrize(
  ("old", "new", "message"),
  [
    ("0.51,", "1.51,", r"line 3: hr@10 must be between 0 and 1 or empty, got 1\.51"),
    ("seed,er@10", "seed,er@5", "line 1: expected a column er@10"),
  ],
)
def test_a_bad_line_is_named(sweep, tmp_path, old, new, message):
  file = tmp_path / "tiny.csv"
  keep("tiny", sweep, file)
  changed(file, old, new)
  with pytest.raises(DataError, match=message) as caught:
    read_kept("tiny", file)
  assert str(file) in str(caught.value) and "\n" not in str(caught.value)


def test_results_of_other_settings_are_refused(sweep, tmp_path, monkeypatch):
  file = tmp_path / "tiny.csv"
  keep("tiny", sweep, file)
  line = file.read_text().splitlines()[1]
  file.write_text(file.read_text() + line + "\n")
  with pytest.raises(DataError, match="line 11: synthetic mf none none seed=0 stands in a line before"):
    read_kept("tiny", file)
  other = Recipe("Tiny", "", ({**RECIPE.settings[0], "train.epochs": "4"},), RECIPE.metrics)
  monkeypatch.setitem(RECIPES, "tiny", other)
  with pytest.raises(DataError, match="line 2: synthetic mf none none seed=0 is no cell of recipe tiny as it is now"):
    read_kept("tiny", file)


def test_settings_are_known_by_what_was_chosen():
  flat = expand([{}], {"attack": "pieck_ipe", "train.epochs": "7"})[0].flat
  same = {name: value for name, value in flat.items() if name != "pieck_ipe.strength"}
  assert settings_digest(flat) == settings_digest(same)
  for name, value in (("train.epochs", 8), ("seed", 1), ("pieck_ipe.strength", 0.5), ("dataset", "ml-1m")):
    assert settings_digest({**flat, name: value}) != settings_digest(flat)


def test_the_page_counts_verdicts(sweep, tmp_path):
  keep("tiny", sweep, csv_of(tmp_path, "tiny"))
  text = page.page(tmp_path)
  assert "| PIECK (Zhang et al., 2024) | 3 | 2 | 0 | 1 | 0 | 0 |" in text
  assert "**`tiny`: Tiny**" in text and "agrees: [0.0000, 0.0050]" in text and "cannot tell: 3 seeds" in text
  assert text.count("prediction interval") == 1


def test_a_file_of_no_recipe_is_named(tmp_path):
  (tmp_path / "unheard.csv").write_text("seed\n1\n")
  with pytest.raises(DataError, match="neither a recipe of a paper nor the matrix is named unheard"):
    page.page(tmp_path)


def test_the_command(sweep, tmp_path, capsys):
  docs = tmp_path / "docs"
  docs.mkdir()
  arguments = ["results", f"--docs={docs}"]
  assert command.main([*arguments, "--check"]) == command_line.FAILED
  assert command.main([*arguments, "--keep=tiny", f"--out_dir={sweep}"]) == command_line.DONE
  assert "9 cells" in capsys.readouterr().out and "Tiny" in (docs / "results.md").read_text()
  assert command.main([*arguments, "--check"]) == command_line.DONE
  changed(csv_of(docs / "results", "tiny"), "0.51,", "0.52,")
  assert command.main([*arguments, "--check"]) == command_line.FAILED
  error = capsys.readouterr().err
  assert "is not what docs/results make" in error and error.count("\n") == 1


@pytest.mark.parametrize(
  ("flags", "message"),
  [
    (("--keep=unheard",), "--keep must be a comma list of tiny, matrix, got 'unheard'"),
    (("--keep=tiny", "--out_dir=nowhere"), "none of its 10 cells is finished in nowhere"),
    (("--keep=tiny", "--check"), "--check changes nothing"),
    (("--docs=nowhere",), "--docs: nowhere is no folder"),
  ],
)
def test_bad_flags_are_one_line(tmp_path, capsys, flags, message):
  assert command.main(["results", f"--docs={tmp_path}", *flags]) == command_line.BAD_INPUT
  error = capsys.readouterr().err
  assert message in error and error.count("\n") == 1


def test_the_page_in_the_docs_is_what_the_kept_results_make(monkeypatch):
  monkeypatch.undo()
  assert (DOCS / "results.md").read_text(encoding="utf-8") == page.page(DOCS / "results")
  assert kept.RECIPES is RECIPES and "tiny" not in RECIPES
