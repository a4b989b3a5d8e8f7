"""Tests of the readers on small files written by hand."""

import datetime
import gzip
import re
import time

import polars as pl
import pytest

from fedrecjax.datasets import (
  FORMATS,
  DataError,
  format_of,
  read,
  read_csv,
)


def _columns(rows):
  times = None if rows.time is None else rows.time.tolist()
  marks = None if rows.test is None else rows.test.tolist()
  return rows.users.tolist(), rows.items.tolist(), times, marks


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize(
  ("name", "text", "expected", "sizes"),
  [
    (
      "u.data",
      "3\t2\t5\t100\n1\t7\t1\t90\n",
      ([2, 0], [1, 6], [100, 90], None),
      (3, 7),
    ),
    (
      "ratings.dat",
      "4::1193::5::100\r\n4::661::3::90\r\n9::1193::1::80\r\n",
      ([0, 0, 1], [0, 1, 0], [100, 90, 80], None),
      (2, 2),
    ),
    (
      "toy.inter",
      "user_id:token\titem_id:token\trating:float\ttimestamp:float\n7\tB\t1\t10.0\n5\tA\t2\t9\n",
      ([0, 1], [0, 1], [10, 9], None),
      (2, 2),
    ),
    (
      "toy.inter",
      "item_id:token\tuser_id:token\n7\tB\n5\tB\n",
      ([0, 0], [0, 1], None, None),
      (1, 2),
    ),
    ("list.txt", "1 4 2\n0 \n3  4\t4 \n", ([1, 1, 3, 3], [4, 2, 4, 4], None, None), (4, 5)),
    ("toy.csv", "user,item\n0,3\n2,1\n", ([0, 2], [3, 1], None, None), (3, 4)),
    (
      "toy.csv",
      'item,"user",rating,timestamp,test\nx,0,4,5,0\ny,1,4,6,1\nx,1,4,6,0\n',
      ([0, 1, 1], [0, 1, 0], [5, 6, 6], [False, True, False]),
      (2, 2),
    ),
    ("toy.csv", "user,item,timestamp\n0,3,\n2,1,\n", ([0, 2], [3, 1], None, None), (3, 4)),
    (
      "toy.csv",
      "user,item,timestamp\n0,3,1.5\n0,2,0.5\n0,1,1.5\n",
      ([0, 0, 0], [3, 2, 1], [1, 0, 1], None),
      (1, 4),
    ),
  ],
)
def test_reads_small_files(write, name, text, expected, sizes, suffix):
  rows = read(write(name + suffix, text))
  assert _columns(rows) == expected
  assert (rows.num_users, rows.num_items) == sizes
  assert rows.name == name + suffix


