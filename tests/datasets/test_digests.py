"""Digests of data: of which files, and whether a change is seen."""

import hashlib
import os

import pytest

from fedrecjax.datasets import DataError, data_digest, read_named
from fedrecjax.datasets.named import data_files


def sha(text):
  return hashlib.sha256(text.encode()).hexdigest()


def write(folder, **texts):
  folder.mkdir(parents=True, exist_ok=True)
  for name, text in texts.items():
    (folder / name.replace("__", ".")).write_text(text)


def test_of_one_file_it_is_what_sha256sum_prints(tmp_path):
  write(tmp_path, tiny__csv="user,item\n0,1\n")
  assert data_digest(tmp_path / "tiny.csv") == sha("user,item\n0,1\n")


def test_files_beside_belong_to_it_where_they_are_read(tmp_path):
  write(tmp_path / "gowalla", train__txt="0 1\n", test__txt="0 2\n")
  test, train = sha("0 2\n"), sha("0 1\n")
  both = sha(f"{test}  test.txt\n{train}  train.txt\n")
  assert data_digest("gowalla", data_dir=tmp_path) == data_digest(tmp_path / "gowalla") == both
  assert data_digest(tmp_path / "gowalla" / "train.txt") == both
  converted = tmp_path / "own"
  write(converted, interactions__csv="user,item\n0,1\n", time_rank__csv="1\n", split__csv="0\n")
  names = [file.name for file in data_files(converted)]
  assert names == ["interactions.csv", "time_rank.csv", "split.csv"]
  assert [file.name for file in data_files(converted / "interactions.csv")] == ["interactions.csv"]
  write(tmp_path / "plain", train__csv="user,item\n0,1\n", test__csv="user,item\n0,1\n")
  assert [file.name for file in data_files(tmp_path / "plain" / "train.csv")] == ["train.csv", "test.csv"]


def test_a_change_is_seen_and_nothing_else(tmp_path):
  file = tmp_path / "tiny.csv"
  file.write_text("user,item\n0,1\n")
  before = data_digest(file)
  os.utime(file, (1, 1))
  assert data_digest(file) == before
  file.write_text("user,item\n0,2\n")
  assert data_digest(file) != before


def test_without_files_there_is_none(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  write(tmp_path / "synthetic", train__txt="0 1\n")
  assert data_digest("synthetic") is None
  assert data_digest("ml-100k", data_dir=tmp_path) is None
  assert data_digest(tmp_path / "nowhere.csv") is None


def test_a_file_that_cannot_be_read_is_named(tmp_path, monkeypatch):
  file = tmp_path / "tiny.csv"
  file.write_text("user,item\n0,3\n")

  def refused(*arguments):
    raise PermissionError(13, "Permission denied")

  monkeypatch.setattr("fedrecjax.datasets.digests.digest_of", refused)
  with pytest.raises(DataError, match=r"tiny\.csv: cannot be read: Permission denied"):
    data_digest(file)


def test_files_are_those_that_are_read(tmp_path):
  write(tmp_path / "mine", train__txt="0 1 2\n1 2 3\n", test__txt="0 3\n1 1\n")
  found = read_named(tmp_path / "mine")
  assert found.test is not None and len(data_files(tmp_path / "mine")) == 2


def test_a_file_of_public_interactions_is_one_of_the_files(tmp_path):
  write(tmp_path, tiny__csv="user,item\n0,1\n", public__csv="user,item\n0,0\n")
  write(tmp_path / "other", tiny__csv="user,item\n0,0\n")
  data, public = tmp_path / "tiny.csv", sha("user,item\n0,0\n")
  assert data_digest("synthetic", public_file=tmp_path / "public.csv") == public
  both = sha(f"{public}  public.csv\n{data_digest(data)}  tiny.csv\n")
  assert data_digest(data, public_file=tmp_path / "public.csv") == both
  assert data_digest(data, public_file=tmp_path / "nowhere.csv") == data_digest(data)
  # Of the same name in another folder, it is another file all the same.
  assert data_digest(data, public_file=tmp_path / "other" / "tiny.csv") not in (data_digest(data), public, both)
