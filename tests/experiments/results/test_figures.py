"""Figures of recipes: what they show of invented rows, point by point, for each recipe that has some; and the files."""

import collections
import json
import random

import numpy as np
import polars as pl
import pytest

from experiments import command_line
from experiments.grid import expand
from experiments.recipes import ITEMS, RECIPES, Figure, Recipe
from experiments.recipes.drawing import EPOCH, Drawing, Panel
from experiments.results import command
from experiments.results.cell_files import write_cell
from experiments.results.figure_points import arranged, matches
from experiments.results.figures import draw_recipe, drawn
from experiments.results.plots import PlotError
from experiments.results.report import without_seed
from fedrecjax.config import with_unset
from fedrecjax.metrics.stats import mean_interval
from fedrecjax.simulation.results import Result

DRAWN = {name: recipe for name, recipe in RECIPES.items() if recipe.drawings}
EPOCHS = (1, 2)
# Shape of each paper's figure: panels beside each other, rows, lines, and places on the x axis of the first panel.
SHAPES = {
  "cluster_figure2": (1, 1, 7, 8), "cluster_figure3": (1, 1, 2, 5), "fedrecattack_figure3": (3, 2, 4, 0),
  "pieck_figure5": (4, 2, 2, 5), "pieck_figure6": (2, 2, 3, 0), "pieck_figure7": (1, 1, 1, 9),
  "spattack_figure3": (4, 2, 6, 5), "spattack_figure4": (1, 2, 5, 2), "spattack_figure5": (4, 2, 5, 0),
  "gdmpd_figure3": (2, 1, 4, 0), "gdmpd_figure4": (2, 1, 1, 7), "gdmpd_figure5": (2, 1, 4, 0),
  "gdmpd_figure7": (2, 1, 3, 0),
}


def invented(cells, metrics):
  """A row per cell and epoch, of numbers that occur once."""
  numbers = random.Random(0)
  return pl.DataFrame([
    {"config_hash": cell.hash, "epoch": epoch, **{metric: numbers.random() for metric in metrics}}
    for cell in cells for epoch in EPOCHS
  ])


def test_every_figure_of_results_is_drawn_by_a_recipe():
  of_recipes = {item.name for item in ITEMS if item.number.startswith("Figure") and item.recipes}
  names = [drawing.name for recipe in DRAWN.values() for drawing in recipe.drawings]
  assert of_recipes == set(SHAPES) <= set(names) and len(names) == len(set(names))
  for recipe in DRAWN.values():
    for drawing in recipe.drawings:
      assert set(drawing.metrics) <= set(recipe.metrics) and drawing.title


@pytest.mark.parametrize("name", DRAWN)
def test_a_figure_shows_what_was_measured(name):
  recipe = DRAWN[name]
  cells = expand(recipe.settings, {})
  results = invented(cells, recipe.metrics)
  own = frozenset(without_seed(cell.flat) for cell in cells) if recipe.figures else frozenset()
  measured = {(row["config_hash"], row["epoch"]): row for row in results.iter_rows(named=True)}
  for drawing in recipe.drawings:
    shown = arranged(drawing, cells, results, figures=recipe.figures, figures_of=own)
    if drawing.name in SHAPES:
      assert SHAPES[drawing.name] == (
        len(shown.titles), len(drawing.metrics), len(shown.lines), len(shown.ticks[0]))
    # Numbers occur once, so that each says which run and epoch a point is made of.
    found = {(metric, row[metric]): key for key, row in measured.items() for metric in drawing.metrics}
    flats = {cell.hash: with_unset(cell.flat) for cell in cells}
    covered = collections.Counter()
    for point in shown.points:
      keys = [found[point.metric, value] for value in point.values]
      assert point.interval == mean_interval(point.values)
      assert {epoch for _, epoch in keys} == {point.x if drawing.x == (EPOCH,) else EPOCHS[-1]}
      own_flats = [flats[name] for name, _ in keys]
      assert all(matches(flat, drawing.where) for flat in own_flats)
      if drawing.kind != "box":
        assert len({json.dumps({**flat, "seed": 0}, sort_keys=True) for flat in own_flats}) == 1
        seeds = {flat["seed"] for flat in own_flats}
        assert len(seeds) == len(keys) == len(set(range(len(keys))) & seeds)
      for field in drawing.panels_by:
        assert len({str(flat.get(field)) for flat in own_flats}) == 1
      covered.update(name for name, _ in keys)
    left_out = [flats[cell.hash] for cell in cells if cell.hash not in covered]
    dashed = [flat for flat in left_out if drawing.dashed is not None and matches(flat, drawing.dashed)]
    assert bool(dashed) == (drawing.dashed is not None) == bool(shown.dashed)
    # Panels of their own choice may leave runs out; all else is there.
    if all(not panel.where for panel in drawing.panels):
      assert all(not matches(flat, drawing.where) for flat in left_out if flat not in dashed)


