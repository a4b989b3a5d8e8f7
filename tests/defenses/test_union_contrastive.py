"""UNION's contrastive task against its oracle: gradients, draws, and what clients send."""

import functools
import zlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from fedrecjax import defenses
from fedrecjax.config import ConfigError, TrainConfig
from fedrecjax.datasets import Dataset, ItemLists
from fedrecjax.defenses import contrastive
from fedrecjax.simulation.round_clients import client_view
from fedrecjax.types import Public
from tests.oracles import union as oracle
from tests.support.lockstep import honest_uploads, make_run, round_input

X = 6
TASK = {"weight": 1.0, "count": X, "temperature": 1.0, "normalized": False, "mean": True}


@functools.partial(
  jax.jit, static_argnames=("structure", "count", "normalized", "mean", "block", "extra")
)
def task(
  run, state, inputs, weight, temperature, *, structure, count, normalized, mean, block, extra
):
  """The term, the draws and the view of a round; `extra` is added to the planned places."""
  del block  # a part of the program, which tests change in the module
  structure = structure._replace(capacity=structure.capacity + extra)
  view = client_view(structure, run, state, inputs)
  view = view._replace(key=jax.random.fold_in(view.key, zlib.crc32(b"union")))  # as in a chain
  places = jnp.arange(view.samples.positive.shape[0], dtype=jnp.int32)
  term = contrastive.contrastive_term(
    view, weight=weight, count=count, temperature=temperature, normalized=normalized, mean=mean
  )
  return term, contrastive.draw_contrasts(view, places, count), view._replace(num_items=0)


def round_of(run, clients):
  """The round's input with these clients, in this order; -1 is an empty place."""
  clients = np.where(np.array(clients) < 0, run.structure.num_clients, clients)
  return round_input(run, 0)._replace(clients=jnp.asarray(clients, jnp.int32))


def term_of(run, clients, *, extra=0, **options):
  options = TASK | options
  term, drawn, view = task(
    run.constants,
    run.state,
    round_of(run, clients),
    options.pop("weight"),
    options.pop("temperature"),
    structure=run.structure,
    block=contrastive.BLOCK,
    extra=extra,
    **options,
  )
  return jax.tree.map(np.asarray, (term, drawn, view._replace(key=0)))


def assert_matches_oracle(run, clients, **options):
  """Checks every client's loss and gradient; returns how often a client drew a negative again."""
  options = TASK | options
  term, drawn, view = term_of(run, clients, **options)
  samples, table = view.samples, np.asarray(view.public.items, float)
  num_items = len(table)
  repeated = 0
  for place in range(len(clients)):
    mine = np.flatnonzero(samples.valid & (samples.client == place))
    positives = samples.positive[mine].tolist()
    negatives = [[int(j) for j in drawn.negatives[one] if j < num_items] for one in mine]
    expected_loss, expected = oracle.contrastive_task(
      table,
      positives,
      [int(drawn.partner[one] - mine[0]) for one in mine],
      negatives,
      weight=options["weight"],
      temperature=options["temperature"],
      normalized=options["normalized"],
      reduction="mean" if options["mean"] else "sum",
    )
    found = np.zeros_like(table)
    np.add.at(found, positives, term.rows[mine, 0])
    used = term.items[mine] < num_items
    np.add.at(found, term.items[mine][used], term.item_rows[mine][used])
    assert (len(mine) > 1) == bool(used.any())
    dense = np.zeros_like(table)
    for item, row in expected.items():
      dense[item] = row
    np.testing.assert_allclose(found, dense, atol=2e-6 * max(1.0, np.abs(dense).max()))
    np.testing.assert_allclose(term.loss[place], expected_loss, rtol=1e-5, atol=1e-7)
    flat = [item for one in negatives for item in one]
    repeated += len(flat) - len(set(flat)) if used.any() else 0
  assert not term.rows[:, 1:].any() and term.private is None
  assert (term.items[~samples.valid] == num_items).all()
  return repeated


# Client 0 has a single item, 1 and 3 repeat items, 3 nothing but one item twice.
ROUNDS = {
  "five": [0, 1, 3, 4, 11],
  "one": [7],
  "one without a task": [0],
  "empty places": [-1, 2, -1, 10, -1],
  "nobody": [-1, -1],
  "everybody": list(range(12)),
}


@pytest.mark.parametrize("clients", ROUNDS.values(), ids=ROUNDS)
def test_contrastive_gradients_match_the_oracle(small, clients):
  repeated = assert_matches_oracle(make_run(small), clients)
  assert repeated > 0 or len(clients) < 5 or -1 in clients


@pytest.mark.parametrize("mean", [True, False])
@pytest.mark.parametrize("normalized", [False, True])
def test_readings_of_the_contrastive_task(small, normalized, mean):
  run = make_run(small)
  assert_matches_oracle(
    run, ROUNDS["five"], weight=0.3, temperature=0.5, normalized=normalized, mean=mean
  )


def test_a_zero_row_has_no_direction(small):
  run = make_run(small)
  server = run.state.server
  zeroed = server.public.items.at[jnp.array([1, 9, 20])].set(0.0)
  state = run.state._replace(server=server._replace(public=Public(zeroed, ())))
  assert_matches_oracle(run._replace(state=state), ROUNDS["everybody"], normalized=True)


