"""Public interactions: a column of the data set's own file, a file of their own, and what is refused."""

import itertools
import re

import numpy as np
import polars as pl
import pytest

from fedrecjax.datasets import (
  DataError,
  Dataset,
  Interactions,
  ItemLists,
  Reading,
  load,
  read,
  read_public,
  split,
)

TEN_ITEMS = Dataset("toy", 4, 10, ItemLists.from_lists([[1, 2], [3], [4], [5]]), ItemLists.from_lists([[]] * 4))
CSV = "user,item,timestamp,public\n0,5,9,0\n1,5,4,1\n0,6,1,1\n1,7,2,0\n0,7,8,1\n1,5,6,1\n0,6,3,0\n"


def lists_of(lists):
  return [lists.of(user).tolist() for user in range(len(lists))]


def names_of(dataset, lists):
  return [[dataset.item_name(item) for item in one] for one in lists_of(lists)]


def test_a_column_says_what_is_public(write, tmp_path):
  expected = [False, True, True, False, True, True, False]
  rows = read(write("toy.csv", CSV))
  assert rows.public.tolist() == expected
  pl.read_csv(tmp_path / "toy.csv").write_parquet(tmp_path / "toy.parquet")
  assert read(tmp_path / "toy.parquet").public.tolist() == expected
  assert read(write("plain.csv", "user,item\n0,1\n")).public is None


@pytest.mark.parametrize(
  ("options", "expected"),
  [
    # In order of time; the repeat of item 5 is public twice, and user 1's is held out.
    ({}, [[6, 7], [5, 5]]),
    ({"method": "last_by_order"}, [[6, 7], [5, 5]]),
    ({"method": "ratio"}, [[6, 7], [5, 5]]),
    ({"repeats": "drop"}, [[6, 7], [5]]),
  ],
)
def test_public_rows_are_public_whatever_part_they_are_in(write, options, expected):
  dataset = split(read(write("toy.csv", CSV)), **options)
  assert names_of(dataset, dataset.public) == expected


def test_a_pair_is_public_if_one_of_its_rows_is(write):
  rows = read(write("toy.csv", "user,item,public\n0,1,0\n0,2,0\n0,1,1\n0,3,1\n"))
  dropped = split(rows, repeats="drop")
  assert names_of(dropped, dropped.train) == [[1, 2]] and names_of(dropped, dropped.public) == [[1, 3]]


def test_users_who_are_dropped_take_their_public_items_along(write):
  text = "user,item,public\n0,1,1\n1,2,1\n1,3,0\n2,4,0\n2,5,1\n2,6,1\n"
  dataset = load(write("toy.csv", text), too_few="drop")
  assert dataset.num_users == 2 and names_of(dataset, dataset.public) == [[2], [5, 6]]


def test_without_a_column_nothing_is_said():
  rows = Interactions("toy", np.array([0, 0]), np.array([0, 1]), None, 1, 2, None)
  assert split(rows).public is None


@pytest.mark.parametrize(("name", "text", "expected"), [
  ("public.txt", "2 7 1\n0 9 9 3\n1\n", [[9, 9, 3], [], [7, 1], []]),
  ("train.part-1%.txt.gz", "3 0\n", [[], [], [], [0]]),
  ("public.csv", 'item,"user",public\n4,2,1\n5,2,0\n"3",0,1\n', [[3], [], [4], []]),
  ("public.csv.gz", "user,item\n3,9\n3,1\n", [[], [], [], [9, 1]]),
  ("public.data", "3\t9\t5\t100\n0\t0\t3\t7\n", [[0], [], [], [9]]),
  ("ratings.dat", "3::9::5::100\n0::0::3::7\n", [[0], [], [], [9]]),
  ("public.inter", "user_id:token\titem_id:token\ttimestamp:float\n3\t9\tlate\n", [[], [], [], [9]]),
  ("public.jsonl", '{"user_id": 2, "item_id": 5, "text": "a, b"}\n', [[], [], [5], []]),
])  # fmt: skip
def test_files_of_their_own(write, name, text, expected):
  assert lists_of(read_public(write(name, text), TEN_ITEMS)) == expected


