"""What a run needs at least, against what there is."""

import jax
import jax.numpy as jnp
import pytest

import fedrecjax as frj
from fedrecjax.simulation import memory
from fedrecjax.simulation.memory import check_memory, check_program, needs_of

NAMELESS = frj.mf(dim=32)._replace(init_public=lambda key, count: frj.Public(jnp.zeros((count, 32)), ()))


def sizes(dataset, model, **train):
  return [need.size for need in needs_of(dataset, model, frj.TrainConfig(**train))]


def test_needs_by_hand(small):
  samples = len(small.train.items)
  # 12 users and 30 items of 5 numbers; half of the users, each sample with its row and those of 3 negatives.
  assert sizes(small, frj.mf(dim=5), epochs=7, clients_per_round=6, num_negatives=3) == [
    7 * 12 * 4, (30 + 12) * 5 * 4, samples * 3 * 4, samples // 2 * 4 * 5 * 4]


def test_what_is_drawn_anew_is_not_kept_and_everybody_is_all(small):
  drawn, all_clients = (sizes(small, frj.mf(dim=5), clients_per_round="all", **more)
                        for more in ({"negatives": "every_round"}, {}))
  assert drawn[2] == 0 < all_clients[2]
  assert all_clients[3] == sizes(small, frj.mf(dim=5), clients_per_round=10**9)[3]


@pytest.mark.parametrize("model", [frj.ncf(), frj.sasrec(), frj.vncf()], ids=["ncf", "sasrec", "vncf"])
def test_parameters_of_networks_are_counted(small, model):
  if model.project is not None:
    assert sizes(small, model)[1] > 0
    return
  public = model.init_public(jax.random.key(0), small.num_items)
  private = model.init_private(jax.random.key(0))
  kept = sum(leaf.size for leaf in jax.tree.leaves(public)) + small.num_users * private.size
  assert sizes(small, model)[1] == 4 * kept


@pytest.mark.parametrize(("train", "model", "named"), [
  ({"clients_per_round": 1}, frj.mf(dim=32), "mf.dim=32 does not fit into memory: the model's"),
  ({"clients_per_round": 1}, NAMELESS, "the model's embedding size=32 does not fit into memory"),
  ({}, frj.ncf(dim=4, hidden=(4, 500)), "ncf.hidden=500 does not fit into memory: the model's"),
  ({"epochs": 900}, frj.mf(dim=1), "train.epochs=900 does not fit into memory: who takes part"),
  ({"num_negatives": 90, "clients_per_round": 1}, frj.mf(dim=1), "train.num_negatives=90 does not fit into memory: "),
  ({"num_negatives": 90}, frj.mf(dim=32), "train.num_negatives=90 does not fit into memory: what 12 clients"),
  ({}, frj.mf(dim=32), "mf.dim=32 does not fit into memory: what 12 clients upload"),
  ({}, frj.mf(dim=10), "train.clients_per_round=12 does not fit into memory: what 12 clients upload"),
])
def test_what_needs_most_is_named(small, monkeypatch, train, model, named):
  train = frj.TrainConfig(**({"epochs": 1} | train))
  total = sum(need.size for need in needs_of(small, model, train))
  monkeypatch.setattr(memory, "memory", lambda: total)
  check_memory(small, model, train)
  monkeypatch.setattr(memory, "memory", lambda: total - 1)
  with pytest.raises(frj.ConfigError) as caught:
    check_memory(small, model, train)
  assert str(caught.value).startswith(named) and "\n" not in str(caught.value)


def test_a_container_may_allow_less_than_the_machine_has(monkeypatch, tmp_path):
  whole = memory.memory()
  assert whole > 2**28
  (tmp_path / "limit").write_text("1000000\n")
  (tmp_path / "none").write_text("max\n")
  monkeypatch.setattr(memory, "_LIMITS", (str(tmp_path / "none"), str(tmp_path / "limit"), "/no/such/file"))
  assert memory.memory() == 1_000_000


def test_what_a_program_works_on_is_known_before_it_runs(monkeypatch):
  program = jax.jit(lambda row: jnp.sort(row[:, None] * row)[:, 0]).lower(jnp.ones(300)).compile()
  analysis = program.memory_analysis()
  size = analysis.argument_size_in_bytes + analysis.temp_size_in_bytes
  assert size >= (300 + 300 * 300) * 4
  monkeypatch.setattr(memory, "memory", lambda: size)
  check_program("training", program)
  monkeypatch.setattr(memory, "memory", lambda: size - 1)
  with pytest.raises(frj.ConfigError, match=r"^training does not fit into memory: its program works on 0\.0 GB"):
    check_program("training", program)
