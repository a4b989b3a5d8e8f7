"""Runs that go on from a checkpoint return the bits of a run that was never stopped."""

import dataclasses
import re

import jax
import numpy as np
import optax
import pytest

import fedrecjax
from fedrecjax import ConfigError, DivergedError, OtherRunError, attacks, models
from fedrecjax.config import AttackerConfig, EvalConfig, TrainConfig
from fedrecjax.datasets import ItemLists
from fedrecjax.simulation import checkpoint_files, checkpoints
from fedrecjax.simulation.checkpoint_files import checkpoints_in
from fedrecjax.simulation.checkpoints import Checkpoints
from fedrecjax.simulation.runner import simulate
from fedrecjax.types import Attack
from fedrecjax.version import __version__
from tests.support import image_runs
from tests.support.stopped_runs import EPOCHS, as_bytes, assert_same_bits, only, ran, stopped

CASES = {
  "mf": {},
  "the loss with its L2 term": {"train__l2": 0.1},
  "one client optimiser each": {"train__server_optimizer": "adam", "train__client_optimizer": "adam"},
  "pieck_uea and a rule": {
    "attack": "pieck_uea", "pieck_uea__num_popular": 5, "pieck_uea__mining_differences": 2,
    "defense": "norm_bound+trimmed_mean", "trimmed_mean__f": 0.25,
  },
  "one for all": {"train__server_optimizer": "lazy_adam", "train__client_optimizer": "adam_table"},
  "yogi": {"train__server_optimizer": "yogi", "train__client_optimizer": "momentum"},
  "cluster": {"attack": "cluster", "cluster__max_clusters": 6},
  "fedrecattack": {
    "attack": "fedrecattack", "fedrecattack__max_rows": 6, "fedrecattack__list_length": 3, "fedrecattack__batch": 4,
  },
  "noise with a key of its own": {"attack": "spattack_ld"},
  "hics": {"attack": "random", "random__max_rows": 8, "defense": "hics"},
  "fl_wbc": {"attack": "random", "random__max_rows": 8, "defense": "fl_wbc", "train__negatives": "once"},
  "pieck_reg": {
    "attack": "pieck_ipe", "pieck_ipe__num_popular": 5, "defense": "pieck_reg", "pieck_reg__num_popular": 5,
    "pieck_reg__mining_differences": 2,
  },
  "lightgcn": {"model": "lightgcn", "lightgcn__dim": 4},
  "neighbours from an epoch on": {"model": "fedgnn", "fedgnn__dim": 4},
  "ncf": {"model": "ncf", "ncf__dim": 4},
  "sampled evaluation": {"eval__candidates": "sampled", "eval__num_negatives": 9},
  "negatives in every round": {"train__negatives": "every_round", "train__dropout": 0.2},
  "one round in an epoch": {"train__clients_per_round": "all"},
}


def with_one_held_out_item(small):
  """The same set with at most one held-out item per user."""
  lists = [small.test.of(user)[:1] for user in range(small.num_users)]
  return dataclasses.replace(small, test=ItemLists.from_lists(lists))


@pytest.fixture
def all_kept(monkeypatch):
  """No checkpoint is removed."""
  monkeypatch.setattr(checkpoint_files, "KEPT", 100)


@pytest.mark.usefixtures("all_kept")
@pytest.mark.parametrize("name", CASES)
def test_from_every_epoch_to_the_same_bits(small, tmp_path, name):
  changes, folder = CASES[name], tmp_path / "all"
  if "eval__candidates" in changes:
    small = with_one_held_out_item(small)
  undisturbed = ran(small, changes)
  # Cut into epochs, while there are evaluation points after four and six of them.
  assert_same_bits(ran(small, changes, checkpoint_dir=folder, checkpoint_every=1), undisturbed)
  assert [int(one.name) for one in checkpoints_in(folder)] == list(range(EPOCHS, 0, -1))
  # All of them for one with a state of every kind; else before and after the first evaluation point, and at the end.
  for epochs in range(1, EPOCHS + 1) if name == "pieck_reg" else (3, 5, EPOCHS):
    again = ran(small, changes, checkpoint_dir=only(folder, epochs, tmp_path / str(epochs)), checkpoint_every=1)
    assert_same_bits(again, undisturbed)