@pytest.mark.parametrize(("name", "text"), [
  ("likes.csv", "userId;movieId;public;when\nbob;B00;1;x\nann;007;0;x\nann;7;1;x\nbob;007;1;x\n"),
  ("likes.inter", "user_id:token\titem_id:token\nbob\tB00\nann\t7\nbob\t007\n"),
])  # fmt: skip
def test_users_and_items_are_called_as_in_the_data(write, name, text):
  dataset = load(write("toy.csv", "user,item\nann,7\nann,007\nbob,7\nbob,B00\neve,B00\neve,9\n"))
  public = read_public(write(name, text), dataset)
  lists = [public.of(dataset.user_number(user)) for user in ("ann", "bob", "eve")]
  called = [[dataset.item_name(item) for item in one] for one in lists]
  assert called == [["7"], ["B00", "007"], []]


def test_names_stay_where_users_are_left_out(write):
  dataset = load(write("toy.csv", "user,item\n10,1\n20,1\n20,2\n30,1\n30,3\n"), too_few="drop")
  assert lists_of(read_public(write("public.txt", "30 3 1\n20 2\n"), dataset)) == [[1], [2, 0]]
  with pytest.raises(DataError, match=r"public\.txt:2: .*, such as 20, 30, after others were left out, found '10'"):
    read_public(write("public.txt", "30 3\n10 1\n"), dataset)
  with pytest.raises(DataError, match=r"public\.txt:2: .* 2 users of toy\.csv, .* found '10'"):
    read_public(write("public.txt", "30 3 1\n10\n"), dataset)


def test_a_set_that_is_called_by_number_has_other_ids_in_its_publishers_file(write):
  lists = ItemLists.from_lists([[1, 2], [3]])
  numberings = ("from_zero", "from_one", "first_appearance")
  files = (("u.data", "1\t2\t5\t9\n"), ("r.dat", "1::2::5::9\n"))
  for numbering, (name, text) in itertools.product(numberings, files):
    dataset = Dataset("ml", 2, 10, lists, lists, reading=Reading(numbering=numbering))
    with pytest.raises(DataError, match="have ids of their own, and the set ml calls users and items by number"):
      read_public(write(name, text), dataset)
    assert lists_of(read_public(write("a.csv", "user,item\n1,2\n"), dataset)) == [[], [2]]


def test_filters_leave_what_is_public_where_it_is(write):
  text = "user,item,rating,public\n0,5,1,1\n0,6,4,1\n0,7,5,0\n0,8,5,1\n1,6,2,0\n1,7,5,1\n1,8,3,0\n"
  rows = read(write("toy.csv", text), min_rating=3)
  assert rows.public.tolist() == [True, False, True, True, False]
  dataset = load(write("toy.csv", text), min_rating=3, item_core=2)
  assert names_of(dataset, dataset.public) == [[8], [7]]


def test_parts_of_a_split_say_what_is_public_or_none_does(write):
  write("train.csv", "user,item,public\n0,1,1\n1,2,0\n")
  path = write("test.csv", "user,item,public\n0,2,1\n1,1,1\n")
  assert lists_of(load(path).public) == [[0, 1], [0]]
  path = write("test.csv", "user,item\n0,2\n1,1\n")
  with pytest.raises(DataError, match=r"test\.csv: no column of what is public, which .*train\.csv has; --data"):
    load(path)
  assert load(path, columns="public=none").public is None


def test_a_table_of_their_own(tmp_path):
  rows = pl.DataFrame({"user": [1, 3, 1], "item": [2, 0, 9], "public": [True, True, False]})
  rows.write_parquet(tmp_path / "a.parquet")
  assert lists_of(read_public(tmp_path / "a.parquet", TEN_ITEMS)) == [[], [2], [], [0]]


def test_the_test_file_beside_a_file_of_lists_is_not_public(write):
  write("test.txt", "0 8\n")
  assert lists_of(read_public(write("train.txt", "0 1\n"), TEN_ITEMS)) == [[1], [], [], []]


