"""Tests of named sets: where they are found, what they hold, and how they are fetched."""

import functools
import hashlib
import http.server
import io
import re
import sys
import threading
import zipfile

import numpy as np
import pytest

from fedrecjax.datasets import (
  DATA_DIR_VARIABLE,
  DATASETS,
  NAMED_SETS,
  DataError,
  NamedSet,
  default_data_dir,
  load,
  read_named,
)
from fedrecjax.datasets.download import Download

_U_DATA = "1\t1\t5\t10\n1\t2\t5\t20\n2\t2\t4\t30\n2\t1\t4\t40\n"
_TOY = NamedSet(files=("u.data", "interactions.csv"), origin="http://example.org", counts=(2, 2, 4))


@pytest.fixture
def toy(monkeypatch):
  """Puts a small set called toy among the named ones."""

  def put(**options):
    fields = {"files": _TOY.files, "origin": _TOY.origin, "counts": _TOY.counts} | options
    monkeypatch.setitem(NAMED_SETS, "toy", NamedSet(**fields))

  return put


@pytest.fixture
def server(tmp_path, monkeypatch):
  """A web server on this machine that offers toy.zip; yields its address and the archive's md5."""
  monkeypatch.setenv("NO_PROXY", "127.0.0.1")
  packed = io.BytesIO()
  with zipfile.ZipFile(packed, "w") as archive:
    archive.writestr("toy/u.data", _U_DATA)
  served = tmp_path / "served"
  served.mkdir()
  (served / "toy.zip").write_bytes(packed.getvalue())

  class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
      """Says nothing."""

  handler = functools.partial(Quiet, directory=str(served))
  with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
    thread = threading.Thread(target=running.serve_forever)
    thread.start()
    yield (
      f"http://127.0.0.1:{running.server_port}/toy.zip",
      "md5:" + hashlib.md5(packed.getvalue()).hexdigest(),
    )
    running.shutdown()
    thread.join()


def test_download_is_checked_unpacked_and_found_again(toy, server, tmp_path):
  url, checksum = server
  toy(download=Download(url, checksum, "toy/u.data"))
  first = read_named("toy", data_dir=tmp_path / "data")
  assert len(first) == 4
  assert (tmp_path / "data" / "toy" / "u.data").read_text() == _U_DATA
  toy(download=None)
  assert len(read_named("toy", data_dir=tmp_path / "data")) == 4


@pytest.mark.parametrize(
  ("address", "checksum", "member", "reason"),
  [
    (None, "md5:" + "0" * 32, "toy/u.data", "hash"),
    (None, None, "toy/absent", "no item named 'toy/absent'"),
    ("http://127.0.0.1:1/toy.zip", None, "toy/u.data", "refused"),
  ],
)
def test_failed_download_says_what_to_do(toy, server, tmp_path, address, checksum, member, reason):
  url, right = server
  url = address or url
  toy(download=Download(url, checksum or right, member))
  with pytest.raises(DataError, match=f"download of {url} failed") as caught:
    read_named("toy", data_dir=tmp_path / "data")
  message = str(caught.value)
  assert reason in message
  assert f"from {url} in {tmp_path / 'data' / 'toy'}" in message
  assert "\n" not in message
  assert not (tmp_path / "data" / "toy" / "u.data").exists()


def test_download_without_pooch(toy, tmp_path, monkeypatch):
  toy(download=Download("http://example.org/toy.zip", "md5:0", "toy/u.data"))
  monkeypatch.setitem(sys.modules, "pooch", None)
  with pytest.raises(DataError, match="cannot download without the package pooch; to do it by"):
    read_named("toy", data_dir=tmp_path)


@pytest.mark.parametrize("name", ["ml-100k", "ml-1m"])
def test_published_archives_are_asked_for(name, tmp_path, monkeypatch):
  asked = {}

  def retrieve(**options):
    asked.update(options)
    raise OSError("no network in tests")

  pooch = pytest.importorskip("pooch", reason="pooch is not installed")
  monkeypatch.setattr(pooch, "retrieve", retrieve)
  with pytest.raises(DataError, match="no network in tests"):
    read_named(name, data_dir=tmp_path)
  assert asked["url"] == f"https://files.grouplens.org/datasets/movielens/{name}.zip"
  assert re.fullmatch("md5:[0-9a-f]{32}", asked["known_hash"])
  assert asked["path"] == tmp_path / name


@pytest.mark.parametrize(
  "name", ["steam-200k", "amazon-digital-music", "amazon-cell-phones", "gowalla"]
)
def test_sets_to_fetch_by_hand_say_where(name, tmp_path):
  with pytest.raises(DataError, match=f"{name} is not in .* get it from https://") as caught:
    read_named(name, data_dir=tmp_path)
  assert str(tmp_path / name) in str(caught.value)


