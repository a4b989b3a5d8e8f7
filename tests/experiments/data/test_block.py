"""The lines that say what a data set holds, and who attacks in it."""

import dataclasses

from experiments.data.block import Threat, data_lines, threat_lines, threat_of
from fedrecjax import attacks
from fedrecjax.analysis import summarize
from fedrecjax.config import AttackerConfig, TrainConfig
from fedrecjax.datasets import FileReading, LeftOut, Reading
from tests.support.lockstep import make_run


def test_a_threat_is_that_of_the_run(small):
  attacker = AttackerConfig(malicious_ratio=0.35, num_targets=3, start_epoch=1)
  train = TrainConfig(epochs=3, clients_per_round=5)
  attack = attacks.random(max_rows=8)
  found = threat_of(small, attack, attacker, train, 4)
  run = make_run(small, attack=attack, attacker=attacker, train=train, seed=4)
  assert (found.malicious, found.clients) == (4, 16)
  attacking = (run.rounds.malicious >= 0).sum(axis=1)
  # In two of three epochs every malicious client attacks once; an epoch has four rounds.
  assert found.per_round == attacking.mean() == 8 / 12 and found.most_per_round == attacking.max()
  assert found.targets == tuple(run.population.targets.tolist())
  for target, popularity, rank in zip(found.targets, found.popularity, found.ranks, strict=True):
    assert popularity == small.popularity[target]
    above = small.popularity > popularity
    assert 0 <= rank - 1 - above.sum() < (small.popularity == popularity).sum()


def test_targets_are_named(small):
  named = dataclasses.replace(small, item_names=[f"film {item}" for item in range(small.num_items)])
  attacker = AttackerConfig(malicious_ratio=0.35, targets="given", target_items=("film 7", "film 3"))
  found = threat_of(named, attacks.random(max_rows=8), attacker, TrainConfig(epochs=1), 0)
  assert found.targets == ("film 7", "film 3") and found.popularity == tuple(small.popularity[[7, 3]].tolist())


def test_its_lines_name_every_target():
  lines = threat_lines(Threat(47, 990, 11.75, 15, (902, 5), (1700, 0), (3, 1682)))
  assert lines[0].endswith("47 of 990 clients, 11.8 in a round on average, 15 at most") and len(lines) == 3
  assert lines[1].endswith("item 902, 1,700 training interactions, rank 3") and lines[2].endswith("rank 1,682")


def test_only_what_is_the_case_is_said(small):
  lines = "\n".join(data_lines(summarize(small), None))
  assert lines.startswith("Data: small\n  users         12\n  items         30")
  assert "1 can never be ranked" in lines and "1 users, who hold out nothing" in lines
  for absent in ("file", "time", "set aside ", "left out ", "public", "split", "warning"):
    assert f"\n  {absent}" not in lines


def test_what_was_understood_is_said(small):
  file = FileReading("a.tsv", "train", "csv", "utf-8", "tab", (("user", "who"), ("item", "item")), 9, ("title", "x"))
  reading = Reading(
    files=(file,), rows=9, left_out=(LeftOut("core", 2000, 2), LeftOut("repeats", 1, 0)), repeats=1,
    users=("ann", "bob"), items=("7", "007"),
    time_span=("3", "9"), split="random", split_reason="asked for",
    warnings=("small: something odd",),
  )
  lines = data_lines(summarize(small), reading)
  assert [line for line in lines if line not in data_lines(summarize(small), None)] == [
    "  file          a.tsv (train): csv, utf-8, tab between fields; columns who is the user, item; not used: title, x",
    "  time          3 to 9, which orders rows",
    "  split         random; asked for",
    "  left out      2,000 rows and 2 users by data.user_core and data.item_core",
    "  left out      1 rows by data.repeats=drop",
    "  first ids     users ann, bob; items 7, 007",
    "  warning       small: something odd",
  ]
  lines = data_lines(summarize(small), dataclasses.replace(reading, left_out=(), time_span=None))
  assert "(1 repeat a pair; data.repeats=drop leaves them out)" in lines[4] and "not known; rows are in" in lines[7]