def shown_of(name, number=0):
  recipe = RECIPES[name]
  cells = expand(recipe.settings, {})
  own = frozenset(without_seed(cell.flat) for cell in cells)
  results = invented(cells, recipe.metrics)
  return cells, results, arranged(recipe.drawings[number], cells, results, figures=recipe.figures, figures_of=own)


def values_of(cells, results, metric, **fields):
  hashes = [cell.hash for cell in cells if matches(cell.flat, {name.replace("__", "."): value
                                                              for name, value in fields.items()})]
  frame = results.filter(pl.col("config_hash").is_in(hashes) & (pl.col("epoch") == EPOCHS[-1]))
  return sorted(frame[metric].to_list())


def test_bars_stand_in_the_group_of_their_defense():
  cells, results, shown = shown_of("cluster_figure2")
  assert shown.lines[0] == "no attack" and shown.ticks[0][0] == "no defense"
  (point,) = [one for one in shown.points if one.line == "lie" and shown.ticks[0][int(one.x)] == "krum"]
  assert sorted(point.values) == values_of(cells, results, "hr@5", attack="lie", defense="krum")
  dashed = values_of(cells, results, "hr@5", attack="none", defense="none")
  assert shown.dashed == {(0, "hr@5"): pytest.approx(np.mean(dashed))}


def test_panels_have_an_axis_of_their_own():
  cells, results, shown = shown_of("pieck_figure5")
  assert shown.ticks[2] == ("1", "5", "10", "50", "150", "250", "500") and shown.ticks[0][0] == "1 %"
  (point,) = [one for one in shown.points
              if (one.panel, one.metric, one.line, one.x) == (2, "er@10", "pieck_uea", 6.0)]
  assert sorted(point.values) == values_of(cells, results, "er@10", attack="pieck_uea", pieck_uea__num_popular=500)
  assert not [one for one in shown.points if (one.panel, one.line, one.x) == (2, "pieck_uea", 0.0)]


def test_runs_without_attack_stand_in_the_panel_of_each_attack():
  cells, results, shown = shown_of("spattack_figure3")
  clean = values_of(cells, results, "hr@10", attack="none", defense="median")
  place = shown.ticks[0].index("median")
  for panel in range(4):
    (point,) = [one for one in shown.points
                if (one.panel, one.metric, one.line, one.x) == (panel, "hr@10", "no attack", place)]
    assert sorted(point.values) == clean


def test_what_the_paper_prints_stands_at_the_last_epoch():
  _, _, shown = shown_of("gdmpd_figure5")
  printed = {(one.panel, one.line, one.x): one.printed for one in shown.points if one.printed is not None}
  assert printed[0, "psmu_v", 2.0] == 1.0 and printed[1, "no attack", 2.0] == 0.0 and len(printed) == 8


def recipe_of(*drawings, **settings):
  return Recipe("Tiny", "Nobody", ({"attack": "none,random", "train.epochs": "2", "seed": "0-2", **settings},),
                ("er@10", "hr@10"), (Figure({"attack": "random"}, {"er@10": 0.9}),), drawings=drawings)


