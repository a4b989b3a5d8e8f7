"""Public interactions: a column of the data set's own file, a file of their own, and what is refused."""

import re

import numpy as np
import polars as pl
import pytest

from fedrecjax.datasets import DataError, Dataset, Interactions, ItemLists, load, read, read_public, split

TEN_ITEMS = Dataset("toy", 4, 10, ItemLists.from_lists([[1, 2], [3], [4], [5]]), ItemLists.from_lists([[]] * 4))
CSV = "user,item,timestamp,public\n0,5,9,0\n1,5,4,1\n0,6,1,1\n1,7,2,0\n0,7,8,1\n1,5,6,1\n0,6,3,0\n"


def lists_of(lists):
  return [lists.of(user).tolist() for user in range(len(lists))]


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
  assert lists_of(split(read(write("toy.csv", CSV)), **options).public) == expected


def test_a_pair_is_public_if_one_of_its_rows_is(write):
  rows = read(write("toy.csv", "user,item,public\n0,1,0\n0,2,0\n0,1,1\n0,3,1\n"))
  dropped = split(rows, repeats="drop")
  assert lists_of(dropped.train) == [[1, 2]] and lists_of(dropped.public) == [[1, 3]]


def test_users_who_are_dropped_take_their_public_items_along(write):
  text = "user,item,public\n0,1,1\n1,2,1\n1,3,0\n2,4,0\n2,5,1\n2,6,1\n"
  dataset = load(write("toy.csv", text), too_few="drop")
  assert dataset.num_users == 2 and lists_of(dataset.public) == [[2], [5, 6]]


def test_without_a_column_nothing_is_said():
  rows = Interactions("toy", np.array([0, 0]), np.array([0, 1]), None, 1, 2, None)
  assert split(rows).public is None


@pytest.mark.parametrize(("name", "text", "expected"), [
  ("public.txt", "2 7 1\n0 9 9 3\n1\n", [[9, 9, 3], [], [7, 1], []]),
  ("train.part-1%.txt.gz", "3 0\n", [[], [], [], [0]]),
  ("public.csv", 'item,"user",public\n4,2,1\n5,2,0\n"3",0,1\n', [[3], [], [4], []]),
  ("public.csv.gz", "user,item\n3,9\n3,1\n", [[], [], [], [9, 1]]),
  ("public.data", "4\t10\t5\t100\n1\t1\t3\t7\n", [[0], [], [], [9]]),
])  # fmt: skip
def test_files_of_their_own(write, name, text, expected):
  assert lists_of(read_public(write(name, text), TEN_ITEMS)) == expected


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
  ("public.csv", "user,item\n0,1\n4,1\n", "public.csv:3: user 4 is not in toy, expected 0 to 3"),
  ("public.csv", "user,item\n0,1\n1,10\n", "public.csv:3: item 10 is not in toy, expected 0 to 9"),
  ("public.csv", "user,item\n0,1\nann,1\n", "public.csv:3: expected user 'ann' to be an integer of at least 0"),
  ("public.csv", "user,item\n0,1\n1,\n", "public.csv:3: expected item '' to be an integer of at least 0"),
  ("public.csv", "user,item,public\n0,1,yes\n", "public.csv:2: expected public 'yes' to be 0 or 1"),
  ("public.csv", "who,what\n0,1\n", "public.csv:1: expected the columns user,item[,public]"),
  ("public.csv", "user,item\n", "public.csv: a header only"),
  ("public.txt", "3 1\n0 2\n1 3 11 4\n", "public.txt:3: item 11 is not in toy, expected 0 to 9"),
  ("public.txt", "7 1\n", "public.txt:1: user 7 is not in toy, expected 0 to 3"),
  ("public.txt", "0 x\n", "public.txt:1: expected 'user item item ...'"),
  ("public.data", "1\t1\t5\t9\n5\t1\t5\t9\n", "public.data:2: user 4 is not in toy, expected 0 to 3"),
  ("public.dat", "1::1::5::9\n", "public.dat: ratings.dat files number users and items anew"),
  ("public.inter", "user_id:token\titem_id:token\n1\t1\n", "public.inter: inter files number users and items anew"),
  ("public.xls", "", "public.xls: format unknown"),
])  # fmt: skip
def test_what_is_not_of_the_data_set_is_named(write, name, text, message):
  with pytest.raises(DataError, match=re.escape(message)) as caught:
    read_public(write(name, text), TEN_ITEMS)
  assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("columns", "message"), [
  ({"user": [0, 4], "item": [1, 1]}, "row 1: user 4 is not in toy"),
  ({"user": [0, None], "item": [1, 1]}, "row 1: column user is None, expected 0 to"),
  ({"user": [0.5], "item": [1]}, "column user has type Float64, expected integers"),
  ({"user": [0], "what": [1]}, "expected the columns user,item[,public], found user,what"),
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
    Interactions("toy", np.array([0, 0]), np.array([0, 1]), None, 1, 2, None, np.array([True]))
