"""Tests of the readers on small files written by hand."""

import datetime
import gzip
import io
import re
import time

import polars as pl
import pytest

from fedrecjax.datasets import FORMATS, DataError, load, read
from fedrecjax.datasets.names import names_at


def _columns(rows):
  times = None if rows.time is None else rows.time.tolist()
  marks = None if rows.test is None else rows.test.tolist()
  return rows.users.tolist(), rows.items.tolist(), times, marks


def _pairs(rows):
  users, items = names_at(rows.user_names, rows.users), names_at(rows.item_names, rows.items)
  return list(zip(users.tolist(), items.tolist(), strict=True))


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize(
  ("name", "text", "expected", "users", "items"),
  [
    ("u.data", "3\t2\t5\t100\n1\t7\t1\t90\n", ([1, 0], [0, 1], [100, 90], None), [1, 3], [2, 7]),
    (
      "ratings.dat",
      "4::1193::5::100\r\n4::661::3::90\r\n9::1193::1::80\r\n",
      ([0, 0, 1], [1, 0, 1], [100, 90, 80], None),
      [4, 9],
      [661, 1193],
    ),
    (
      "toy.inter",
      "user_id:token\titem_id:token\trating:float\ttimestamp:float\n7\tB\t1\t10.0\n5\tA\t2\t9\n",
      ([1, 0], [0, 1], [10, 9], None),
      [5, 7],
      ["B", "A"],
    ),
    ("toy.inter", "item_id:token\tuser_id:token\n7\tB\n5\tB\n", ([0, 0], [1, 0], None, None), ["B"], [5, 7]),
    ("list.txt", "1 4 2\n0 \n3  4\t4 \n", ([1, 1, 2, 2], [1, 0, 1, 1], None, None), [0, 1, 3], [2, 4]),
    ("pairs.txt", "1 4\n1 2\n", ([0, 0], [1, 0], None, None), [1], [2, 4]),
    ("toy.csv", "user,item\n0,3\n2,1\n", ([0, 1], [1, 0], None, None), [0, 2], [1, 3]),
    (
      "toy.csv",
      'item,"user",rating,timestamp,test\nx,0,4,5,0\ny,1,4,6,1\nx,1,4,6,0\n',
      ([0, 1, 1], [0, 1, 0], [5, 6, 6], [False, True, False]),
      [0, 1],
      ["x", "y"],
    ),
    ("toy.csv", "user,item,timestamp\n0,3,\n2,1,\n", ([0, 1], [1, 0], None, None), [0, 2], [1, 3]),
    (
      "toy.csv",
      "user,item,timestamp\n0,3,1.5\n0,2,0.5\n0,1,1.5\n",
      ([0, 0, 0], [2, 1, 0], [1, 0, 1], None),
      [0],
      [1, 2, 3],
    ),
    ("toy.csv", 'user,item,title\n0,1,"Warhammer 40,000"\n', ([0], [0], None, None), [0], [1]),
    ("toy.csv", 'user,item\n0,"a ""b"", c"\n0,"two\nlines"\n', ([0, 0], [0, 1], None, None), [0],
     ['a "b", c', "two\nlines"]),
    ("toy.csv", "user,item,time\n0,0,2010-10-19T23:55:27Z\n0,1,2010-10-18\n",
     ([0, 0], [0, 1], [1_287_532_527_000_000, 1_287_360_000_000_000], None), [0], [0, 1]),
    ("toy.csv", "user,item,split\n0,0,train\n0,1,test\n0,2,TRAIN\n",
     ([0, 0, 0], [0, 1, 2], None, [False, True, False]), [0], [0, 1, 2]),
    ("toy.tsv", 'userId\titemId\n0\t1" pipe\n0\t2" pipe\n', ([0, 0], [0, 1], None, None), [0], ['1" pipe', '2" pipe']),
    ("toy.csv", "user;item\n 1 ; a\n1;a\n", ([0, 0], [0, 0], None, None), [1], ["a"]),
    ("mac.csv", "user,item\r0,1\r0,2\r", ([0, 0], [0, 1], None, None), [0], [1, 2]),
  ],
)
def test_reads_small_files(write, name, text, expected, users, items, suffix):
  rows = read(write(name + suffix, text))
  assert _columns(rows) == expected
  assert names_at(rows.user_names, range(rows.num_users)).tolist() == users
  assert names_at(rows.item_names, range(rows.num_items)).tolist() == items
  assert rows.name == name + suffix


