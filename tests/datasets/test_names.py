"""Ids are names: any one-to-one renaming of users and items changes names and nothing else.

What is held: whole numbers are numbered ascending, so a renaming into whole numbers in the same order leaves every
number, and with it every draw, where it was. Any other id is numbered where it appears first, so any renaming of texts
does, too, and with `ids="names"` any renaming whatever. Where a renaming does change numbers, as of whole numbers in
another order, the same rows are held out of the same names, and names lead to the same popularity.
"""

import dataclasses

import numpy as np
import pytest

import fedrecjax as frj
from fedrecjax.datasets import NAMED_SETS, DataError, LeftOut, NamedSet, load
from fedrecjax.datasets.names import checked_names, numbers_of

NUM_USERS, NUM_ITEMS = 12, 30


def rows():
  random = np.random.default_rng(5)
  return [(user, int(item)) for user in range(NUM_USERS) for item in random.choice(NUM_ITEMS, 8, replace=False)]


def table(write, name, user_names, item_names):
  lines = [f"{user_names[user]},{item_names[item]},{time}" for time, (user, item) in enumerate(rows())]
  return write(name, "\n".join(["user,item,timestamp", *lines]) + "\n")


def texts(count, seed, prefix):
  return [f"{prefix}{number:03d}" for number in np.random.default_rng(seed).permutation(count)]


def spread(count):
  """Whole numbers with gaps, in order."""
  return [20 * number + 7 for number in range(count)]


def ran(dataset, target):
  result = frj.simulate(
    dataset, model=frj.mf(dim=4), attack=frj.attacks.random(max_rows=6),
    train=frj.TrainConfig(epochs=2, clients_per_round=6),
    attacker=frj.AttackerConfig(malicious_ratio=0.2, targets="given", target_items=(target,)),
    evaluation=frj.EvalConfig(ks=(5,)),
  )
  return {name: column.tolist() for name, column in result.metrics.items() if name != "wall_s"}, result


@pytest.mark.parametrize(
  ("renamed", "options"),
  [
    # From whole numbers to others in the same order.
    (((range(NUM_USERS), range(NUM_ITEMS)), (spread(NUM_USERS), spread(NUM_ITEMS))), {}),
    # From texts to any others.
    (((texts(NUM_USERS, 1, "u"), texts(NUM_ITEMS, 2, "i")), (texts(NUM_USERS, 3, "x"), texts(NUM_ITEMS, 4, "y"))), {}),
    # From anything to anything, where all ids are names.
    (((range(NUM_USERS), range(NUM_ITEMS)), (texts(NUM_USERS, 3, "x"), spread(NUM_ITEMS)[::-1])), {"ids": "names"}),
  ],
)
def test_a_renaming_changes_no_metric(write, renamed, options):
  item = rows()[0][1]
  (users, items), (other_users, other_items) = renamed
  first, _ = ran(load(table(write, "a.csv", users, items), **options), items[item])
  second, result = ran(load(table(write, "b.csv", other_users, other_items), **options), other_items[item])
  assert first == second
  assert [str(name) for name in result.item_names[result.targets]] == [str(other_items[item])]


def test_a_renaming_that_changes_numbers_holds_out_the_same_rows(write):
  """Whole numbers in another order: everybody and everything has another number, and the same name."""
  users, items = spread(NUM_USERS)[::-1], np.random.default_rng(6).permutation(500)[:NUM_ITEMS].tolist()
  plain = load(table(write, "a.csv", range(NUM_USERS), range(NUM_ITEMS)))
  renamed = load(table(write, "b.csv", users, items))
  number_of = {user: renamed.user_number(name) for user, name in enumerate(users)}
  occurring = sorted({item for _, item in rows()})
  assert plain.num_items == renamed.num_items == len(occurring)
  assert number_of[0] == NUM_USERS - 1
  for user in range(NUM_USERS):
    for mine, theirs in ((plain.train, renamed.train), (plain.test, renamed.test)):
      expected = [items[plain.item_name(item)] for item in mine.of(user)]
      assert [renamed.item_name(item) for item in theirs.of(number_of[user])] == expected
  for item in occurring:
    assert plain.popularity[plain.item_number(item)] == renamed.popularity[renamed.item_number(items[item])]


