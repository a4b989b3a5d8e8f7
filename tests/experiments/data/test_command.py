"""The command that says what data sets hold."""

import csv

import pytest

from experiments.data import command, plot
from experiments.recipes.printed_statistics import PRINTED
from experiments.results.plots import PlotError
from fedrecjax.datasets import NAMED_SETS

TOY = """user,item,timestamp,public
0,1,900000000,1
0,2,910000000,0
0,1,890000000,0
1,3,900000000,0
1,5,905000000,1
"""


@pytest.fixture
def say(tmp_path, capsys):
  """Runs the command and returns its exit status and what it printed, on either stream."""

  def run(*arguments):
    status = command.main(["data", *map(str, arguments), f"--out_dir={tmp_path / 'out'}"])
    said = capsys.readouterr()
    return status, said.out, said.err

  return run


@pytest.fixture
def toy(tmp_path):
  file = tmp_path / "toy.csv"
  file.write_text(TOY)
  return file


def test_a_file(say, toy, tmp_path):
  status, out, err = say(toy)
  assert status == 0 and err == ""
  lines = [line.split(maxsplit=1) for line in out.splitlines()]
  assert ["Data:", "toy.csv"] in lines and ["users", "2"] in lines
  assert ["file", f"{toy}: csv, utf-8, comma between fields; columns user, item, timestamp is the time, public"
          ] in lines
  assert ["items", "4"] in lines
  assert ["interactions", "5, 62.50% of all pairs (1 repeat a pair; data.repeats=drop leaves them out)"] in lines
  assert ["time", "1998-03-15 22:13:20 to 1998-11-02 09:46:40"] in lines
  assert ["split", "last_by_time; the source has no split of its own; by time"] in lines
  assert ["public", "2 interactions that everybody can see"] in lines
  assert "papers" not in out and "users 0, 1; items 1, 2, 3" in out
  assert (tmp_path / "out" / "popularity.png").read_bytes().startswith(b"\x89PNG")
  with open(tmp_path / "out" / "data.csv") as file:
    (row,) = csv.DictReader(file)
  assert (row["name"], row["users"], row["repeats"], row["first_items"]) == ("toy.csv", "2", "1", "1+2+3")


def test_flags_of_data_say_how_a_file_is_read(say, tmp_path):
  file = tmp_path / "plays, all.tsv"
  file.write_text("who\twhat\tstars\tnote\nann\tx\t5\tgood\nann\ty\t4\t-\nann\tz\t1\t-\nbob\tx\t5\t-\n")
  status, out, err = say(file, "--data.columns=user=who+item=what", "--data.min_rating=3", "--data.too_few=drop")
  assert status == 0 and err == ""
  assert "who is the user, what is the item, stars is the rating; not used: note" in out
  assert "left out      1 rows by data.min_rating" in out and "1 rows and 1 users by data.too_few=drop" in out
  assert "users ann; items x, y, z" not in out and "users ann; items x, y" in out
  with open(tmp_path / "out" / "data.csv") as table:
    (row,) = csv.DictReader(table)
  assert (row["rows"], row["left_out"], row["users_left_out"]) == ("4", "min_rating=1+too_few=1", "1")


def test_held_out_items_that_cannot_be_ranked_are_said(say, toy):
  toy.write_text("user,item\n0,1\n0,2\n0,1\n1,3\n")
  _, out, _ = say(toy)
  assert "held out      1 (1 can never be ranked" in out and "not evaluated 1 users" in out
  assert "time          not known" in out
  _, out, _ = say(toy, "--data.repeats=drop", "--data.too_few=drop")
  assert "can never be ranked" not in out and "1 rows and 1 users by data.too_few=drop" in out


def test_named_sets_stand_beside_the_papers(say, tmp_path):
  rows = "".join(f"{user},{item}\n" for user in range(3) for item in range(4))
  (tmp_path / "sets" / "amazon-cell-phones").mkdir(parents=True)
  (tmp_path / "sets" / "amazon-cell-phones" / "interactions.csv").write_text(f"user,item\n{rows}")
  status, out, _ = say(f"--data_dir={tmp_path / 'sets'}")
  assert status == 0 and out.count("Data: ") == 1
  table = (tmp_path / "out" / "data.md").read_text()
  assert "| amazon-cell-phones | here | 3 | 4 | 12 | 4.0 | 100.00 | - |" in table
  printed = "| amazon-cell-phones | PSMU++, Table 1 | 13,174 | 5,970 | 103,593 | 8 | 0.13 | not comparable: printed of"
  assert printed in table and "Verdicts: 1 not comparable." in table
  assert "**Popularity of items**" in table


def test_without_matplotlib_the_rest_is_there(say, toy, tmp_path, monkeypatch):
  def missing(*_):
    raise PlotError("matplotlib is missing")

  monkeypatch.setattr(command, "plot_popularity", missing)
  status, _, err = say(toy)
  assert status == 0 and "data: matplotlib is missing" in err and (tmp_path / "out" / "data.csv").is_file()


@pytest.mark.parametrize(("arguments", "named"), [
  (("nowhere.csv",), "nowhere.csv"),
  (("toy", "--data.split=first"), "--data.split"),
  (("toy", "--data.test_ratio=2", "--data.split=ratio"), "data.test_ratio"),
  (("--data_dir=/no/such/folder",), "none of the named data sets is there"),
  (("--unheard=1",), "unheard"),
])  # fmt: skip
def test_bad_input_is_named_in_one_line(say, arguments, named):
  status, out, err = say(*arguments)
  assert status == 2 and named in err and err.count("\n") == 1 and out == ""


def test_what_papers_print_fits_together():
  for one in PRINTED:
    assert one.dataset in NAMED_SETS
    if not one.note:
      assert float(one.density) == pytest.approx(100 * one.interactions / (one.users * one.items), abs=0.011)
      assert not one.per_user or float(one.per_user) == pytest.approx(one.interactions / one.users, abs=0.51)
  counts = {name: one.counts for name, one in NAMED_SETS.items() if one.counts is not None}
  for one in PRINTED:
    if not one.note and one.dataset in counts:
      users, items, interactions = counts[one.dataset]
      assert (one.users, one.items) == (users, items) and abs(one.interactions - interactions) <= 1


def test_a_panel_for_each_data_set(tmp_path, small):
  for count in (1, 5):
    plot.plot_popularity([small] * count, tmp_path / f"{count}.png")
  assert (tmp_path / "1.png").stat().st_size < (tmp_path / "5.png").stat().st_size