@pytest.mark.parametrize(
  ("name", "text", "message"),
  [
    ("u.data", "1\t2\t3\t4\n1\t2\t3\n", "u.data:2: expected 4 fields (tab between them), found 3, in line '1"),
    ("u.data", "1\t2\t3\t4\n\n1\t2\t3\t4\n", "u.data:2: expected 4 fields (tab between them), found 1"),
    ("u.data", "1\t2\t3\t4\n1\tx\t3\t4\n", "u.data:2: column 1 (item): expected a whole number, as other rows have"),
    ("u.data", "1\t2\t3\t4\n1\tx\t3\t4\n", "(--data.ids=names takes all ids as names), found 'x', in line '1"),
    ("u.data", "1\t-2\t3\t4\n", "u.data:1: column 1 (item): expected a whole number, as other rows have"),
    ("u.data", "1\t2\t3\tnoon\n", "u.data:1: column 3 (time): expected a time"),
    ("u.data", "1\t2\t3\t-1\n", "u.data:1: column 3 (time): expected a time of at least 0, found '-1'"),
    ("u.data", "", "u.data: empty file"),
    ("u.data", "\n\n", "u.data: empty file"),
    ("ratings.dat", "1::2::3::4\n1:2:3:4\n", "ratings.dat:2: expected 4 fields (colons between them), found 1"),
    ("ratings.dat", "-1::2::3::4\n", "ratings.dat:1: column 0 (user): expected a whole number"),
    ("a.inter", "user_id\titem_id\n1\t2\n", "a.inter:1: expected a header with user_id:token"),
    ("a.inter", "user_id:token\titem_id:token\n", "a.inter: a header only"),
    ("a.inter", "user_id:token\titem_id:token\n1\t2\n1\n", "a.inter:3: expected 2 fields"),
    ("a.inter", "user_id:token\titem_id:token\n1\t\n", "a.inter:2: column item_id:token (item): expected an id, found"),
    ("a.inter", "user_id:token\titem_id:token\ttimestamp:float\n1\t2\tnan\n",
     "a.inter:2: column timestamp:float (time): expected a time of at least 0, found 'nan'"),
    ("a.txt", "0 1 2\n1 -2\n", "a.txt:2: column item: expected a whole number, as other rows have"),
    ("a.txt", "0 1 2\n1 2.5\n", "found '2.5', in line '1 2.5'"),
    ("a.txt", "0 1\n\n1 2\n", "a.txt:2: expected 'user item item ...'"),
    ("a.txt", "0 1\n1 2\n0 3 4\n", "a.txt:3: expected a new user, but user 0 is on line 1"),
    ("a.txt", "0\n1\n", "a.txt: no line lists an item"),
    ("a.csv", "u,i\n0,1\n", "a.csv:1: no column for the user and the item is known among u, i; expected the columns"),
    ("a.csv", "u,i\n0,1\n", "--data.columns=user=NAME+item=NAME"),
    ("a.csv", "user,i\n0,1\n", "a.csv:1: no column for the item is known among user, i"),
    ("a.csv", "4,1\n0,1\n", "a.csv:1: no header and no format that is known, in line '4,1'; expected the columns"),
    ("a.csv", "user,item\n", "a.csv: a header only"),
    ("a.csv", "user,item\n0,1\n0,1,2\n", "a.csv:3: expected 2 fields (comma between them), found 3"),
    ("a.csv", "user,item\n0,1\n0,-1\n0,2\n0,3\n0,4\n0,5\n0,6\n0,7\n0,8\n0,9\n",
     "a.csv:3: column item: expected a whole number, as other rows have"),
    ("a.csv", "user,item,timestamp\n1,2,9\n5,NaN,99\n", "a.csv:3: column item: expected an id (--data.ids=names takes"),
    ("a.csv", "user,item,timestamp\n1,2,9\n5,NaN,99\n", "found 'NaN', in line '5,NaN,99'"),
    ("a.csv", "user,item\n0,1\n,1\n", "a.csv:3: column user: expected an id, found nothing, in line ',1'"),
    ("a.csv", "user,item,timestamp\n0,1,7\n0,1,\n", "a.csv:3: column timestamp (time): expected a time, as other rows"),
    ("a.csv", "user,item,timestamp\n0,1,7\n0,1,x\n", "a.csv:3: column timestamp (time): expected a time: a number of"),
    ("a.csv", "user,item,timestamp\n0,1,1500000000\n0,1,1500000000000\n",
     "a.csv:3: column timestamp (time): expected times of one unit, which begin in seconds, found '1500000000000'"),
    ("a.csv", "user,item,timestamp\n0,1,2015-01-01\n0,1,1500000000\n", "a.csv:3: column timestamp (time): expected a"),
    ("a.csv", "user,item,test\n0,1,1\n0,1,2\n", "a.csv:3: column test (split): expected 0 or 1, or train, validation"),
    ("a.csv", "user,userId,item\n0,1,2\n", "a.csv:1: user and userId may each be the user; say which"),
    ("a.csv", "user,item,split,test\n0,1,train,0\n", "split and test may each be the split"),
    ("a.csv", "user,item,item\n0,1,2\n", "a.csv:1: two columns are named 'item', expected one"),
    ("a.csv", 'user,item\n0,1\n0,"2\n0,3\n', "a.csv:3: a quote opens and does not close"),
    ("a.csv", 'user,item,title\n0,1,5" pipe\n0,2,7" pipe\n', "a.csv:2: "),
    ("a.csv", 'user,item,title\n0,1,a"b"c\n', "a.csv:2: a quote within a field, expected quotes around whole fields"),
    ("a.csv", "user,item\n0,1\n0,\0\n", "a.csv:3: expected text, found a binary file"),
    ("a.json", "{}", "a.json:1: no column for the user and the item is known among ; expected the columns"),
    ("a.json", '{"user": 1, "item": 2}\n{"user": 1}\n', "a.json:2: expected a JSON object with a value for 'item'"),
    ("a.json", '{"user": 1, "item": 2}\n{"user": 1\n', "a.json:2: expected a JSON object with a value for 'user'"),
    ("a.json", "{'user': 1}\n", "a.json:1: expected JSON lines, one object a line"),
    ("a.txt", "1:\n5,3,2005-01-01\n5;3\n", "a.txt:3: expected MOVIE: or user,rating,date, in line '5;3'"),
    ("a.txt", "1:\n5,3,2005-01-01\n6,3,2005\n", "a.txt:3: column time: expected a time"),
    ("plain", "0 1", "plain:1: no header and no format that is known, in line '0 1'"),
  ],
)
def test_bad_lines_are_named(write, name, text, message):
  with pytest.raises(DataError, match=re.escape(message)) as caught:
    read(write(name, text))
  assert "\n" not in str(caught.value)


