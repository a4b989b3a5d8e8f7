"""Random rounds for rules that look at one item at a time.

Rows are small integers times 1/8: sums, distances and medians are then exact in float32, ties are
many, and the one division of a mean is all that rounds. Shapes are fixed, so that one program
serves all rounds of a rule.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from fedrecjax.types import ClientUpdates
from fedrecjax.uploads.rows import merge_rows
from tests.oracles import aggregation
from tests.support.views import defense_view

M, C, D, CAPACITY = 14, 150, 2, 1100
ROUNDS = 12  # of each variant, unless a test says otherwise
SIZES = [0, 1, 2, 3, 4, 5, 7, 8, 9, 16, 33, 64, 150]


@jax.jit
def aggregated(stages, uploads, clients, federation, malicious=0):
  """The dense update of all items that a defence's stages make of uploads."""
  filter_uploads, aggregate, init = stages
  uploads = merge_rows(uploads, M)
  view = defense_view(
    num_items=M, num_clients=C, clients=clients, federation=federation, malicious=malicious
  )
  state = init(jax.random.key(0), None)
  if filter_uploads is not None:
    uploads, state = filter_uploads(state, uploads, view)
  rows = aggregate(state, uploads, view)[0].items
  return jnp.zeros((M, D)).at[rows.item].add(rows.row, mode="drop")


@functools.cache
def random_round(seed):
  """Uploads with groups of very different sizes, a tenth of the rows in two parts, and unused
  places.
  """
  random = np.random.default_rng(seed)
  entries = []
  room = CAPACITY - 100
  for item in random.permutation(M):
    size = min(int(random.choice(SIZES)), room * 10 // 11)
    clients = random.choice(C, size, replace=False)
    for client in clients:
      row = random.integers(-3, 4, D) / 8 * (1 if random.random() < 0.8 else 100)
      entries.append((client, item, row))
      if random.random() < 0.1:
        entries.append((client, item, random.integers(-3, 4, D) / 8))
    room = CAPACITY - 100 - len(entries)
    if room < 20:
      break
  entries.sort(key=lambda entry: entry[0])
  client, item = np.zeros(CAPACITY, np.int32), np.full(CAPACITY, M, np.int32)
  row = np.full((CAPACITY, D), 7.5, np.float32)
  # Unused places anywhere; the places of one client still follow one another.
  places = np.sort(random.choice(CAPACITY, len(entries), replace=False))
  for place, (one, two, three) in zip(places, entries, strict=True):
    client[place], item[place], row[place] = one, two, three
  merged = {}
  for one, two, three in entries:
    merged[two, one] = merged.get((two, one), 0.0) + three
  grouped = aggregation.group_by_item([(one, two, three) for (two, one), three in merged.items()])
  rows = {item: np.array([one for _, one in group]) for item, group in grouped.items()}
  return ClientUpdates(*map(jnp.asarray, (client, item, row))), rows


def assert_matches(
  defense, rule, seeds=range(ROUNDS), clients=C, federation=1000, malicious=0
):
  stages = (defense.filter, defense.aggregate, defense.init)
  for seed in seeds:
    uploads, rows = random_round(seed)
    numbers = map(jnp.int32, (clients, federation, malicious))
    found = aggregated(stages, uploads, *numbers)
    expected = np.zeros((M, D))
    for item, group in rows.items():
      expected[item] = rule(group)
    # A bounded row is not exact: 150 of length 0.3 add up to 45, of which float32 keeps 4e-6.
    np.testing.assert_allclose(found, expected, rtol=2e-6, atol=4e-6, err_msg=f"round {seed}")
