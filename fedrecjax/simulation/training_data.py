"""Lists of items as what clients train on: samples with their negatives, laid out on the device."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from fedrecjax.clients.local_training import TrainingData
from fedrecjax.clients.sampling import complement_of, draw_negatives
from fedrecjax.config import TrainConfig
from fedrecjax.datasets import ItemLists

jitted_draw = jax.jit(draw_negatives, static_argnames=("count", "num_items"))


def training_data(
  lists: ItemLists, avoided: ItemLists, num_items: int, train: TrainConfig, key: jax.Array, *, history: int = 0
) -> TrainingData:
  """What the clients train on, on the device.

  Args:
    lists: training items of every client.
    avoided: items that each client's negatives are drawn outside of.
    num_items: M.
    train: how negatives are drawn, and what is done with repeated items.
    key: of negatives that are drawn once.
    history: L of models that read a user's items in order, which keep the last L + 1; 0 for others.
  """
  complement = complement_of(lists)
  for_negatives = complement if avoided is lists else complement_of(avoided)
  if history > 0:
    lists = latest(lists, history + 1)
  users = np.repeat(np.arange(len(lists)), lists.lengths)
  positive = jnp.asarray(lists.items, jnp.int32)
  negatives = uploaded = None
  if train.negatives == "once":
    offset = np.arange(len(users)) - lists.indptr[users]
    negatives = jitted_draw(key, for_negatives, jnp.asarray(users, jnp.int32), jnp.asarray(offset, jnp.int32),
                     count=train.num_negatives, num_items=num_items)
    if train.duplicates == "first":
      items = np.concatenate([lists.items[:, None], np.asarray(negatives)], axis=1)
      pairs = (np.repeat(users, items.shape[1]).astype(np.int64) * num_items + items.reshape(-1))
      first = np.zeros(pairs.size, bool)
      first[np.unique(pairs, return_index=True)[1]] = True
      uploaded = jnp.asarray(np.where(first.reshape(items.shape), items, num_items), jnp.int32)
  start, length = (jnp.asarray(array, jnp.int32) for array in (lists.indptr[:-1], lists.lengths))
  return TrainingData(start, length, positive, negatives, uploaded, complement, for_negatives)


def held_items(lists: ItemLists, data: TrainingData, num_items: int) -> tuple[np.ndarray, np.ndarray]:
  """The different items of each client's samples, as `DefenseContext.indptr` and `held`."""
  assert data.negatives is not None
  users = np.repeat(np.arange(len(lists)), lists.lengths)
  items = np.concatenate([lists.items[:, None], np.asarray(data.negatives)], axis=1)
  pairs = np.unique(users.repeat(items.shape[1]).astype(np.int64) * num_items + items.reshape(-1))
  return np.searchsorted(pairs, np.arange(len(lists) + 1, dtype=np.int64) * num_items), pairs % num_items


def latest(lists: ItemLists, count: int) -> ItemLists:
  """The last `count` items of each list.

  >>> latest(ItemLists.from_lists([[4, 2, 7], [5]]), 2).items.tolist()
  [2, 7, 5]
  """
  kept = np.concatenate([np.arange(max(end - count, start), end) for start, end in zip(lists.indptr, lists.indptr[1:])])
  indptr = np.concatenate([[0], np.cumsum(np.minimum(lists.lengths, count))])
  return ItemLists(indptr, lists.items[kept.astype(np.int64)])
