"""Tables, the picture and the progress display."""

import io

import numpy as np
import polars as pl
import pytest
from rich.console import Console

from experiments.grid import expand
from experiments.recipes.recipe import Figure, Recipe
from experiments.results.attack_costs import unattacked_hash
from experiments.results.cell_files import column_order, rebuild_results, results_of
from experiments.results.integrity import CELL_FILES
from experiments.results.paths import cell_dir
from experiments.results.plots import line_fields, over_seeds, panel_fields
from experiments.results.report import (
  group_by_seed,
  label_fields,
  recipe_table,
  shown_metrics,
  summarise,
)
from experiments.results.round_tables import stealth_table
from experiments.sweep.progress import LiveProgress, PlainProgress, duration, make_progress
from experiments.tables import Table, markdown, print_table
from experiments.verdicts import RULE
from fedrecjax.attacks import ATTACKS, UNTARGETED
from fedrecjax.metrics.stats import mean_interval, student_quantile


def test_seeds_are_pooled_and_nothing_else():
  cells = expand([{}], {"attack": "none,random", "seed": "0-2", "train.epochs": "1,2"})
  groups = group_by_seed(cells)
  assert [len(group.cells) for group in groups] == [3] * 4
  assert label_fields(cells) == ["attack", "defense", "train.epochs"]


def test_the_summary_is_mean_and_interval_over_seeds():
  cells = expand([{}], {"attack": "none,random", "seed": "0-2"})
  values = {cell.hash: 0.3 + 0.01 * cell.config.seed + (0.3 if cell.flat["attack"] == "random" else 0.0)
            for cell in cells}
  results = pl.DataFrame({
    "config_hash": list(values), "hr@10": list(values.values()), "er@10": [None] * 6, "wall_s": [1.0] * 6})
  table = summarise(cells, results, title="T")
  half = mean_interval([0.3, 0.31, 0.32]).half_width
  assert table.header == ("attack", "defense", "seeds", "hr@10", "er@10", "wall_s")
  assert table.rows == (("none", "none", "3", f"0.3100 ±{half:.4f}", "-", "1.0"),
                        ("random", "none", "3", f"0.6100 ±{half:.4f}", "-", "1.0"))


@pytest.mark.parametrize("values", [(0.44, 0.98, 0.98), (0.0, 0.001, 0.004), (0.99, 1.0, 0.97), (0.2, 0.6)])
def test_seeds_stand_for_themselves_where_an_interval_says_nothing(values):
  cells = expand([{}], {"attack": "random", "seed": f"0-{len(values) - 1}"})
  results = pl.DataFrame({"config_hash": [cell.hash for cell in cells], "hr@10": values, "er@10": [0.5] * len(values),
                          "wall_s": [1.0] * len(values)})
  (row,) = summarise(cells, results, title="T").rows
  assert row[3] == " ".join(f"{value:.4f}" for value in values) and row[4] == "0.5000 ±0.0000"


def test_exposure_is_left_out_where_no_attack_promotes_anything():
  for attacks, shown in (("none,spattack_od,cluster", False), ("none,cluster,pieck_uea", True), ("none", True)):
    cells = expand([{}], {"attack": attacks})
    count = len(cells)
    results = pl.DataFrame({"config_hash": [cell.hash for cell in cells], "hr@10": [0.5] * count,
                            "er@5": [0.1] * count, "er@10": [0.1] * count, "wall_s": [1.0] * count})
    header = summarise(cells, results, title="T").header
    assert ("er@10" in header) == ("er@5" in header) == shown and "hr@10" in header


def test_every_untargeted_attack_is_known():
  families = {name: ATTACKS[name].constructor.__module__ for name in ATTACKS.names()}
  by_module = {name for name, module in families.items() if ".untargeted." in module}
  assert by_module | {"label_flip", "fedattack"} == UNTARGETED


RECIPE = Recipe(
  "T", "Paper, Table 1", ({"attack": "none,random", "train.epochs": "2", "seed": "0-1"},), ("hr@10",),
  (Figure({"attack": "random"}, {"hr@10": 0.25}),),
)


@pytest.mark.parametrize(
  ("overrides", "stands"),
  [({}, True), ({"seed": "5-7"}, True), ({"train.epochs": "3"}, False), ({"attacker.public_share": "0.05"}, False),
   ({"train.epochs": "2,3"}, True)],
)
def test_a_papers_figure_stands_beside_its_own_settings_alone(overrides, stands):
  cells = expand(RECIPE.settings, overrides)
  results = pl.DataFrame({"config_hash": [cell.hash for cell in cells], "hr@10": [0.5] * len(cells),
                          "wall_s": [1.0] * len(cells)})
  table = recipe_table(RECIPE, cells, results, overrides)
  assert ("hr@10 paper" in table.header) == stands
  changed = any(name != "seed" for name in overrides)
  assert any("recipe's own settings alone" in note for note in table.notes) == changed
  if stands:
    place, epochs = table.header.index("hr@10 paper"), table.header.index("attack")
    assert table.header[place + 1] == "hr@10 verdict"
    printed = [row[place : place + 2] for row in table.rows if row[epochs] == "random"]
    assert printed[0] == ("0.2500", f"cannot tell: {3 if 'seed' in overrides else 2} seeds")
    assert set(printed[1:]) <= {("-", "-")}
    assert "Verdicts: 1 cannot tell." in table.notes