def test_binary_files_are_called_so_whatever_else_is_wrong_with_them(tmp_path):
  path = tmp_path / "a.csv"
  path.write_bytes(b"user,item\n\xff\xd8\0\1\n")
  with pytest.raises(DataError, match=r"a\.csv:2: expected text, found a binary file"):
    read(path)


def test_lines_are_counted_in_quoted_fields_and_in_later_blocks(write, monkeypatch):
  monkeypatch.setattr("fedrecjax.datasets.sources.CHUNK", 64)
  rows = "".join(f'{row},"first\nsecond {row}"\n' for row in range(100))
  with pytest.raises(DataError, match=r"a\.csv:202: expected 2 fields \(comma between them\), found 1"):
    read(write("a.csv", "user,item\n" + rows + "x\nlast\n"))
  found = read(write("a.csv", "user,item\n" + rows + "\n\n"))
  assert found.num_users == 100 and _pairs(found)[99] == (99, "first\nsecond 99")
  numbers = "".join(f"{row % 7},{row}\n" for row in range(500))
  with pytest.raises(DataError, match=r"b\.csv:502: column item: expected a whole number.* found 'x', in line '3,x'"):
    read(write("b.csv", "user,item\n" + numbers + "3,x\n" + numbers))


@pytest.mark.parametrize("at", range(0, 40, 3))
def test_a_blank_line_is_named_wherever_a_block_ends(write, monkeypatch, at):
  rows = [f"{row},{row}" for row in range(400)]
  monkeypatch.setattr("fedrecjax.datasets.sources.CHUNK", 30)
  path = write("a.csv", "\n".join(["user,item", *rows[: 200 + at], "", "", *rows[200 + at :]]) + "\n\n\n\n")
  with pytest.raises(DataError, match=rf"a\.csv:{202 + at}: expected 2 fields \(comma between them\), found 1"):
    read(path)
  assert len(read(write("b.csv", "\n".join(["user,item", *rows]) + "\n" * 100))) == 400