def test_a_few_pairs_of_a_large_set_will_do(write):
  lists = ItemLists.from_pairs([0], [0], num_users=5000)
  large = Dataset("large", 5000, 9000, lists, lists)
  assert read_public(write("public.csv", "user,item\n4999,8999\n"), large).of(4999).tolist() == [8999]


@pytest.mark.parametrize(("name", "text", "message"), [
  ("public.csv", "user,item\n0,1\n4,1\n", "public.csv:3: column user: expected one of the 4 users of toy, such as 0, "
   "1, 2, found '4', in line '4,1'"),
  ("public.csv", "user,item\n0,1\n1,10\n", "public.csv:3: column item: expected one of the 10 items of toy, such as 0"),
  ("public.csv", "user,item\n0,1\n01,1\n", "public.csv:3: column user: expected one of the 4 users of toy"),
  ("public.csv", "user,item\n0,1\n1,\n", "public.csv:3: column item: expected an id, found nothing"),
  ("public.csv", "user,item,public\n0,1,yes\n", "public.csv:2: column public: expected 0 or 1"),
  ("public.csv", "who,what\n0,1\n", "public.csv:1: no column for the user and the item is known among who, what"),
  ("public.csv", "who,what\n0,1\n", "; of public interactions, which flags of data do not concern"),
  ("public.csv", "user,item\n", "public.csv: a header only"),
  ("public.txt", "3 1\n0 2\n1 3 11 4\n", "public.txt:3: column item: expected one of the 10 items of toy"),
  ("public.txt", "7 1\n", "public.txt:1: column user: expected one of the 4 users of toy"),
  ("public.data", "1\t1\t5\t9\n5\t1\t5\t9\n", "public.data:2: column 0 (user): expected one of the 4 users of toy"),
  ("public.inter", "user_id:token\titem_id:token\n1\tx\n", "public.inter:2: column item_id:token (item): expected one"),
])  # fmt: skip
def test_what_is_not_of_the_data_set_is_named(write, name, text, message):
  with pytest.raises(DataError, match=re.escape(message)) as caught:
    read_public(write(name, text), TEN_ITEMS)
  assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("columns", "message"), [
  ({"user": [0, 4], "item": [1, 1]}, "row 1: column user: expected one of the 4 users of toy, such as 0, 1, 2, found"),
  ({"user": [0, None], "item": [1, 1]}, "row 1: column user: expected an id, found nothing"),
  ({"user": [0.5], "item": [1]}, "column user has type Float64, expected integers"),
  ({"user": [0], "what": [1]}, "no column for the item is known among user, what"),
])  # fmt: skip
def test_tables_that_are_not_of_the_data_set(tmp_path, columns, message):
  pl.DataFrame(columns).write_parquet(tmp_path / "a.parquet")
  with pytest.raises(DataError, match=re.escape(message)):
    read_public(tmp_path / "a.parquet", TEN_ITEMS)


def test_no_such_file(tmp_path):
  with pytest.raises(DataError, match=r"nowhere\.csv: no such file"):
    read_public(tmp_path / "nowhere.csv", TEN_ITEMS)


@pytest.mark.parametrize(("public", "message"), [
  (ItemLists.from_lists([[1], [2]]), "toy: 2 public lists, expected one for each of 4 users"),
  (ItemLists.from_lists([[1], [], [], [10]]), r"toy: public item 10 of user 3 is outside \[0, 10\)"),
])  # fmt: skip
def test_public_lists_fit_the_data_set(public, message):
  with pytest.raises(DataError, match=message):
    Dataset("toy", 4, 10, TEN_ITEMS.train, TEN_ITEMS.test, public=public)


def test_marks_are_as_many_as_rows():
  with pytest.raises(DataError, match=r"public has shape \(1,\), expected \(2,\) as users"):
    Interactions("toy", np.array([0, 0]), np.array([0, 1]), None, 1, 2, None, public=np.array([True]))