@pytest.mark.parametrize(("every", "first", "second"), [(4, 3, 3), (4, 3, 5), (1, 4, None), (9, 2, 5), (2, 4, 1)])
def test_periods_that_do_not_divide_one_another(small, tmp_path, every, first, second):
  changes = {"eval__every": every, "attack": "random", "random__max_rows": 8, "defense": "median"}
  undisturbed = ran(small, changes)
  stopped(small, changes, tmp_path, every=first, pieces=2)
  assert 0 < int(checkpoints_in(tmp_path)[0].name) < EPOCHS
  assert_same_bits(ran(small, changes, checkpoint_dir=tmp_path, checkpoint_every=second), undisturbed)


def test_a_run_of_images(small, tmp_path, monkeypatch):
  monkeypatch.setattr(checkpoint_files, "KEPT", 100)
  options = {
    "attack": attacks.psmu_v(**image_runs.PSMU), "attacker": AttackerConfig(malicious_ratio=0.25), "epochs": 4,
    "evaluation": EvalConfig(every=3, ks=(5,), after_uploads=True),
  }
  undisturbed = image_runs.ran(small, **options)
  whole = image_runs.ran(small, **options, checkpoint_dir=tmp_path / "all", checkpoint_every=2)
  assert_same_bits(whole, undisturbed)
  for epochs in (2, 4):
    folder = only(tmp_path / "all", epochs, tmp_path / str(epochs))
    assert_same_bits(image_runs.ran(small, **options, checkpoint_dir=folder, checkpoint_every=2), undisturbed)


def test_a_finished_run_returns_at_once(small, tmp_path, monkeypatch):
  done = []
  first = ran(small, {}, checkpoint_dir=tmp_path)
  monkeypatch.setattr("fedrecjax.simulation.runner._train", lambda *_, **__: pytest.fail("trained again"))
  again = ran(small, {}, checkpoint_dir=tmp_path, progress=done.append)
  assert_same_bits(again, first)
  assert done == [EPOCHS] and [one.name for one in checkpoints_in(tmp_path)] == [f"{EPOCHS:08d}"]
  # Times go on too.
  np.testing.assert_array_equal(again.metrics["wall_s"], first.metrics["wall_s"])
  assert again.compile_s >= first.compile_s


def test_the_last_two_are_kept(small, tmp_path):
  ran(small, {}, checkpoint_dir=tmp_path, checkpoint_every=1)
  assert sorted(one.name for one in tmp_path.iterdir()) == [f"{EPOCHS - 1:08d}", f"{EPOCHS:08d}"]


