"""Random rounds for rules over whole uploads, as the simulator has them and as the oracle does.

Rows are small integers times 1/8, some of them a hundred times as large: sums, products, squared
distances and medians are then exact in float32, and ties are many. Shapes are fixed, so that one
program serves all rounds.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from fedrecjax.types import ClientUpdates, DefenseView
from tests.oracles import whole_uploads
from tests.support.views import defense_view

M, C, D, CAPACITY = 13, 150, 2, 2300
SIZES = [0, 0, 1, 2, 3, 4, 5, 8, 9, 17, 33, 64, 65, 150]


class Round(NamedTuple):
  """One round.

  Attributes:
    uploads: in a number of pieces, with unused places of any content among them.
    clients: how many clients take part: those in places 0..clients-1.
    vectors: the oracle's whole uploads [clients, M * D].
    twins: places of clients whose uploads are identical, or none.
  """

  uploads: ClientUpdates
  clients: int
  vectors: np.ndarray
  twins: np.ndarray


@functools.cache
def random_round(seed: int, clients: int | None = None, far: float = 100) -> Round:
  """A round with items of very different numbers of clients, identical clients, and clients that
  send every item or nothing; a fifth of the rows is `far` times as large.
  """
  random = np.random.default_rng(seed)
  if clients is None:
    clients = int(random.choice([1, 2, 3, 7, 30, 100, 149, 150]))
  sent = np.zeros((clients, M), bool)
  # Every twentieth round is empty.
  for item in range(M if seed % 20 else 0):
    size = min(int(random.choice(SIZES)), clients)
    sent[random.choice(clients, size, replace=False), item] = True
  if seed % 20 and seed % 3 == 0:
    sent[random.choice(clients, min(2, clients), replace=False)] = True
  rows = random.integers(-3, 4, (clients, M, D)) / 8
  rows *= np.where(random.random((clients, M, 1)) < 0.8, 1, far)
  twins = random.choice(clients, min(int(random.integers(0, 14)), clients), replace=False)
  if twins.size:
    sent[twins], rows[twins] = sent[twins[0]], rows[twins[0]]
  # Clients in any order, as benign uploads may come before malicious ones.
  entries = [
    (client, item, rows[client, item])
    for client in random.permutation(clients)
    for item in np.flatnonzero(sent[client])
  ]
  vectors = whole_uploads.dense(entries, range(clients), M, D)
  # A tenth of the rows comes in two parts. Twins are not split: their parts might add up otherwise.
  pieces = []
  for client, item, row in entries:
    part = random.integers(-3, 4, D) / 8
    split = random.random() < 0.1 and client not in twins
    pieces += [(client, item, row - part), (client, item, part)] if split else [(client, item, row)]
  client, item = random.integers(0, C, CAPACITY, np.int32), np.full(CAPACITY, M, np.int32)
  row = np.full((CAPACITY, D), 7.5, np.float32)
  places = np.sort(random.choice(CAPACITY, len(pieces), replace=False))
  if pieces:
    client[places], item[places], row[places] = zip(*pieces, strict=True)
  return Round(ClientUpdates(client, item, row), clients, vectors, twins)


def stacked(rounds: list[Round]) -> ClientUpdates:
  """Uploads of several rounds, one after another."""
  return ClientUpdates(
    *(jnp.asarray(np.stack(parts)) for parts in zip(*(one.uploads[:3] for one in rounds), strict=True))
  )


def view_of(clients: jax.Array, federation: int = 1000) -> DefenseView:
  """What a defence sees in such a round."""
  return defense_view(
    num_items=M,
    num_clients=C,
    clients=clients,
    items=jnp.zeros((M, D)),
    federation=jnp.int32(federation),
  )
