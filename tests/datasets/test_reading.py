"""The record of a reading: what was understood, what was left out, and what is likely not meant."""

import dataclasses

import pytest

import fedrecjax as frj
from fedrecjax.datasets import FileReading, Reading, load


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
  assert load(path, repeats="drop").reading.left_out == (("repeats", 1),)
  with pytest.raises(dataclasses.FrozenInstanceError):
    reading.rows = 3


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