def test_folder_is_searched_in_order(toy, tmp_path, write):
  toy()
  (tmp_path / "toy").mkdir()
  write("toy/interactions.csv", "user,item,timestamp\n0,0,1\n0,1,\n1,1,\n1,0,\n")
  write("toy/time_rank.csv.gz", "rank\n1\n0\n0\n1\n")
  found = read_named("toy", data_dir=tmp_path)
  assert (found.time.tolist(), found.test) == ([1, 0, 0, 1], None)
  write("toy/split.csv", "test\n0\n1\n0\n0\n")
  assert read_named("toy", data_dir=tmp_path).test.tolist() == [False, True, False, False]
  write("toy/u.data.gz", _U_DATA)
  assert read_named("toy", data_dir=tmp_path).time.tolist() == [10, 20, 30, 40]
  assert read_named(tmp_path / "toy").name == "toy"
  with pytest.raises(DataError, match=r"no data in this folder, expected one of u.data"):
    read_named(tmp_path)


def test_counts_of_a_named_set_are_checked(toy, tmp_path, write):
  toy(counts=(2, 2, 5))
  (tmp_path / "toy").mkdir()
  path = write("toy/u.data", _U_DATA)
  message = "2 users, 2 items, 4 interactions, expected 2, 2, 5 in toy; give the file's path"
  with pytest.raises(DataError, match=message):
    read_named("toy", data_dir=tmp_path)
  assert len(read_named(path)) == 4


def test_data_dir_comes_from_the_environment(monkeypatch, tmp_path, toy, write):
  toy()
  (tmp_path / "toy").mkdir()
  write("toy/u.data", _U_DATA)
  monkeypatch.setenv(DATA_DIR_VARIABLE, str(tmp_path))
  assert default_data_dir() == tmp_path
  assert len(read_named("toy")) == 4
  monkeypatch.delenv(DATA_DIR_VARIABLE)
  monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
  assert default_data_dir() == tmp_path / "cache" / "fedrecjax"


def test_unknown_names_and_paths(tmp_path):
  with pytest.raises(DataError, match=r"data set 'ml-10k' is unknown, expected one of synthetic"):
    load("ml-10k")
  with pytest.raises(DataError, match=r"absent\.csv: no such file"):
    load(tmp_path / "absent.csv")


def test_load_passes_its_options_on(write):
  path = write("toy.csv", "user,item\n0,1\n0,1\n0,2\n1,0\n")
  with pytest.raises(DataError, match="too few rows"):
    load(path)
  dataset = load(path, split="last_by_order", repeats="drop", too_few="drop")
  assert dataset.name == "toy.csv"
  assert (dataset.train.items.tolist(), dataset.test.items.tolist()) == ([1], [2])
  held_out = load(path, split="ratio", test_ratio=0.4, seed=1).test.lengths
  assert held_out.tolist() == [1, 0]


_FACTS = {
  # name: users, items, training rows, held-out rows, time known
  "synthetic": (943, 1682, 99_057, 943, True),
  "ml-100k": (943, 1682, 99_057, 943, True),
  "ml-1m": (6040, 3706, 994_169, 6040, True),
  "steam-200k": (3753, 5134, 110_960, 3753, False),
  "amazon-digital-music": (16_566, 11_797, 153_217, 16_564, False),
  "amazon-cell-phones": (27_879, 10_429, 166_560, 27_879, True),
  "gowalla": (29_858, 40_981, 810_128, 217_242, False),
}


def test_every_named_set_has_its_facts():
  assert set(_FACTS) == set(DATASETS)


@pytest.mark.parametrize("name", DATASETS)
def test_real_sets_have_the_counts_of_the_papers(name, real_data):
  if name != "synthetic" and not (real_data / name).is_dir():
    pytest.skip(f"{name} is not in {real_data}")
  num_users, num_items, num_train, num_test, has_time = _FACTS[name]
  dataset = load(name, data_dir=real_data)
  assert (dataset.name, dataset.num_users, dataset.num_items) == (name, num_users, num_items)
  assert (len(dataset.train.items), len(dataset.test.items)) == (num_train, num_test)
  assert dataset.popularity.sum() == num_train
  assert (read_named(name, data_dir=real_data).time is not None) == has_time


def test_ml_100k_reads_alike_in_both_layouts(real_data):
  folder = real_data / "ml-100k"
  files = [folder / "u.data.gz", folder / "interactions.csv.gz"]
  if not all(file.is_file() for file in files):
    pytest.skip(f"{folder} does not hold both layouts")
  published, converted = (read_named(file) for file in files)
  for column in ("users", "items", "time"):
    assert np.array_equal(getattr(published, column), getattr(converted, column))


def test_repeats_of_amazon_digital_music(real_data):
  if not (real_data / "amazon-digital-music").is_dir():
    pytest.skip(f"amazon-digital-music is not in {real_data}")
  kept = load("amazon-digital-music", data_dir=real_data)
  dropped = load("amazon-digital-music", data_dir=real_data, repeats="drop")
  assert len(dropped.train.items) + len(dropped.test.items) == 145_292
  assert len(kept.test.items) - len(dropped.test.items) == 429
