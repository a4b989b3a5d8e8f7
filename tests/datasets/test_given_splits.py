"""A split that the source made is used as given, whichever of its files is named, and never passed over in silence."""

import pytest

from fedrecjax.datasets import DataError, data_digest, load, read, read_named
from fedrecjax.datasets.given_splits import parts_of

HEADER = "user_id:token\titem_id:token\n"


def lists(dataset):
  """The names of items that each user, by name, has in each part."""
  parts = {"train": dataset.train, "test": dataset.test, "validation": dataset.validation}
  return {
    part: {
      dataset.user_name(user): [dataset.item_name(item) for item in of.of(user)] for user in range(dataset.num_users)
    }
    for part, of in parts.items() if of is not None
  }


@pytest.fixture
def recbole(write):
  write("m.train.inter", HEADER + "1\ta\n2\tb\n")
  write("m.valid.inter", HEADER + "1\tb\n")
  return write("m.test.inter", HEADER + "1\tc\n2\tonly\n3\ta\n").parent


EXPECTED = {
  "train": {1: ["a"], 2: ["b"], 3: []},
  "test": {1: ["c"], 2: ["only"], 3: ["a"]},
  "validation": {1: ["b"], 2: [], 3: []},
}


@pytest.mark.parametrize("named", ["m.train.inter", "m.valid.inter", "m.test.inter", ""])
def test_files_of_a_split_are_found_by_any_of_them_or_their_folder(recbole, named):
  dataset = load(recbole / named if named else recbole, too_few="train_only")
  assert lists(dataset) == EXPECTED
  assert dataset.reading.split == "given" and "a split of its own" in dataset.reading.split_reason
  assert [(file.part, file.rows) for file in dataset.reading.files] == [("train", 2), ("validation", 1), ("test", 3)]
  assert data_digest(recbole / named if named else recbole) == data_digest(recbole / "m.train.inter")


def test_two_and_three_paths(recbole, write):
  train, valid, test = (recbole / f"m.{part}.inter" for part in ("train", "valid", "test"))
  assert lists(load(f"{train}:{valid}:{test}", too_few="train_only")) == EXPECTED
  two = load(f"{train}:{test}", too_few="train_only")
  assert two.validation is None and lists(two)["test"] == EXPECTED["test"]
  assert data_digest(f"{train}:{test}") not in (None, data_digest(train))
  with pytest.raises(DataError, match=r"nowhere.csv: no such file"):
    load(f"{train}:nowhere.csv")
  odd = write("a:b.csv", "user,item\n0,1\n0,2\n")
  assert len(load(odd).train.items) == 1


@pytest.mark.parametrize(("train", "others"), [
  ("train.csv", {"test.csv": "test"}),
  ("train.csv", {"test.csv": "test", "dev.csv": "validation"}),
  ("x_train.csv", {"x_test.csv.gz": "test", "x_val.csv": "validation"}),
  ("train-1.csv", {"test-1.csv": "test"}),
])
def test_csv_files_beside_each_other(write, train, others):
  path = write(train, "user,item\n0,1\n1,2\n")
  for number, name in enumerate(others):
    write(name, f"user,item\n0,{number + 5}\n")
  found = parts_of(path)
  assert {part.path.name for part in found} == {train, *others}
  dataset = load(path)
  assert lists(dataset)["test"][0] == [5] and ("validation" in lists(dataset)) == ("validation" in others.values())


def test_what_is_no_split(write):
  alone = write("train.csv", "user,item\n0,1\n0,2\n")
  assert read(alone).test is None
  assert [part.mark for part in parts_of(write("latest.csv", "user,item\n0,1\n"))] == [None]
  write("valid.csv", "user,item\n0,1\n")
  with pytest.raises(DataError, match=r"train.csv: valid.csv stands beside it, and no test file"):
    read(alone)
  write("dev.csv", "user,item\n0,1\n")
  with pytest.raises(DataError, match=r"valid.csv and dev.csv may each be the validation file of one split"):
    read(alone)


def test_a_column_of_parts(write):
  path = write("a.csv", "user,item,split\n0,1,train\n0,2,valid\n0,3,test\n1,1,train\n1,2,test\n")
  dataset = load(path)
  assert lists(dataset) == {"train": {0: [1], 1: [1]}, "test": {0: [3], 1: [2]}, "validation": {0: [2], 1: []}}
  write("train.csv", "user,item,test\n0,1,0\n")
  with pytest.raises(DataError, match=r"train.csv: has a column test \(split\), and is one part of a split in several"):
    read(write("test.csv", "user,item,test\n0,2,1\n").with_name("train.csv"), columns="split=test")


def test_parts_must_be_alike(write):
  write("test.csv", "user,item\n0,2\n")
  path = write("train.csv", "user,item,timestamp\n0,1,5\n")
  with pytest.raises(DataError, match=r"test.csv: no column of times, which .*train.csv has; --data.columns=time=none"):
    read(path)
  assert read(path, columns="time=none").test.tolist() == [False, True]


def test_another_split_says_that_it_sets_the_given_one_aside(recbole):
  dataset = load(recbole, split="last", too_few="train_only")
  assert dataset.reading.split == "last_by_order" and "set aside" in dataset.reading.split_reason
  assert dataset.reading.warnings == (
    f"{recbole.name}: split last sets the source's own split aside; data.split=given uses it",
  )


def test_a_split_by_time_without_time_says_what_else_there_is(recbole):
  message = r"a time on every row, but none is known; what else there is: given \(the source's own\), last_by_order"
  with pytest.raises(DataError, match=message):
    load(recbole, split="last_by_time")


def test_the_last_two_without_time_warns(write):
  dataset = load(write("a.csv", "user,item\n" + "".join(f"0,{item}\n" for item in range(4))), split="last_two")
  assert dataset.reading.warnings == (
    "a.csv: split last_two holds out the last rows in the file, since no time is known",
  )


def test_folders(tmp_path, write):
  write("ratings.csv", "userId,movieId,rating,timestamp\n1,2,3,4\n")
  assert len(read_named(tmp_path)) == 1
  (tmp_path / "ratings.csv").unlink()
  write("a.inter", HEADER + "1\t2\n")
  assert read_named(tmp_path).name == tmp_path.name
  write("b.inter", HEADER + "1\t2\n")
  with pytest.raises(DataError, match=r"a.inter and b.inter are data sets, expected one; name the file"):
    read_named(tmp_path)
