"""The command in this process: result files, tables, the picture, and flags that cannot be used."""

import sys

import numpy as np
import polars as pl
import pytest

from experiments.breakdown import command, plot
from experiments.breakdown.flags import parse_command_line
from experiments.command_line import HelpAsked
from experiments.results.plots import PlotError
from fedrecjax import load
from fedrecjax.analysis import interactions_per_item, median_rule, share_broken

SHARES = ["share_proposition_2", "share_interactions", "share_uploads", "share_measured"]


@pytest.fixture
def run(tmp_path):
  """Runs the command into a folder and returns its exit status and the folder."""

  def call(*arguments):
    folder = tmp_path / "out"
    return command.main(["breakdown", f"--out_dir={folder}", *arguments]), folder

  return call


def test_the_embedded_set(run, capsys):
  status, folder = run("--rounds=2", "--ratio=0.01,0.1")
  assert status == 0
  table = pl.read_parquet(folder / "breakdown.parquet")
  assert table.height == 2 * 4
  assert table["dataset"].unique().to_list() == ["synthetic"]
  assert table["rule"].to_list() == ["mean", "median", "trimmed_mean", "krum"] * 2
  assert table["num_malicious"].to_list() == [9] * 4 + [104] * 4
  for column in SHARES:
    assert table[column].is_between(0, 1).all()
  assert (table["share_tail_law"].is_null() == (table["degree_bound"] < table["minimum"]).fill_null(False)).all()
  own = table.filter(pl.col("rule") == "median")
  expected = [share_broken(median_rule(), interactions_per_item(load("synthetic")), bad) for bad in (9, 104)]
  np.testing.assert_allclose(own["share_interactions"], expected)
  # What the uploads of a huge value move is what counting says; Krum is not moved coordinate by coordinate.
  moved = table.filter(pl.col("rule") != "krum")
  assert moved["share_moved"].to_list() == moved["share_measured"].to_list()
  assert table.filter(pl.col("rule") == "krum")["share_moved"].is_null().all()
  assert (table["share_uploads"] - table["share_measured"]).abs().max() < 0.02
  csv = pl.read_csv(folder / "breakdown.csv")
  assert csv.columns == table.columns and csv.height == table.height
  assert (folder / "breakdown.png").read_bytes().startswith(b"\x89PNG")
  text = (folder / "breakdown.md").read_text()
  assert "| synthetic | best tail |" in text and "| synthetic | median | 0.01 | 9 | 9 |" in text
  printed = capsys.readouterr().out
  assert "Power laws of item degrees" in printed and f"{folder / 'breakdown.csv'} (8 rows)" in printed


def test_without_negatives_the_count_by_degree_is_what_is_measured(run):
  status, folder = run("--num_negatives=0", "--rounds=1", "--ratio=0.05")
  table = pl.read_parquet(folder / "breakdown.parquet")
  assert status == 0
  assert table["share_measured"].to_list() == table["share_interactions"].to_list() == table["share_uploads"].to_list()
  assert table["touched_items"].to_list() == [float((interactions_per_item(load("synthetic")) > 0).sum())] * 4
  assert (table["malicious_only_items"] + table["touched_items"] == 1682).all()
  assert table["share_measured_sd"].is_null().all()


def test_options(run, data_file):
  status, folder = run(
    f"--dataset={data_file},synthetic", "--rules=krum,trimmed_mean", "--trimmed_share=0.2", "--ratio=0.2",
    "--attacker=sampled", "--max_items=7", "--clients_per_round=5", "--num_negatives=2", "--rounds=4",
    "--min_tail_items=5", "--seed=3",
  )
  assert status == 0
  table = pl.read_parquet(folder / "breakdown.parquet")
  assert table["dataset"].to_list() == ["tiny.csv"] * 2 + ["synthetic"] * 2
  assert table["rule"].to_list() == ["krum", "trimmed_mean"] * 2
  assert table["breakdown_point"].to_list() == [0.5, 0.2] * 2
  assert table["num_malicious"].to_list() == [6, 6, 235, 235]
  options = table.select("max_items", "clients_per_round", "num_negatives", "rounds", "trimmed_share", "seed").unique()
  assert options.rows() == [(7, 5, 2, 4, 0.2, 3)]
  assert table["touched_items"][0] <= 60 and table["tail_items"].min() >= 5


def test_sampled_attackers_upload_as_much_as_the_longest_list(run):
  status, folder = run("--attacker=sampled", "--rounds=1", "--ratio=0.05")
  assert status == 0
  train = load("synthetic").train
  longest = max(len(np.unique(train.of(user))) for user in range(943))
  table = pl.read_parquet(folder / "breakdown.parquet")
  assert table["max_items"].to_list() == [longest] * 4
  assert table["share_measured"][0] < 1  # they miss items