def test_ids_with_gaps_are_names(write):
  path = write("gaps.csv", "user,item,timestamp\n0,90,1\n0,180,2\n1,270,3\n1,360,4\n")
  dataset = load(path)
  assert (dataset.num_items, dataset.item_names.tolist(), dataset.user_names) == (4, [90, 180, 270, 360], None)
  assert dataset.item_number(270) == dataset.item_number("270") == 2
  _, result = ran(load(table(write, "a.csv", range(NUM_USERS), spread(NUM_ITEMS))), spread(NUM_ITEMS)[rows()[0][1]])
  assert result.user_names is None and result.item_names is not None
  with pytest.raises(DataError, match=r"item 1 does not exist; gaps.csv has 4 items, such as 90, 180, 270"):
    dataset.item_number(1)
  with pytest.raises(DataError, match=r"user 2 does not exist; gaps.csv has users 0 to 1"):
    dataset.user_number(2)


def test_007_is_not_7(write):
  dataset = load(write("a.csv", "user,item\na,007\na,7\nb,7\nb,07\n"))
  assert [dataset.item_number(name) for name in ("007", 7, "7", "07")] == [0, 1, 1, 2]
  assert dataset.item_name(0) == "007" and dataset.user_name(1) == "b"


def test_named_sets_are_called_by_their_numbers(write, tmp_path, monkeypatch):
  """Also those of a published set that never occur, so that published targets stay what they are."""
  monkeypatch.setitem(NAMED_SETS, "toy", NamedSet(files=("train.txt",), origin="nowhere", counts=(2, 8, 4)))
  (tmp_path / "toy").mkdir()
  write("toy/train.txt", "0 7 2\n1 7 5\n")
  toy, by_path = load("toy", data_dir=tmp_path), load(tmp_path / "toy" / "train.txt")
  assert (toy.num_items, toy.item_number(5), toy.item_names) == (8, 5, None)
  assert (by_path.num_items, by_path.item_number(5), by_path.item_names.tolist()) == (3, 1, [2, 5, 7])
  synthetic = load("synthetic")
  assert synthetic.item_names is None and synthetic.item_number(1681) == 1681
  core = load("synthetic", item_core=60)
  assert core.num_items < 1682 and core.item_number(core.item_name(5)) == 5
  assert core.popularity[5] > 0 and len(core.item_names) == core.num_items


def test_names_that_are_not_names_are_refused(small):
  for names, message in (([1, 2], r"small: item names have shape \(2,\), expected \(30,\)"),
                         ([5] * 30, "small: item names are not different, expected one for each of 30")):
    with pytest.raises(DataError, match=message):
      dataclasses.replace(small, item_names=names)
  assert dataclasses.replace(small, item_names=range(30)).item_names is None
  assert checked_names(["b", 7], 2, "item").tolist() == ["b", "7"]
  assert numbers_of(np.array([5, 7]), np.array(["7", "6"])).tolist() == [1, -1]


def test_given_targets_are_named(write):
  dataset = load(table(write, "a.csv", range(NUM_USERS), texts(NUM_ITEMS, 1, "i")))
  with pytest.raises(frj.ConfigError, match=r"attacker.target_items: item 5 does not exist; a.csv has \d+ items, such"):
    ran(dataset, 5)


def test_users_that_are_dropped_leave_the_names_of_others(write):
  path = write("a.csv", "user,item\n0,1\n1,1\n1,2\n2,1\n2,2\n")
  dataset = load(path, too_few="drop")
  assert dataset.user_names.tolist() == [1, 2] and dataset.user_number(2) == 1
  assert dataset.reading.left_out == (LeftOut("too_few", 1, 1),)
