"""Neighbours: other users with whom a client shares an item, as FedGNN's graph expansion finds them (host side)."""

from __future__ import annotations

import numpy as np

from fedrecjax.datasets import ItemLists


def draw_neighbors(lists: ItemLists, count: int, num_items: int, seed: int) -> np.ndarray:
  """Draws neighbours of every client: an item of its own, then another client that has it, `count` times.

  Who matches whom is all that is simulated of the encrypted exchange.

  Args:
    lists: items of every client.
    count: draws per client, K.
    num_items: M.
    seed: of the run.

  Returns:
    Clients, int32 `[clients, K]`; the number of clients where a draw met the client itself or somebody drawn before.
  """
  rng = np.random.default_rng([seed, 3])
  clients = len(lists)
  by_item = np.argsort(lists.items, kind="stable")
  holders = np.bincount(lists.items, minlength=num_items)
  start = np.cumsum(holders) - holders
  owners = lists.users[by_item]
  lengths = np.maximum(lists.lengths, 1)[:, None]
  place = np.minimum(lists.indptr[:-1, None] + (rng.random((clients, count)) * lengths).astype(np.int64),
                     max(len(lists.items) - 1, 0))
  item = lists.items[place]
  found = owners[start[item] + (rng.random(item.shape) * holders[item]).astype(np.int64)].astype(np.int32)
  found[(found == np.arange(clients)[:, None]) | (lists.lengths[:, None] == 0)] = clients
  found.sort(axis=1)
  found[:, 1:][found[:, 1:] == found[:, :-1]] = clients
  return np.sort(found, axis=1)