def test_rounds_without_a_benign_client_have_no_share(run, data_file):
  status, folder = run(f"--dataset={data_file}", "--clients_per_round=1", "--ratio=0.99", "--rounds=3",
                       "--min_tail_items=5", "--rules=mean,krum")
  assert status == 0
  table = pl.read_parquet(folder / "breakdown.parquet")
  assert table["touched_items"].to_list() == [0, 0]
  for column in ("share_measured", "share_measured_sd", "share_moved"):
    assert table[column].is_null().all() and table[column].dtype == pl.Float64
  assert table["malicious_only_items"].to_list() == [60, 60]


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    (["--unheard=1"], "unheard"),
    (["word"], "expected flags only, got 'word'"),
    (["--ratio=0.05,1"], "--ratio must be numbers between 0 and 1, got '1'"),
    (["--ratio=0"], "--ratio must be numbers between 0 and 1, got '0'"),
    (["--ratio=few"], "--ratio must be numbers between 0 and 1, got 'few'"),
    (["--ratio="], "--ratio must be a comma list, got ''"),
    (["--dataset=,"], "--dataset must be a comma list, got ','"),
    (["--rules=median,bulyan"], "--rules must be a comma list of mean, median, trimmed_mean, krum, got 'bulyan'"),
    (["--trimmed_share=0.5"], "--trimmed_share: the trimmed mean's share must be at least 0 and below 0.5, got 0.5"),
    (["--attacker=weak"], "attacker"),
    (["--max_items=5"], "--max_items goes with --attacker=sampled"),
    (["--rounds=0"], "rounds"),
    (["--clients_per_round=0"], "clients_per_round"),
    (["--num_negatives=-1"], "num_negatives"),
    (["--dataset=ml-10k"], "data set 'ml-10k' is unknown"),
    (["--dataset=synthetic,gowalla", "--data_dir=/no/such/folder"], "gowalla is not in /no/such/folder/gowalla"),
    (["--min_tail_items=2000"], "synthetic: no power law can be fitted: it takes a degree with 2000 items"),
    (["--out_dir=/dev/null/out"], "--out_dir: cannot use /dev/null/out"),
  ],
)
def test_bad_input_is_one_line(run, capsys, arguments, message):
  status, folder = run(*arguments)
  printed = capsys.readouterr()
  assert status == 2
  assert printed.out == "" and printed.err.startswith("breakdown: ") and printed.err.count("\n") == 1
  assert message in printed.err
  assert not list(folder.glob("breakdown.*"))


def test_help_names_every_flag(capsys):
  assert command.main(["breakdown", "--help"]) == 0
  text = capsys.readouterr().out
  for flag in ("dataset", "ratio", "rules", "trimmed_share", "attacker", "max_items", "clients_per_round",
               "num_negatives", "rounds", "min_tail_items", "seed", "data_dir", "out_dir"):
    assert f"--{flag}:" in text
  with pytest.raises(HelpAsked):
    parse_command_line(["breakdown", "-h"])


def test_names_given_twice_count_once():
  options = parse_command_line(["breakdown", "--dataset=synthetic, synthetic", "--ratio=0.1,0.1"])
  assert options.datasets == ("synthetic",) and options.ratios == (0.1,)


def test_without_matplotlib_there_is_a_table_and_no_picture(run, capsys, monkeypatch):
  monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
  status, folder = run("--rounds=1", "--ratio=0.05")
  printed = capsys.readouterr()
  assert status == 0 and "pip install fedrecjax[plots]" in printed.err
  assert not (folder / "breakdown.png").exists() and (folder / "breakdown.csv").exists()
  with pytest.raises(PlotError):
    plot.plot_breakdown([], folder / "breakdown.png")


def test_results_that_cannot_be_written(run, capsys, monkeypatch):
  def full(*_):
    raise OSError(28, "No space left on device")

  monkeypatch.setattr(pl.DataFrame, "write_csv", full)
  status, _ = run("--rounds=1", "--ratio=0.05")
  assert status == 1 and "No space left on device" in capsys.readouterr().err


def test_the_figures_of_docs(real_data, run):
  """Aggregate figures of MovieLens-100K and Steam as docs/breakdown.md has them."""
  for name in ("ml-100k", "steam-200k"):
    if not (real_data / name).is_dir():
      pytest.skip(f"{name} is not in {real_data}")
  status, folder = run("--dataset=ml-100k,steam-200k", f"--data_dir={real_data}", "--ratio=0.05", "--rules=median")
  assert status == 0
  movielens, steam = pl.read_parquet(folder / "breakdown.parquet").rows(named=True)
  found = [round(movielens[column], 3) for column in SHARES[:2]]
  assert found == [0.709, 0.644] and movielens["share_measured"] < 0.02
  assert movielens["minimum"] == 270 and movielens["plain_distance"] == pytest.approx(0.239, abs=5e-4)
  # The paper's example: 197 malicious clients of Steam.
  assert steam["num_malicious"] == 197 and steam["degree_bound"] == 197
  found = [round(steam[column], 3) for column in SHARES[:2]]
  assert found == [0.922, 0.982] and steam["share_measured"] == pytest.approx(0.979, abs=0.002)
  assert steam["minimum"] == 28 and steam["share_tail_law"] == pytest.approx(0.981, abs=5e-4)
