"""The record of a reading: what was understood, what was left out, and what is likely not meant."""

import dataclasses

import numpy as np
import polars as pl
import pytest

import fedrecjax as frj
from fedrecjax.datasets import FileReading, Interactions, LeftOut, Reading, load, read, split


def test_a_reading_says_what_was_understood(write):
  path = write("ratings.csv", "userId;movieId;rating;timestamp\n1;90;5;978300760\n1;180;4;978300761\n2;90;3;978300762\n"
               "2;270;3;978300763\n2;90;3;978300764\n")
  reading = load(path, min_rating=3, user_core=2).reading
  columns = (("user", "userId"), ("item", "movieId"), ("time", "timestamp"), ("rating", "rating"))
  assert reading == Reading(
    files=(FileReading(str(path), "all", "csv", "utf-8", "semicolon", columns, 5),),
    rows=5, repeats=1, num_users=2, num_items=3, users=("1", "2"), items=("90", "180", "270"),
    time_span=("2000-12-31 22:12:40", "2000-12-31 22:12:44"), split="last_by_time",
    split_reason="the source has no split of its own; by time", held_out=2, unrankable=1,
    warnings=("ratings.csv: 1 of 2 held-out items are training items of the same user too, which rankings leave out, so"
              " that they can never be found; data.repeats=drop keeps one row of each pair",),
  )
  assert load(path, repeats="drop").reading.left_out == (LeftOut("repeats", 1, 0),)
  with pytest.raises(dataclasses.FrozenInstanceError):
    reading.rows = 3


@pytest.mark.parametrize(("name", "text", "options", "unused"), [
  ("a.csv", "userId,movieId,title,year\n1,2,x,1999\n", {}, ("title", "year")),
  ("a.csv", "user,item,kind,rating\n1,2,play,3\n", {"keep_if": "kind=play", "columns": "rating=none"}, ("rating",)),
  ("a.csv", "1,2,play,3.5,0\n", {"columns": "user=0+item=1", "keep_if": "2=play"}, ("3", "4")),
  ("behaviors.tsv", "1\tU1\t11/11/2019 9:05:58 AM\tN1 N2\tN3-1 N4-0\n", {}, ("0 (impression id)", "3 (history)")),
  ("a.jsonl", '{"user_id": "a", "business_id": "b", "text": "c"}\n', {}, ("text",)),
  ("a.inter", "user_id:token\titem_id:token\tlabel:float\n1\t2\t1\n", {}, ("label:float",)),
  ("u.data", "1\t2\t3\t4\n", {}, ()),
  ("train.txt", "0 1 2\n", {}, ()),
])  # fmt: skip
def test_columns_that_are_not_read_are_named(write, name, text, options, unused):
  (file,) = read(write(name, text), **options).reading.files
  assert file.unused == unused


def test_columns_of_a_table_that_are_not_read(tmp_path):
  pl.DataFrame({"user": [1], "item": [2], "title": ["x"]}).write_parquet(tmp_path / "a.parquet")
  assert read(tmp_path / "a.parquet").reading.files[0].unused == ("title",)


def test_numbers_that_order_rows_have_a_span():
  rows = Interactions("toy", np.zeros(2), np.array([0, 1]), np.array([40, 7]), 1, 2, None)
  assert split(rows).reading.time_span == ("7", "40")


def test_held_out_items_are_a_set(write):
  path = write("a.csv", "user,item,test\n0,1,0\n0,5,1\n0,5,1\n1,2,0\n1,5,1\n1,5,1\n")
  dataset = load(path)
  assert dataset.test.lengths.tolist() == [1, 1] and dataset.reading.held_out_repeats == 2
  result = frj.simulate(dataset, model=frj.mf(dim=2), train=frj.TrainConfig(epochs=1),
                        evaluation=frj.EvalConfig(ks=(2,)))
  assert all(0 <= result.metrics[name][-1] <= 1 for name in ("hr@2", "ndcg@2"))


def test_repeats_that_cannot_be_ranked_are_said_with_a_run(write):
  """Steam's form: a row of the purchase and a row of the play."""
  rows = "".join(f"{user},{user + item}\n" * 2 for user in range(4) for item in range(3))
  path = write("steam.csv", "user,item\n" + rows)
  dataset = load(path)
  assert dataset.reading.unrankable == dataset.reading.held_out == 4
  line = "steam.csv: 4 of 4 held-out items are training items of the same user too"
  for data, said in ((dataset, True), (load(path, repeats="drop"), False)):
    result = frj.simulate(data, model=frj.mf(dim=2), train=frj.TrainConfig(epochs=1),
                          evaluation=frj.EvalConfig(ks=(2,)))
    assert any(one.startswith(line) for one in result.warnings) == said
    assert any("data.repeats=drop" in one for one in result.warnings) == said