def test_names_are_numbered_alike_in_one_block_and_in_many(write, monkeypatch):
  rows = "".join(f"u{row * 7 % 50},{row * row % 31},{row}\n" for row in range(400))
  whole = read(write("a.csv", "user,item,time\n" + rows))
  monkeypatch.setattr("fedrecjax.datasets.sources.CHUNK", 100)
  cut = read(write("a.csv", "user,item,time\n" + rows))
  assert _columns(whole) == _columns(cut)
  assert whole.user_names.tolist() == cut.user_names.tolist() and whole.user_names[:2].tolist() == ["u0", "u7"]
  assert whole.item_names.tolist() == cut.item_names.tolist() == sorted({row * row % 31 for row in range(400)})


def test_blocks_of_numbers_before_one_of_words(write, monkeypatch):
  """Numbers of the first blocks are names, too, in the order of the file."""
  names = [str(number * 7919 % 1000) for number in range(300)] + [f"w{number}" for number in range(300)]
  path = write("a.csv", "user,item\n" + "".join(f"0,{name}\n" for name in names))
  monkeypatch.setattr("fedrecjax.datasets.sources.CHUNK", 64)
  found = read(path)
  assert found.item_names.tolist() == names and found.items.tolist() == list(range(600))


def test_ids_that_are_not_written_as_whole_numbers_are_names(write):
  found = read(write("a.csv", "user,item\n1,007\n2,7\n"))
  assert _pairs(found) == [(1, "007"), (2, "7")]
  wide = read(write("a.csv", f"user,item\n{2**63},{2**40}\n5,{2**40 + 1}\n"))
  assert _pairs(wide) == [(str(2**63), 2**40), ("5", 2**40 + 1)] and wide.users.tolist() == [1, 0]
  mixed = "user,item\n" + "".join(f"{user},1\n" for user in range(30)) + "NaN,1\n-1,1\n"
  with pytest.raises(DataError, match=r"a\.csv:32: .*--data\.ids=names"):
    read(write("a.csv", mixed))
  assert _pairs(read(write("a.csv", mixed), ids="names"))[-2:] == [("NaN", "1"), ("-1", "1")]


def test_long_lines_are_shortened_in_errors(write):
  with pytest.raises(DataError) as caught:
    read(write("u.data", "x" * 1000 + "\n"))
  assert len(str(caught.value)) < 300