@pytest.mark.parametrize(
  ("name", "text", "message"),
  [
    ("u.data", "1\t2\t3\t4\n1\t2\t3\n", "u.data:2: expected 4 fields (tab between them)"),
    ("u.data", "1\t2\t3\t4\n\n1\t2\t3\t4\n", "u.data:2: expected 4 fields"),
    ("u.data", "1\t2\t3\t4\n1\tx\t3\t4\n", "u.data:2: expected movie id 'x' to be an integer"),
    ("u.data", "0\t2\t3\t4\n", "u.data:1: expected user id '0' to be an integer of at least 1"),
    ("u.data", "1\t-2\t3\t4\n", "movie id '-2' to be an integer of at least 1, in line '1\\t-2"),
    ("u.data", "1\t2\t3\tnoon\n", "u.data:1: expected timestamp 'noon' to be an integer"),
    ("u.data", "1\t99999999999\t3\t4\n", "to be an integer of at most 2147483646"),
    ("u.data", "1\t200000\t3\t4\n", "largest item id is 199999, but only 1 different ones occur"),
    ("u.data", "", "u.data: empty file"),
    ("u.data", "\n\n", "u.data: empty file"),
    ("ratings.dat", "1::2::3::4\n1:2:3:4\n", "ratings.dat:2: expected 4 fields (:: between them)"),
    ("ratings.dat", "-1::2::3::4\n", "ratings.dat:1: expected user id '-1'"),
    ("a.inter", "user_id\titem_id\n1\t2\n", "a.inter:1: expected a header with user_id:token"),
    ("a.inter", "user_id:token\titem_id:token\n", "a.inter: a header only"),
    ("a.inter", "user_id:token\titem_id:token\n1\t2\n1\n", "a.inter:3: expected 2 fields"),
    ("a.inter", "user_id:token\titem_id:token\n1\t\n", "a.inter:2: expected item_id not to be"),
    (
      "a.inter",
      "user_id:token\titem_id:token\ttimestamp:float\n1\t2\tnan\n",
      "a.inter:2: expected timestamp 'nan' to be a number",
    ),
    ("a.txt", "0 1 2\n1 -2\n", "a.txt:2: expected 'user item item ...' with integers from 0"),
    ("a.txt", "0 1 2\n1 2.5\n", "found '2.5', in line '1 2.5'"),
    ("a.txt", "0 1\n\n1 2\n", "a.txt:2: expected 'user item item ...'"),
    ("a.txt", "0 1\n1 2\n0 3\n", "a.txt:3: expected a new user, but user 0 is on line 1"),
    ("a.txt", "0\n1\n", "a.txt: no line lists an item"),
    ("a.csv", "u,i\n0,1\n", "a.csv:1: expected the columns user,item[,timestamp][,test]"),
    ("a.csv", "user,item\n", "a.csv: a header only"),
    ("a.csv", "user,item\n0,1\n0,1,2\n", "a.csv:3: expected 2 fields (comma between them)"),
    ("a.csv", "user,item\n0,1\n0,-1\n", "a.csv:3: expected item id '-1' to be an integer"),
    ("a.csv", "user,item\n0,1\n,1\n", "a.csv:3: expected user id not to be empty, in line ',1'"),
    ("a.csv", "user,item,timestamp\n0,1,7\n0,1,\n", "a.csv:3: expected a timestamp, as other"),
    ("a.csv", "user,item,timestamp\n0,1,7\n0,1,x\n", "a.csv:3: expected timestamp 'x' to be"),
    ("a.csv", "user,item,test\n0,1,1\n0,1,2\n", "a.csv:3: expected test '2' to be 0 or 1"),
    ("a.csv", "user,item\n151603712,1\n", "largest user id is 151603712, but only 1 different"),
    ("a.json", "{}", "format unknown from suffix '.json', expected one of .data .dat"),
    ("plain", "0 1", "format unknown from suffix ''"),
  ],
)
def test_bad_lines_are_named(write, name, text, message):
  with pytest.raises(DataError, match=re.escape(message)) as caught:
    read(write(name, text))
  assert "\n" not in str(caught.value)


def test_long_lines_are_shortened_in_errors(write):
  with pytest.raises(DataError) as caught:
    read(write("u.data", "x" * 1000 + "\n"))
  assert len(str(caught.value)) < 300