def test_the_newest_is_taken(small, tmp_path, monkeypatch):
  stopped(small, {}, tmp_path, every=1, pieces=4)
  assert [int(one.name) for one in checkpoints_in(tmp_path)] == [4, 3]
  trained = []
  train = fedrecjax.simulation.runner._train

  def counting(run, so_far, rounds, **options):
    trained.append(rounds.start // run.rounds.per_epoch)
    train(run, so_far, rounds, **options)

  monkeypatch.setattr("fedrecjax.simulation.runner._train", counting)
  ran(small, {}, checkpoint_dir=tmp_path, checkpoint_every=1)
  assert trained == [4, 5]


def test_by_time_a_short_run_writes_none_until_its_end(small, tmp_path, monkeypatch):
  said = []
  ran(small, {"eval__every": 1}, checkpoints=Checkpoints(tmp_path, last=False))
  assert list(tmp_path.iterdir()) == []
  monkeypatch.setattr(checkpoints, "SECONDS_BETWEEN", 0.0)
  ran(small, {"eval__every": 1}, checkpoints=Checkpoints(tmp_path, last=False))
  assert [int(one.name) for one in checkpoints_in(tmp_path)] == [5, 4]
  ran(small, {"eval__every": 1}, checkpoints=Checkpoints(tmp_path, say=said.append))
  assert said == ["going on after epoch 5"]


def test_stopped_by_time_it_saves_what_is_worth_it(small, tmp_path, monkeypatch):
  stopped(small, {"eval__every": 1}, tmp_path, every=None, pieces=2)
  assert not checkpoints_in(tmp_path)
  monkeypatch.setattr(checkpoints, "SECONDS_WORTH", 0.0)
  stopped(small, {"eval__every": 1}, tmp_path, every=None, pieces=2)
  assert [int(one.name) for one in checkpoints_in(tmp_path)] == [2]


def test_stopped_between_two_checkpoints_it_writes_one(small, tmp_path):
  stopped(small, {"eval__every": 1}, tmp_path, every=4, pieces=2)
  assert [int(one.name) for one in checkpoints_in(tmp_path)] == [2]


def test_given_optimizers(small, tmp_path):
  options = {
    "model": models.mf(dim=4),
    "attack": attacks.explicit_boosting(),
    "train": TrainConfig(epochs=4, clients_per_round=5),
    "attacker": AttackerConfig(malicious_ratio=0.25),
    "evaluation": EvalConfig(every=2, ks=(5,)),
    "client_optimizer": optax.adam(1e-2),
  }
  undisturbed = simulate(small, **options, server_optimizer=optax.adamw(1e-2))
  ran_once = simulate(small, **options, server_optimizer=optax.adamw(1e-2), checkpoint_dir=tmp_path, checkpoint_every=3)
  assert_same_bits(ran_once, undisturbed)
  # An optimiser made anew with the same numbers is the same one.
  again = simulate(small, **options, server_optimizer=optax.adamw(1e-2), checkpoint_dir=tmp_path)
  assert_same_bits(again, undisturbed)
  with pytest.raises(OtherRunError, match="server_optimizer: not the same"):
    simulate(small, **options, server_optimizer=optax.adamw(1e-3), checkpoint_dir=tmp_path)


@pytest.mark.parametrize(("changes", "said"), [
  ({"train__learning_rate": 0.2}, r"train\.learning_rate is 0\.1 there and 0\.2 here"),
  ({"train__epochs": 7}, r"train\.epochs is 6 there and 7 here"),
  ({"seed": 1}, "seed is 0 there and 1 here"),
  ({"eval__ks": (4,)}, r"eval\.ks is \[5\] there and \[4\] here"),
  ({"attack": "random", "random__max_rows": 8}, "attack: not the same there and here"),
  ({"defense": "norm_bound", "norm_bound__max_norm": 0.5}, "defense: not the same there and here"),
])
def test_another_run_is_refused(small, tmp_path, changes, said):
  own = {"attack": "random", "random__max_rows": 7, "defense": "norm_bound", "norm_bound__max_norm": 0.25}
  ran(small, own, checkpoint_dir=tmp_path)
  before = sorted(tmp_path.rglob("*"))
  there = re.escape(f"checkpoint {tmp_path}/00000006")
  with pytest.raises(OtherRunError, match=rf"^{there} is of another run: {said}$"):
    ran(small, own | changes, checkpoint_dir=tmp_path)
  assert sorted(tmp_path.rglob("*")) == before


def test_other_data_and_versions_are_refused(small, tmp_path, monkeypatch):
  ran(small, {}, checkpoint_dir=tmp_path)
  other = dataclasses.replace(small, test=ItemLists(small.test.indptr, (small.test.items + 1) % small.num_items))
  with pytest.raises(OtherRunError, match="data: not the same there and here"):
    ran(other, {}, checkpoint_dir=tmp_path)
  monkeypatch.setattr("fedrecjax.simulation.identity.__version__", "9.9")
  with pytest.raises(OtherRunError, match=f"fedrecjax is {re.escape(__version__)} there and 9[.]9 here"):
    ran(small, {}, checkpoint_dir=tmp_path)


def test_a_run_that_diverges_does_so_again(small, tmp_path):
  changes = {"train__learning_rate": 1e30, "train__epochs": 4, "eval__every": 1}
  with pytest.raises(DivergedError) as first:
    ran(small, changes)
  for _ in range(2):
    with pytest.raises(DivergedError) as again:
      ran(small, changes, checkpoint_dir=tmp_path, checkpoint_every=1)
    assert str(again.value) == str(first.value)
    found, wanted = as_bytes(again.value.result), as_bytes(first.value.result)
    assert all(found[name] == wanted[name] for name in wanted if not name.startswith("state"))
  done = [int(one.name) for one in checkpoints_in(tmp_path)]
  assert all(epochs < first.value.epoch for epochs in done)


def test_what_cannot_be_written_is_said_and_the_run_goes_on(small, tmp_path, monkeypatch):
  def full(*_, **__):
    raise OSError("No space left on device")

  undisturbed = ran(small, {})
  monkeypatch.setattr(checkpoints, "write_checkpoint", full)
  result = ran(small, {}, checkpoint_dir=tmp_path, checkpoint_every=5)
  assert result.warnings == tuple(
    f"the checkpoint after epoch {epochs} was not written: No space left on device" for epochs in (5, 6)
  )
  assert_same_bits(result._replace(warnings=()), undisturbed)


@pytest.mark.parametrize(("options", "said"), [
  ({"checkpoint_dir": ".", "checkpoint_every": 1.5}, "checkpoint_every must be a number of epochs of at least 1, got"
                                                     " 1.5"),
  ({"checkpoint_every": 2}, "checkpoint_every goes with checkpoint_dir, which is None"),
  ({"checkpoint_dir": ".", "checkpoint_every": 0}, "checkpoint_every must be a number of epochs of at least 1, got 0"),
  ({"checkpoint_dir": 3}, "checkpoint_dir must be the path of a folder, got 3"),
])
def test_impossible_arguments(small, options, said):
  with pytest.raises(ConfigError) as error:
    ran(small, {}, **options)
  assert str(error.value) == said


def test_a_folder_that_is_a_file_is_refused(small, tmp_path):
  (tmp_path / "file").write_text("")
  with pytest.raises(ConfigError, match=f"^checkpoint_dir: cannot use {tmp_path}/file: File exists$"):
    ran(small, {}, checkpoint_dir=tmp_path / "file")


def test_keys_in_a_state_are_kept(small, tmp_path):
  """A method's state may hold keys of JAX's own type, numbers of any type, and arrays without elements."""

  def init(key, context):
    del context
    return {"key": key, "count": jax.numpy.uint8(0), "none": jax.numpy.zeros((0, 3)), "nothing": None}

  def poison(state, uploads, view, key):
    del uploads, key
    own, rest = jax.random.split(state["key"])
    rows = state["count"] * jax.random.normal(own, (view.slot.shape[0], 1, view.public.items.shape[1]))
    sent = fedrecjax.item_rows(view.slot, view.active, view.targets, rows, view.public.items.shape[0])
    return sent, state | {"key": rest, "count": state["count"] + 1}

  def run(**options):
    return simulate(
      small, model=models.mf(dim=4), attack=Attack(init=init, poison=poison),
      train=TrainConfig(epochs=4, clients_per_round=5), attacker=AttackerConfig(malicious_ratio=0.25),
      evaluation=EvalConfig(every=4, ks=(5,)), **options,
    )

  undisturbed = run()
  run(checkpoint_dir=tmp_path / "all", checkpoint_every=3)
  assert_same_bits(run(checkpoint_dir=only(tmp_path / "all", 3, tmp_path / "one")), undisturbed)