def test_what_is_said_of_a_file(write):
  path = write("ratings.tsv", "1\t1\t5\t3\n")
  assert len(read(path, format="u.data", name="mine")) == 1
  assert read(path, format="u.data", name="mine").name == "mine"
  assert _pairs(read(path, columns={"user": 3, "item": 0})) == [(3, 1)]
  odd = write("odd.csv", "who|what|when\n1|2|3\n")
  assert _pairs(read(odd, columns="user=who+item=what")) == [(1, 2)]
  assert read(odd, columns="user=who+item=what+time=when").time.tolist() == [3]
  plus = write("plus.csv", "a+b,c=d\n1,2\n")
  assert _pairs(read(plus, columns="user=a+b+item=c=d")) == [(1, 2)]
  timed = write("timed.csv", "user,item,timestamp\n0,1,x\n")
  assert read(timed, columns="time=none").time is None
  spaces = write("triples.txt", "1 2 5\n1 3 4\n")
  assert _pairs(read(spaces, separator="space", columns="user=0+item=1")) == [(1, 2), (1, 3)]
  quotes = write("quotes.csv", 'user,item\n0,5" pipe\n')
  assert _pairs(read(quotes, quotes="none")) == [(0, '5" pipe')]
  assert len(FORMATS) > 10


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({"format": "tsv"}, "data.format: 'tsv' is unknown, expected one of csv inter u.data"),
    ({"quotes": "single"}, "data.quotes: 'single' is unknown, expected one of auto none"),
    ({"ids": "numbers"}, "data.ids: 'numbers' is unknown, expected one of auto names"),
    ({"keep_if": "behavior"}, "data.keep_if must be COLUMN=VALUE, got 'behavior'"),
    ({"keep_if": "behavior=play"}, "a.csv:1: data.keep_if: column 'behavior' is not there; the columns are user, item"),
    ({"keep_if": "item=9"}, "a.csv: data.keep_if=item=9 leaves none of 2 rows"),
    ({"min_rating": 3.0}, "a.csv: data.min_rating needs a column of ratings, found none that is known among user"),
    ({"columns": "who=user"}, "data.columns must be ROLE=COLUMN joined with +, of the roles user, item, time"),
    ({"columns": "user"}, "data.columns must be ROLE=COLUMN joined with +"),
    ({"columns": "user=user+user=item"}, "data.columns names a column for user twice"),
    ({"columns": "user=who"}, "a.csv:1: column 'who' for user is not there; the columns are user, item"),
    ({"columns": "user=0+item=1"}, "a.csv:1: the first line looks like a header, user, item; name columns by it"),
    ({"unpack_ratio": 0}, "data.unpack_ratio must be positive, got 0"),
    ({"separator": "¦"}, "data.separator must be of ASCII characters"),
    ({"format": "lists", "columns": "user=item"}, "a.csv: data.columns=user=...: the format lists has no columns"),
    ({"format": "netflix", "separator": "tab"}, "a.csv: data.separator=tab: the format netflix has no columns"),
    ({"separator": "tab"}, "a.csv:1: no column for the user and the item is known among user,item"),
    ({"format": "u.data"}, "a.csv:1: expected 4 fields (tab between them) of the format u.data, found 1"),
  ],
)
def test_bad_options(write, options, message):
  with pytest.raises(DataError, match=re.escape(message)) as caught:
    read(write("a.csv", "user,item\n0,1\n0,2\n"), **options)
  assert "\n" not in str(caught.value)


def test_times_may_be_left_out_of_any_form(write):
  for name, text in (("u.data", "1\t2\t3\tx\n"), ("a.txt", "1:\n5,3,x\n"), ("a.csv", "user,item,time\n1,2,x\n")):
    assert read(write(name, text), columns="time=none").time is None
  four = write("u.data", "1\t2\t3\t4\n")
  assert read(four, format="u.data", columns="item=2").item_names.tolist() == [3]
  with pytest.raises(DataError, match=r"u.data:1: no header in which to find column 'movie'"):
    read(four, format="u.data", columns="item=movie")