def test_files_that_cannot_be_read(tmp_path, write):
  with pytest.raises(DataError, match=r"absent\.csv: no such file"):
    read(tmp_path / "absent.csv")
  (tmp_path / "folder.csv").mkdir()
  with pytest.raises(DataError, match=r"folder\.csv: cannot be read"):
    read(tmp_path / "folder.csv")
  (tmp_path / "fake.csv.gz").write_bytes(b"user,item\n0,1\n")
  with pytest.raises(DataError, match=r"fake.csv.gz: expected a whole gzip file"):
    read(tmp_path / "fake.csv.gz")
  whole = gzip.compress(b"user,item\n0,1\n" * 100)
  (tmp_path / "cut.csv.gz").write_bytes(whole[: len(whole) // 2])
  with pytest.raises(DataError, match=r"cut.csv.gz: expected a whole gzip file"):
    read(tmp_path / "cut.csv.gz")
  (tmp_path / "latin.csv").write_bytes(b"user,item\n0,caf\xe9\n")
  with pytest.raises(DataError, match=r"latin.csv:2: expected UTF-8"):
    read(tmp_path / "latin.csv")


def test_format_can_be_given(write):
  path = write("ratings.tsv", "1\t1\t5\t3\n")
  assert len(read(path, format="u.data", name="mine")) == 1
  assert read(path, format="u.data", name="mine").name == "mine"
  with pytest.raises(DataError, match=r"format 'tsv' is unknown, expected one of u.data"):
    read(path, format="tsv")
  assert {format_of(name) for name in ("u.data", "a.dat", "a.inter", "a.txt.gz", "a.csv")} < set(
    FORMATS
  )


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_lists_bring_their_test_file(write, suffix):
  path = write("train.txt", "0 5 6\n1 5\n2 6\n")
  assert read(path).test is None
  write("test.txt" + suffix, "0 9\n1\n2 7\n")
  rows = read(path)
  assert _columns(rows) == (
    [0, 0, 1, 2, 0, 2],
    [5, 6, 5, 6, 9, 7],
    None,
    [False] * 4 + [True] * 2,
  )
  assert (rows.num_users, rows.num_items) == (3, 10)


def test_bad_test_file_is_named(write):
  path = write("train.txt", "0 5 6\n")
  write("test.txt", "0 9\n1 x\n")
  with pytest.raises(DataError, match=r"test.txt:2: expected .* found 'x'"):
    read(path)


def test_csv_companions_stand_row_for_row(write):
  path = write("a.csv", "user,item,timestamp\n0,1,7\n0,2,\n")
  ranks, marks = write("rank.csv", "rank\n1\n0\n"), write("split.csv", "test\n0\n1\n")
  rows = read_csv(path, name="toy", time_path=ranks, test_path=marks)
  assert _columns(rows) == ([0, 0], [1, 2], [1, 0], [False, True])
  short = write("short.csv", "rank\n1\n")
  with pytest.raises(DataError, match=r"short.csv: 1 lines after the header, expected 2"):
    read_csv(path, name="toy", time_path=short)
  wrong = write("wrong.csv", "test\n1\n5\n")
  with pytest.raises(DataError, match=r"wrong.csv:3: expected test '5' to be 0 or 1"):
    read_csv(path, name="toy", time_path=ranks, test_path=wrong)


def _parquet(tmp_path, **columns):
  path = tmp_path / "toy.parquet"
  pl.DataFrame(columns).write_parquet(path)
  return path


def test_parquet(tmp_path):
  path = _parquet(tmp_path, user=[0, 2], item=["b", "a"], timestamp=[5, 6], test=[False, True])
  assert _columns(read(path)) == ([0, 2], [0, 1], [5, 6], [False, True])
  packed = tmp_path / "toy.parquet.gz"
  packed.write_bytes(gzip.compress(path.read_bytes()))
  assert _columns(read(packed)) == _columns(read(path))


def test_parquet_times(tmp_path):
  days = [datetime.datetime(2020, 1, 2), datetime.datetime(2020, 1, 1)]
  dated = read(_parquet(tmp_path, user=[0, 0], item=[0, 1], timestamp=days))
  assert dated.time[0] > dated.time[1]
  assert read(_parquet(tmp_path, user=[0], item=[0], timestamp=[2.0])).time.tolist() == [2]
  unknown = pl.Series([None, None], dtype=pl.Int64)
  assert read(_parquet(tmp_path, user=[0, 0], item=[0, 1], timestamp=unknown)).time is None


@pytest.mark.parametrize(
  ("columns", "message"),
  [
    ({"user": [0], "thing": [1]}, "expected the columns user,item.*, found user,thing"),
    ({"user": [0, -1], "item": [1, 1]}, "row 1: column user is -1, expected 0 to"),
    ({"user": [0, None], "item": [1, 1]}, "row 1: column user is null"),
    ({"user": [0.5], "item": [1]}, "column user has type Float64, expected integers or strings"),
    ({"user": [0], "item": [1], "test": [2]}, "row 0: column test is 2, expected 0 to 1"),
    ({"user": [0], "item": [1], "test": ["a"]}, "column test has type String, expected integers"),
    ({"user": [0, 1], "item": [1, 1], "timestamp": [1, None]}, "row 1: column timestamp is null"),
    ({"user": [0], "item": [1], "timestamp": ["noon"]}, "column timestamp has type String"),
    (
      {"user": pl.Series([], dtype=pl.Int64), "item": pl.Series([], dtype=pl.Int64)},
      "empty table",
    ),
  ],
)
def test_bad_parquet(tmp_path, columns, message):
  with pytest.raises(DataError, match=message):
    read(_parquet(tmp_path, **columns))


def test_file_that_is_no_parquet(write):
  with pytest.raises(DataError, match="expected a Parquet table"):
    read(write("toy.parquet", "user,item\n0,1\n"))


def test_a_million_rows_take_seconds_at_most(write):
  text = "".join(f"{row // 160 + 1}::{row % 3706 + 1}::5::97830{row}\n" for row in range(1_000_000))
  path = write("ratings.dat", text)
  start = time.perf_counter()
  assert len(read(path)) == 1_000_000
  # About one second on a free core; the bound leaves room for a busy machine.
  assert time.perf_counter() - start < 10