@pytest.mark.parametrize(
  ("printed", "why", "expected"),
  [(0.302, "", "agrees: [0."), (0.4, "", "differs: [0."), (0.302, "another target", "not comparable: another target")],
)
def test_a_figure_has_its_verdict(printed, why, expected):
  recipe = RECIPE.__class__(
    "T", "Paper, Table 1", ({"attack": "random", "seed": "0-5"},), ("hr@10",),
    (Figure({"attack": "random"}, {"hr@10": printed}, why),),
  )
  cells = expand(recipe.settings, {})
  hits = [0.29, 0.30, 0.31, 0.305, 0.295, None]  # the last seed has diverged
  results = pl.DataFrame({"config_hash": [cell.hash for cell in cells], "hr@10": hits, "er@10": [0.5] * 6,
                          "diverged_at_epoch": [None] * 5 + [3], "wall_s": [1.0] * 6})
  table = recipe_table(recipe, cells, results, {})
  (row,) = table.rows
  assert row[table.header.index("hr@10 verdict")].startswith(expected)
  assert RULE in table.notes


def test_every_attacked_cell_finds_its_counterpart():
  cells = expand([{}], {
    "attack": "none,random,pieck_uea", "pieck_uea.num_popular": "10,50", "attacker.num_targets": "1,2",
    "attacker.malicious_ratio": "0.05,0.1", "attacker.membership": "added,converted", "seed": "0-1"})
  clean = {cell.hash: cell for cell in cells if cell.flat["attack"] == "none"}
  assert len(clean) == 4
  for cell in cells:
    other = clean[unattacked_hash(cell.flat)]
    assert other.config.seed == cell.config.seed
    assert other.config.attacker.num_targets == cell.config.attacker.num_targets


def test_metrics_at_other_list_lengths_are_found():
  assert shown_metrics(("hr@10", "er@10"), ("hr@10", "er@10")) == ["hr@10", "er@10"]
  assert shown_metrics(("hr@10", "er@10"), ("hr@3", "hr@7", "er@3", "er@7", "er@10")) == ["er@10", "hr@7"]


def test_no_cell_gives_an_empty_table(tmp_path):
  assert rebuild_results(tmp_path).height == 0 and results_of([]).height == 0
  assert (tmp_path / "results.csv").exists()


def test_columns_stand_in_the_same_order_whatever_came_first():
  columns = ["version", "mf.dim", "er@10", "hr@20", "hr@5", "wall_s", "config_hash", "attack", "old.a", "epoch", "seed"]
  ordered = ["attack", "seed", "epoch", "hr@5", "hr@20", "er@10", "wall_s", "mf.dim", "config_hash", "old.a", "version"]
  assert column_order(columns) == column_order(columns[::-1]) == ordered


def test_a_table_is_never_cut():
  table = Table("A title " * 30, ("name", "value"), (("[bold]x" * 30, "1"),), 1, ("A note " * 30,))
  stream = io.StringIO()
  print_table(table, Console(file=stream, width=40))
  assert stream.getvalue().count("bold") == 30 and "…" not in stream.getvalue()
  assert "a \\| b" in markdown(Table("T", ("a | b",), (), 1))


def test_panels_and_lines_share_the_fields_that_vary():
  cells = expand([{}], {"attack": "none,pieck_uea", "pieck_uea.num_popular": "10,50", "defense": "none,norm_bound",
                        "norm_bound.max_norm": "0.1,1", "train.epochs": "1,2", "seed": "0-1"})
  assert line_fields(cells) == ["attack", "pieck_uea.num_popular"]
  assert panel_fields(cells) == ["defense", "train.epochs", "norm_bound.max_norm"]


def test_bands_are_student_intervals():
  runs = [pl.DataFrame({"epoch": [1, 2], "hr@10": [value, None]}, schema_overrides={"hr@10": pl.Float32})
          for value in (0.25, 0.5)]
  epochs, mean, half = over_seeds(runs, "hr@10")
  assert epochs.tolist() == [1, 2] and mean[0] == 0.375 and np.isnan(mean[1])
  assert half is not None and half[0] == pytest.approx(student_quantile(0.975, 1) * 0.125)
  assert over_seeds(runs[:1], "hr@10")[2] is None


@pytest.mark.parametrize("terminal", [False, True])
def test_progress_names_cells_and_time_left(terminal):
  stream = io.StringIO()
  console = Console(file=stream, force_terminal=terminal, width=160)
  progress = make_progress(console, cells=2, epochs=20)
  assert isinstance(progress, LiveProgress if terminal else PlainProgress)
  with progress:
    for name in ("first", "second"):
      progress.start(name, 10)
      progress.advance(name, 5)
      progress.finish(name, "hr@10 0.5")
  assert "first: hr@10 0.5" in stream.getvalue() and "left" in stream.getvalue()


def test_durations():
  assert [duration(seconds) for seconds in (0.4, 95, 5400, 7200)] == ["0 s", "2 min", "1.5 h", "2.0 h"]


def test_cell_files_are_those_of_the_design():
  assert CELL_FILES == ("config.json", "metrics.parquet", "per_user.parquet")


def test_stealth_is_weighted_by_what_was_sent(tmp_path):
  cells = expand([{}], {"attack": "none,random", "seed": "0-1"})
  for cell in cells[2:]:
    folder = cell_dir(tmp_path, cell)
    folder.mkdir(parents=True)
    pl.DataFrame({
      "round": [1, 2, 3], "malicious_clients": [1.0, 3.0, 0.0], "benign_clients": [10.0, 10.0, 20.0],
      "malicious_rows": [60.0, 20.0, None], "benign_rows": [100.0, 50.0, 75.0],
      "norm_percentile": [0.5, 1.0, None]}).write_parquet(folder / "stealth.parquet")
  table = stealth_table(cells, tmp_path)
  # (60 + 3 * 20) / 4 rows, (1000 + 500 + 1500) / 40 rows, (60 * 0.5 + 60 * 1) / 120.
  assert table.rows == (("random", "none", "2", "1.3", "30", "75", "0.750"),)
  assert stealth_table(cells[:2], tmp_path) is None
