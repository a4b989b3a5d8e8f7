"""Public interactions that are given: who sees them, from where, and what is not taken twice."""

import dataclasses

import jax
import numpy as np
import pytest

import fedrecjax as frj
from fedrecjax.config import AttackerConfig, ConfigError, EvalConfig, TrainConfig, from_flat
from fedrecjax.datasets import DataError, ItemLists
from fedrecjax.federation.population import public_part
from fedrecjax.simulation.runner import execute
from fedrecjax.types import Attack
from tests.support.lockstep import make_run

RATIO = 0.3
TRAIN = TrainConfig(epochs=2, clients_per_round=6, learning_rate=0.5)


def write_lists(file, lists):
  file.write_text("".join(" ".join(map(str, [user, *lists.of(user)])) + "\n" for user in range(len(lists))))
  return str(file)


def seen_by_an_attack(dataset, attacker):
  """What an attack that asks for public interactions is given, and the planned run."""
  seen = []

  def init(key, context):
    seen.append(context.interactions)
    return ()

  run = make_run(
    dataset, attack=Attack(None, init, profiles=lambda random, context: [np.array([1])] * context.num_malicious,
                           requires=frozenset({"public_interactions"})), attacker=attacker,
  )  # fmt: skip
  return [seen[0].of(client).tolist() for client in range(len(seen[0]))], run


def simulated(dataset, attacker):
  return frj.simulate(
    dataset, model=frj.mf(dim=4), attack=frj.fedrecattack(max_rows=5, list_length=3, batch=5), train=TRAIN,
    attacker=attacker, evaluation=EvalConfig(ks=(3,)), seed=2,
  )


def test_given_as_the_drawn_share_they_make_the_same_bits(small, tmp_path):
  share = public_part(small.train, AttackerConfig.public_share, np.random.default_rng([2, 3]))
  file = write_lists(tmp_path / "train.part-1%.txt", share)
  drawn, of_file, of_data = (
    simulated(dataset, AttackerConfig(malicious_ratio=RATIO, public_file=public_file))
    for dataset, public_file in ((small, None), (small, file), (dataclasses.replace(small, public=share), None))
  )
  for given in (of_file, of_data):
    assert given.warnings == drawn.warnings == ()
    for found, expected in zip(jax.tree.leaves(given.state), jax.tree.leaves(drawn.state), strict=True):
      np.testing.assert_array_equal(np.asarray(found), np.asarray(expected))
    for name, column in drawn.metrics.items():
      if name != "wall_s":
        np.testing.assert_array_equal(given.metrics[name], column)


def test_only_benign_users_items_are_seen(small):
  public = ItemLists.from_lists([[user, user + 10] for user in range(12)])
  converted = AttackerConfig(malicious_ratio=RATIO, membership="converted")
  seen, run = seen_by_an_attack(dataclasses.replace(small, public=public), converted)
  assert len(run.population.users) == 9
  assert seen == [[user, user + 10] for user in run.population.users]


def test_added_clients_have_nothing_public(small):
  public = ItemLists.from_lists([small.train.of(user)[:1] for user in range(12)])
  seen, run = seen_by_an_attack(dataclasses.replace(small, public=public), AttackerConfig(malicious_ratio=RATIO))
  assert seen == [small.train.of(user)[:1].tolist() for user in range(12)] and run.notes == ()


def test_what_nobody_trains_on_is_seen_and_said(small, tmp_path):
  # Three of five public pairs are held out or unheard of; that of user 5 is a training item.
  lists = [[3, 12], [3], [29], [], [], small.train.of(5)[:1], *[[]] * 6]
  file = write_lists(tmp_path / "public.txt", ItemLists.from_lists(lists))
  attacker = AttackerConfig(malicious_ratio=RATIO, public_file=file)
  seen, run = seen_by_an_attack(small, attacker)
  assert seen == [list(one) for one in lists]
  said = "3 of 5 public interactions are no training interactions of their users; the attack sees them all the same"
  assert execute(run, epochs=2, every=2).warnings == (said,)


def test_public_interactions_are_given_once(small, tmp_path):
  public = dataclasses.replace(small, public=small.train)
  file = write_lists(tmp_path / "public.txt", small.train)
  with pytest.raises(ConfigError, match=r"attacker\.public_share must be left alone where attacker\.public_file is"):
    AttackerConfig(public_file=file, public_share=0.5)
  with pytest.raises(ConfigError, match=r"attacker\.public_file must be left alone for small, which says itself"):
    simulated(public, AttackerConfig(malicious_ratio=RATIO, public_file=file))
  with pytest.raises(ConfigError, match=r"attacker\.public_share must be left alone for small, .*, got 0\.5"):
    simulated(public, AttackerConfig(malicious_ratio=RATIO, public_share=0.5))
  with pytest.raises(DataError, match=r"public\.txt:1: column item: expected one of the 30 items of small, .*'30'"):
    (tmp_path / "public.txt").write_text("0 30\n")
    simulated(small, AttackerConfig(malicious_ratio=RATIO, public_file=file))


def test_without_an_attack_nothing_is_public():
  fields = {"attack": "none", "attacker.public_file": "public.txt"}
  assert from_flat(fields).attacker.public_file is None and from_flat(fields).hash() == from_flat({}).hash()


def test_the_hash_depends_on_the_file_and_is_as_before_without_one():
  plain, given, other = (
    from_flat({"attack": "fedrecattack", **more})
    for more in ({}, {"attacker.public_file": "a.txt"}, {"attacker.public_file": "b.txt"})
  )
  assert "attacker.public_file" not in plain.flat() and given.flat()["attacker.public_file"] == "a.txt"
  assert len({plain.hash(), given.hash(), other.hash()}) == 3
  assert from_flat(given.flat()) == given and from_flat(plain.flat()) == plain
