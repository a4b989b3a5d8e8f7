"""Sizes of data sets beside the printed ones, and how unevenly items are chosen."""

import pytest

from experiments import command_line, data_statistics
from experiments.recipes.printed_statistics import PRINTED_SETS, PrintedSet
from fedrecjax.datasets.named import NAMED_SETS


@pytest.fixture
def small(tmp_path):
  """Three users and four items: item 0 has three interactions, items 1 and 2 one, item 3 none but by its id."""
  file = tmp_path / "small.csv"
  rows = [(0, 0, 1), (0, 1, 2), (1, 0, 1), (1, 2, 2), (2, 0, 1), (2, 3, 2)]
  file.write_text("user,item,timestamp\n" + "".join(f"{user},{item},{time}\n" for user, item, time in rows))
  return file


def test_sizes_stand_beside_the_printed_ones(small, tmp_path, capsys, monkeypatch):
  monkeypatch.setitem(PRINTED_SETS, "small.csv", (PrintedSet("Nobody 1", 3, 4, 7, "2", 41.67, "one more"),))
  assert data_statistics.main(
    ["data_statistics", f"--dataset={small}", f"--out_dir={tmp_path / 'out'}"]) == command_line.DONE
  text = (tmp_path / "out" / "data_statistics.md").read_text()
  assert "| here | 3 | 4 | 6 | 2.0 | 50.00 | - |" in text and "Sizes of data sets" in capsys.readouterr().out
  assert "| Nobody 1 | 3 | 4 | 7 | 2 | 41.67 | one more |" in text
  # The top 15 % are one item of four, which has three of six interactions: half.
  assert "| 0.500 | 1 | 0.250 | 3 | 1 |" in text


def test_printed_sizes_are_those_that_files_must_have():
  for name, printed in PRINTED_SETS.items():
    counts = NAMED_SETS[name].counts
    for one in printed:
      pairs = one.users * one.items
      assert 100 * (1 - one.interactions / pairs) == pytest.approx(one.sparsity, abs=0.0101), one
      if one.per_user:
        assert one.interactions / one.users == pytest.approx(float(one.per_user), abs=0.51)
      if not one.remark:
        assert (one.users, one.items, one.interactions) == counts


@pytest.mark.parametrize(("flag", "message"), [("--dataset=", "--dataset"), ("--dataset=nowhere.csv", "nowhere.csv")])
def test_bad_input_is_named_in_one_line(tmp_path, flag, message, capsys):
  assert data_statistics.main(["data_statistics", flag, f"--out_dir={tmp_path}"]) == command_line.BAD_INPUT
  error = capsys.readouterr().err
  assert message in error and error.count("\n") == 1