def test_places_beyond_a_line(write):
  with pytest.raises(DataError, match=r"a.csv:1: no column 2 for item, expected 0 to 1"):
    read(write("a.csv", "0,1\n"), columns="user=0+item=2")
  with pytest.raises(DataError, match=r"data.columns names no column for the item"):
    read(write("a.csv", "0,1\n"), columns="user=0")


def _parquet(tmp_path, **columns):
  path = tmp_path / "toy.parquet"
  pl.DataFrame(columns).write_parquet(path)
  return path


def test_parquet(tmp_path):
  path = _parquet(tmp_path, user=[0, 2], item=["b", "a"], timestamp=[5, 6], test=[False, True])
  assert _columns(read(path)) == ([0, 1], [0, 1], [5, 6], [False, True])
  assert _pairs(read(path)) == [(0, "b"), (2, "a")]
  packed = tmp_path / "toy.parquet.gz"
  packed.write_bytes(gzip.compress(path.read_bytes()))
  assert _columns(read(packed)) == _columns(read(path))
  wide = pl.Series([2**63 + 1, 3], dtype=pl.UInt64)
  assert _pairs(read(_parquet(tmp_path, userId=wide, movieId=[1, 1]))) == [(str(2**63 + 1), 1), ("3", 1)]


def test_parquet_times(tmp_path):
  days = [datetime.datetime(2020, 1, 2), datetime.datetime(2020, 1, 1)]
  dated = read(_parquet(tmp_path, user=[0, 0], item=[0, 1], timestamp=days))
  assert dated.time[0] > dated.time[1]
  assert dated.reading.time_span == ("2020-01-01 00:00:00", "2020-01-02 00:00:00")
  assert read(_parquet(tmp_path, user=[0], item=[0], timestamp=[2.0])).time.tolist() == [2]
  unknown = pl.Series([None, None], dtype=pl.Int64)
  assert read(_parquet(tmp_path, user=[0, 0], item=[0, 1], timestamp=unknown)).time is None


@pytest.mark.parametrize(
  ("columns", "message"),
  [
    ({"user": [0], "thing": [1]}, "no column for the item is known among user, thing"),
    ({"user": [0, -1] + [1] * 10, "item": [1] * 12}, "row 1: column user: expected a whole number, .* found '-1'"),
    ({"user": [0, None], "item": [1, 1]}, "row 1: column user: expected an id, found nothing"),
    ({"user": [0.5], "item": [1]}, "column user has type Float64, expected integers or strings"),
    ({"user": [0], "item": [1], "test": [2]}, r"row 0: column test \(split\): expected 0 or 1"),
    ({"user": [0], "item": [1], "test": ["a"]}, r"row 0: column test \(split\): expected 0 or 1"),
    ({"user": [0, 1], "item": [1, 1], "timestamp": [1, None]}, r"row 1: column timestamp \(time\): expected a time"),
    ({"user": [0], "item": [1], "timestamp": ["noon"]}, r"row 0: column timestamp \(time\): expected a time"),
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


def test_one_user_and_one_item(write):
  path = write("a.csv", "user,item\n7,9\n")
  with pytest.raises(DataError, match="1 of 1 users have too few rows for split 'last_by_order', first user 7 with 1"):
    load(path)
  dataset = load(path, too_few="train_only")
  assert (dataset.num_users, dataset.num_items, dataset.item_number(9)) == (1, 1, 0)


def test_a_million_rows_take_seconds_at_most(write):
  buffer = io.StringIO()
  buffer.writelines(f"{row // 160 + 1}::{row % 3706 + 1}::5::97830{row % 10}\n" for row in range(1_000_000))
  path = write("ratings.dat", buffer.getvalue())
  start = time.perf_counter()
  assert len(read(path)) == 1_000_000
  # About one second on a free core; the bound leaves room for a busy machine.
  assert time.perf_counter() - start < 10