@pytest.mark.parametrize("extra", [0, 5, 77])
def test_anchors_in_several_blocks(small, monkeypatch, extra):
  # The last block is not full, and with unused places it is not reached.
  run = make_run(small)
  whole, *_ = term_of(run, ROUNDS["everybody"], extra=extra)
  monkeypatch.setattr(contrastive, "BLOCK", 16)
  blocks, *_ = term_of(run, ROUNDS["everybody"], extra=extra)
  np.testing.assert_array_equal(whole.items, blocks.items)
  for one, two in ((whole.loss, blocks.loss), (whole.rows, blocks.rows)):
    np.testing.assert_allclose(one, two, atol=1e-6)
  used = whole.items < 30
  np.testing.assert_allclose(whole.item_rows[used], blocks.item_rows[used], atol=1e-6)


def by_client(run, clients, **options):
  """Loss, items and rows of each client's samples, by client."""
  term, drawn, view = term_of(run, clients, **options)
  found = {}
  for place, client in enumerate(clients):
    mine = view.samples.valid & (view.samples.client == place)
    first = np.argmax(mine)
    arrays = (drawn.partner - first, term.rows, term.items, term.item_rows)
    found[client] = (term.loss[place], *(array[mine] for array in arrays))
  return found


def test_a_client_draws_the_same_in_any_company(small):
  run = make_run(small)
  alone = by_client(run, [10])[10]
  for clients in ([10, 4, -1], [-1, 9, 8, 10], [3, 10]):
    for one, two in zip(alone, by_client(run, clients, extra=31)[10], strict=True):
      np.testing.assert_allclose(one, two, atol=1e-6)


def test_draws_are_uniform(small):
  run = make_run(small)
  inputs = round_of(run, [5, 2])
  lists = small.train.items[small.train.indptr[2] : small.train.indptr[3]]

  @jax.jit
  def draw(constants, state, key):
    view = client_view(run.structure, constants, state, inputs)._replace(key=key)
    places = jnp.arange(2, 5, dtype=jnp.int32)  # of client 2, after the two of client 5
    return contrastive.draw_contrasts(view, places, 4)

  rounds = 3000
  drawn = jax.lax.map(
    lambda key: draw(run.constants, run.state, key), jax.random.split(jax.random.key(1), rounds)
  )
  partner, negatives = np.asarray(drawn.partner), np.asarray(drawn.negatives)
  for anchor in range(3):
    counts = np.bincount(partner[:, anchor] - 2, minlength=3)
    assert counts[anchor] == 0 and counts.sum() == rounds
    assert stats.binomtest(int(counts[anchor - 1]), rounds, 0.5).pvalue > 1e-6
  ordered = np.sort(negatives, axis=2)
  assert (ordered[..., 1:] > ordered[..., :-1]).all()
  counts = np.bincount(negatives.reshape(-1), minlength=30)
  assert not counts[lists].any()
  outside = np.setdiff1d(np.arange(30), lists)
  assert stats.chisquare(counts[outside]).pvalue > 1e-6
  # Anchors, and rounds, draw apart from each other.
  assert (ordered[:, 0] != ordered[:, 1]).any(axis=1).mean() > 0.9
  assert (ordered[1:, 0] != ordered[:-1, 0]).any(axis=1).mean() > 0.9


def test_a_client_with_few_items_outside_takes_all_of_them():
  train = ItemLists.from_lists([[0, 1, 2, 3, 5, 6, 7, 9], [4, 8], list(range(9))])
  run = make_run(Dataset("crowded", 3, 10, train, ItemLists.from_lists([[4], [0], []])))
  _, drawn, view = term_of(run, [0, 1, 2], count=5)
  drawn = [drawn.negatives[view.samples.valid & (view.samples.client == place)] for place in (0, 2)]
  assert (np.sort(drawn[0]) == [4, 8, 10, 10, 10]).all()
  assert (np.sort(drawn[1]) == [9, 10, 10, 10, 10]).all()
  assert_matches_oracle(run, [2, 1], count=5)


def test_benign_clients_send_the_gradient_of_both_losses(small):
  """The engine adds the term's rows to those of the recommendation loss, for benign clients."""
  options = {"train": TrainConfig(epochs=1, clients_per_round=12)}
  plain, with_task = (
    make_run(small, defense=defense, **options)
    for defense in (defenses.none(), defenses.union(num_contrastive=X, num_sampled=5))
  )
  inputs = round_of(plain, range(12))
  term, _, view = term_of(plain, list(range(12)))

  def table_of(run):
    uploads = honest_uploads(run, run.state, inputs)
    table = np.zeros((12, 30, 4))
    client, item, row = (np.asarray(part) for part in uploads[:3])
    np.add.at(table, (client[item < 30], item[item < 30]), row[item < 30])
    return table

  added = np.zeros((12, 30, 4))
  valid, client = view.samples.valid, view.samples.client
  np.add.at(added, (client[valid], view.samples.positive[valid]), term.rows[valid, 0])
  places = np.broadcast_to(client[:, None], term.items.shape)
  used = term.items < 30
  np.add.at(added, (places[used], term.items[used]), term.item_rows[used])
  assert np.abs(added).max() > 0.05
  np.testing.assert_allclose(table_of(with_task) - table_of(plain), added, atol=1e-6)


def test_a_catalogue_without_enough_negatives(small):
  with pytest.raises(ConfigError, match=r"union\.num_contrastive = 30 .* there are 30"):
    make_run(small, defense=defenses.union(num_contrastive=30))
  assert make_run(small, defense=defenses.union(num_contrastive=29)) is not None