KINDS = (
  Drawing("tiny_bars", "Bars", "bars", ("defense",), ("attack",), ("er@10", "hr@10")),
  Drawing("tiny_lines", "Lines", "lines", (EPOCH,), ("attack",), ("hr@10",), panels_by=("defense",)),
  Drawing("tiny_box", "Boxes", "box", ("attack",), (), ("hr@10",)),
  Drawing("tiny_scatter", "Dots", "scatter", ("er@10",), ("attack",), ("hr@10",), panels=(Panel("all"),)),
)


def test_runs_that_would_stand_in_one_place_are_no_figure():
  cells = expand(recipe_of(**{"mf.dim": "4,8"}).settings, {})
  with pytest.raises(PlotError, match=r"tiny_bars is not drawn: runs that differ in mf\.dim"):
    arranged(KINDS[0], cells, invented(cells, ("er@10", "hr@10")))


def test_unfinished_runs_and_missing_values_leave_places_empty():
  cells = expand(recipe_of(defense="none,median").settings, {})
  finished = [cell for cell in cells if cell.flat["defense"] == "none"]
  rows = invented(finished, ("er@10", "hr@10")).with_columns(
    pl.when(pl.col("config_hash") == finished[0].hash).then(None).otherwise(pl.col("hr@10")).alias("hr@10"))
  shown = arranged(KINDS[0], cells, rows)
  assert shown.ticks == (("no defense", "median"),) and {point.x for point in shown.points} == {0.0}
  counts = {(point.line, point.metric): len(point.values) for point in shown.points}
  assert sorted(counts.values()) == [2, 3, 3, 3]
  assert "no results yet" not in [text.get_text() for text in drawn(KINDS[0], shown).axes[0].texts]
  empty = arranged(KINDS[0], cells, rows.clear())
  assert [text.get_text() for text in drawn(KINDS[0], empty).axes[0].texts] == ["no results yet"]


def write_results(folder, recipe):
  for cell in expand(recipe.settings, {}):
    attacked = cell.flat["attack"] == "random"
    metrics = {"epoch": [1, 2], "round": [4, 8], "er@10": [0.0, 0.5 * attacked], "hr@10": [0.1, 0.2], "wall_s": [1, 2]}
    write_cell(folder, cell, Result(
      metrics={name: np.array(values) for name, values in metrics.items()}, per_user={"hr@10": np.array([1.0])},
      users=np.array([0]), targets=np.array([5]), state=None, compile_s=0.5, detection={}, stealth={}, images={},
    ), "0.1", {})


def test_every_kind_is_drawn_into_files(tmp_path):
  recipe = recipe_of(*KINDS, defense="none,median")
  write_results(tmp_path, recipe)
  cells = expand(recipe.settings, {})
  files = draw_recipe(recipe, cells, cells, tmp_path)
  assert [file.stem for file in files] == [drawing.name for drawing in KINDS]
  for file in files:
    assert file.read_bytes().startswith(b"\x89PNG") and file.with_suffix(".pdf").read_bytes().startswith(b"%PDF")
  assert draw_recipe(recipe, cells, [], tmp_path) == []


def test_figures_are_drawn_from_a_folder(tmp_path, monkeypatch, capsys):
  recipe = recipe_of(KINDS[0])
  monkeypatch.setitem(RECIPES, "tiny", recipe)
  assert command.main(["results", "--draw=tiny", f"--out_dir={tmp_path}"]) == command_line.BAD_INPUT
  assert "none of its 6 cells is finished" in capsys.readouterr().err
  write_results(tmp_path, recipe)
  assert command.main(["results", "--draw=tiny", f"--out_dir={tmp_path}"]) == command_line.DONE
  assert "of 6 of 6 cells" in capsys.readouterr().out and (tmp_path / "figures" / "tiny_bars.png").is_file()
  assert command.main(["results", "--draw=demo"]) == command_line.BAD_INPUT
  assert command.main(["results", "--draw=tiny", "--check"]) == command_line.BAD_INPUT
