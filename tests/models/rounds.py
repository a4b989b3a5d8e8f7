"""Whole rounds of any base model beside a loop over clients."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import chex
import jax
import numpy as np

from fedrecjax.datasets import Dataset, ItemLists
from fedrecjax.simulation.planning import Run
from fedrecjax.simulation.round_clients import client_view, train
from fedrecjax.types import ClientUpdates
from tests.oracles import aggregation, krum
from tests.support.lockstep import pairs_of, round_input, simulated


class Gradients(NamedTuple):
  """What a client computes: its loss and gradients, rows by item, the shared parameters as a pytree.

  `sent` tells whether it uploads the shared ones at all.
  """

  loss: float
  private: np.ndarray
  rows: dict[int, np.ndarray]
  shared: Any
  sent: bool


# (own vector, item table, shared parameters, positives, negatives, neighbours' vectors) -> gradients
Client = Callable[..., Gradients]
# (gradients [n, size], samples [n]) -> [size]
Rule = Callable[[np.ndarray, np.ndarray], np.ndarray]

RULES: dict[str, Rule] = {
  "sum": lambda rows, samples: rows.sum(axis=0),
  "samples": lambda rows, samples: samples @ rows / samples.sum(),
  "median": lambda rows, samples: aggregation.median(rows, scale="sum"),
  "krum": lambda rows, samples: (
    len(rows)
    * (
      krum.krum(
        krum.pairwise(rows, squared=True),
        aggregation.trim_count(len(rows), "ratio_of_count", 0.25),
        rule="n-f-2",
      )
      @ rows
    )
  ),
}

# A tile holds 32 samples.
LENGTHS = (0, 1, 2, 31, 32, 33, 65, 3, 7, 2, 32)


def uneven(seed: int = 0, lengths: Sequence[int] = LENGTHS, num_items: int = 40) -> Dataset:
  """Clients of the given numbers of samples, drawn with repeats where there are at least three."""
  random = np.random.default_rng(seed)
  train = [random.choice(num_items, size, replace=size > 2) for size in lengths]
  # One item that everybody has, so that most clients meet; short lists with a repeat.
  for items in train:
    if len(items) > 2:
      items[1], items[-1] = 5, items[0]
  test = [random.choice(num_items, 1) for _ in lengths]
  return Dataset(
    "uneven", len(train), num_items, ItemLists.from_lists(train), ItemLists.from_lists(test)
  )


@functools.partial(jax.jit, static_argnames="structure")
def _uploads(structure: Any, run: Any, state: Any, inputs: Any) -> ClientUpdates:
  view = client_view(structure, run, state, inputs)
  return train(structure, run, state, view, inputs.clients >= structure.num_benign).uploads


def first_uploads(run: Run) -> ClientUpdates:
  """What the clients of the first round send if nobody attacks; as `honest_uploads`, compiled."""
  return _uploads(run.structure, run.constants, run.state, round_input(run, 0))


def as_doubles(tree: Any) -> Any:
  """A pytree of float64 NumPy arrays."""
  return jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), tree)


def neighbors_of(run: Run, users: np.ndarray, client: int, number: int) -> np.ndarray:
  """The vectors that a client has been given of others in a round `[k, d]`."""
  found = run.constants.data.training.neighbors
  if found is None or number < run.constants.numbers.neighbors_from:
    return users[:0]
  known = np.asarray(found)[client]
  return users[known[known < len(users)]]


def assert_rounds_match(
  run: Run,
  client: Client,
  rule: Rule = RULES["sum"],
  *,
  tolerance: float = 1e-4,
  rounds: int | None = None,
) -> None:
  """Runs rounds beside a loop over clients that carries its own state.

  `rule` applies to each item over the clients that sent it, and to each shared array.
  """
  users = as_doubles(run.state.private)
  table, shared = as_doubles(run.state.server.public)
  samples = np.asarray(run.constants.data.training.length, float)
  if run.structure.history > 0:
    samples = np.maximum(samples - 1, 0)  # the first item of a history is only read
  rates = np.broadcast_to(np.asarray(run.constants.numbers.client_learning_rate), len(users))
  rate = float(run.constants.numbers.learning_rate)
  for number, one in enumerate(simulated(run, rounds)):
    positives, negatives = pairs_of(run, number)
    clients = [int(c) for c in one.inputs.clients if c < run.structure.num_clients]
    computed = {
      c: client(
        users[c], table, shared, positives[c], negatives[c], neighbors_of(run, users, c, number)
      )
      for c in clients
    }
    moved, next_table = users.copy(), table.copy()
    for c, gradients in computed.items():
      moved[c] -= rates[c] * gradients.private
    uploads = [(c, item, row) for c in clients for item, row in computed[c].rows.items()]
    for item, sent in aggregation.group_by_item(uploads).items():
      weights = np.array([samples[c] for c, _ in sent])
      next_table[item] -= rate * rule(np.array([row for _, row in sent]), weights)
    senders = [c for c in clients if computed[c].sent]
    if senders and jax.tree.leaves(shared):

      def step(old: np.ndarray, *sent: np.ndarray, senders: list[int] = senders) -> np.ndarray:
        flat = np.array([leaf.reshape(-1) for leaf in sent])
        return old - rate * rule(flat, samples[senders]).reshape(old.shape)

      shared = jax.tree.map(step, shared, *(computed[c].shared for c in senders))
    users, table = moved, next_table
    public = one.after.server.public
    close = {"atol": tolerance, "rtol": tolerance}
    np.testing.assert_allclose(one.after.private, users, **close, err_msg=f"users {number}")
    np.testing.assert_allclose(public.items, table, **close, err_msg=f"items {number}")
    chex.assert_trees_all_close(public.shared, shared, **close, custom_message=f"shared {number}")
    np.testing.assert_allclose(one.loss, sum(c.loss for c in computed.values()), rtol=1e-4)
  assert not np.allclose(table, np.asarray(run.state.server.public.items), atol=10 * tolerance)


def locally(client: Client, steps: int, rate: float) -> Client:
  """A client that takes several steps on its own copies and uploads how far they went, by step."""

  def train(
    private: np.ndarray,
    table: np.ndarray,
    shared: Any,
    positives: np.ndarray,
    negatives: np.ndarray,
    neighbors: np.ndarray,
  ) -> Gradients:
    own, rows, parameters = private, table, shared
    first = None
    for _ in range(steps):
      now = client(own, rows, parameters, positives, negatives, neighbors)
      first = now if first is None else first
      own, rows = own - rate * now.private, rows.copy()
      for item, row in now.rows.items():
        rows[item] -= rate * row
      parameters = jax.tree.map(lambda old, step: old - rate * step, parameters, now.shared)
    assert first is not None
    return Gradients(
      loss=first.loss,
      private=(private - own) / rate,
      rows={item: (table[item] - rows[item]) / rate for item in first.rows},
      shared=jax.tree.map(lambda old, new: (old - new) / rate, shared, parameters),
      sent=first.sent,
    )

  return train
