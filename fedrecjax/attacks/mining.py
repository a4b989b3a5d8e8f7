"""Popular item mining: which items' embeddings moved most between a client's own participations.

Delta-Norm compares the table a client received with the one it received the time before. Clients of one round
received the same table, so a table is kept once per round and only as long as somebody still needs it.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from fedrecjax.sampling import distinct_ranks
from fedrecjax.types import AttackView
from fedrecjax.uploads import row_norms

PLACES_STEP = 4
SNAPSHOT_LIMIT_BYTES = 4 * 2**30


class MiningPlan(NamedTuple):
  """What to keep and compare in each of the first R rounds; made on the host from the rounds drawn.

  Attributes:
    store: place in which the round's table is kept, int32 `[R]`; `places` if it is not.
    compare: number of clients that compare tables in the round, int32 `[R]`.
    client: those clients, int32 `[R, A]`.
    previous: place of the table that each of them received the time before, int32 `[R, A]`.
    done: whether the comparison is its last, bool `[R, A]`.
    places: number of tables kept at the same time, rounded up to a multiple of `PLACES_STEP`.
  """

  store: np.ndarray
  compare: np.ndarray
  client: np.ndarray
  previous: np.ndarray
  done: np.ndarray
  places: int


def plan_mining(rounds: np.ndarray, num_clients: int, differences: int) -> MiningPlan:
  """Plans which tables to keep.

  Args:
    rounds: mining client in each place of each round, or -1, `[rounds, A]`.
    num_clients: number of mining clients.
    differences: how many differences between consecutive participations each client adds up (R-tilde).

  Returns:
    The plan; a place is used again once nobody needs the table in it.
  """
  seen = np.zeros(num_clients, np.int64)
  last_round = np.full(num_clients, -1)
  comparisons: list[list[tuple[int, int, bool]]] = []
  last_use: dict[int, int] = {}
  for number, clients in enumerate(rounds):
    comparisons.append([])
    for client in clients[clients >= 0]:
      if seen[client] > differences:
        continue
      if seen[client] > 0:
        comparisons[number].append((client, last_round[client], seen[client] == differences))
        last_use[last_round[client]] = number
      last_round[client] = number
      seen[client] += 1
  length = max(last_use.values(), default=-1) + 1
  free: list[int] = []
  place_of: dict[int, int] = {}
  places = 0
  freed_at: dict[int, list[int]] = {}
  for number in range(length):
    if number in last_use:
      if not free:
        free.append(places)
        places += 1
      place_of[number] = free.pop()
      freed_at.setdefault(last_use[number], []).append(place_of[number])
    free.extend(freed_at.pop(number, []))
  # Rounded up, so that runs which differ in their seed alone mostly share one compiled program.
  places = -(-places // PLACES_STEP) * PLACES_STEP
  store = np.full(length, places, np.int32)
  for number, place in place_of.items():
    store[number] = place
  shape = (length, rounds.shape[1])
  plan = MiningPlan(
    store, np.zeros(length, np.int32), np.zeros(shape, np.int32), np.zeros(shape, np.int32), np.zeros(shape, bool),
    places,
  )
  for number in range(length):
    plan.compare[number] = len(comparisons[number])
    for position, (client, previous, done) in enumerate(comparisons[number]):
      plan.client[number, position] = client
      plan.previous[number, position] = place_of[previous]
      plan.done[number, position] = done
  return plan


class MiningState(NamedTuple):
  """What mining clients remember.

  Attributes:
    plan: the plan's arrays on the device.
    tables: tables kept, float32 `[places, M, d]`.
    moved: Delta-Norm added up so far for each client and item, float32 `[clients, M]`.
    popular: each client's mined items, most popular first, int32 `[clients, N]`; before mining is finished, items
      drawn at random.
    mined: whether a client has finished mining, bool `[clients]`.
  """

  plan: tuple[jax.Array, ...]
  tables: jax.Array
  moved: jax.Array
  popular: jax.Array
  mined: jax.Array


def init_mining(
  key: jax.Array,
  *,
  rounds: np.ndarray,
  num_clients: int,
  num_items: int,
  dim: int,
  excluded: np.ndarray,
  num_popular: int,
  differences: int,
) -> MiningState:
  """State before the first round.

  Args:
    key: for the arbitrary items that stand in for the popular ones before mining is finished.
    rounds: mining client in each place of each round, or -1, `[rounds, A]`.
    num_clients: number of mining clients.
    num_items: M.
    dim: d.
    excluded: items never to be mined (the targets).
    num_popular: items to mine, N.
    differences: differences that each client adds up (R-tilde).

  Raises:
    ValueError: if there are fewer than N items to choose from, or the tables to keep would take more than 4 GiB.
  """
  candidates = np.setdiff1d(np.arange(num_items), excluded)
  if num_popular > len(candidates):
    raise ValueError(f"num_popular={num_popular} items asked for, {len(candidates)} to choose from")
  plan = plan_mining(rounds, num_clients, differences)
  size = plan.places * num_items * dim * 4
  if size > SNAPSHOT_LIMIT_BYTES:
    raise ValueError(
      f"popular item mining would keep {plan.places} item tables ({size / 2**30:.1f} GiB): use fewer malicious"
      " clients, fewer mining_differences, or train.participation=shuffled"
    )

  def arbitrary(client: jax.Array) -> jax.Array:
    ranks = distinct_ranks(jax.random.fold_in(key, client), jnp.int32(len(candidates)), num_popular)
    return jnp.asarray(candidates, jnp.int32)[ranks]

  return MiningState(
    plan=tuple(jnp.asarray(array) for array in plan[:-1]),
    tables=jnp.zeros((plan.places, num_items, dim)),
    moved=jnp.zeros((num_clients, num_items)).at[:, excluded].set(-jnp.inf),
    popular=jax.vmap(arbitrary)(jnp.arange(num_clients)),
    mined=jnp.zeros(num_clients, bool),
  )


def mine(state: MiningState, view: AttackView) -> MiningState:
  """One round of mining: compares the received table with those kept, then keeps it if it will be needed."""
  store, compare, client, previous, done = state.plan
  length = store.shape[0]
  if length == 0:
    return state
  table = view.public.items
  number = jnp.minimum(view.round, length - 1)
  mining = view.round < length

  # The table is kept before others are compared, never into a place that is still to be read in the round. In the
  # other order XLA sees a reader and a writer of the same buffer without an order between them and copies all tables
  # in every round, which at 40,000 items takes fifty times as long as the round itself.
  def keep(_: int, tables: jax.Array) -> jax.Array:
    return lax.dynamic_update_index_in_dim(tables, table, store[number], 0)

  keeps = mining & (store[number] < state.tables.shape[0])
  tables = lax.fori_loop(0, keeps.astype(jnp.int32), keep, state.tables)

  def compare_one(position: jax.Array, carry: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
    moved, popular, mined = carry
    who, finished = client[number, position], done[number, position]
    total = moved[who] + row_norms(table - tables[previous[number, position]])
    top = lax.top_k(total, popular.shape[1])[1].astype(jnp.int32)
    return (
      moved.at[who].set(total),
      popular.at[jnp.where(finished, who, popular.shape[0])].set(top, mode="drop"),
      mined.at[who].set(finished),
    )

  comparisons = jnp.where(mining, compare[number], 0)
  moved, popular, mined = lax.fori_loop(0, comparisons, compare_one, (state.moved, state.popular, state.mined))
  return state._replace(tables=tables, moved=moved, popular=popular, mined=mined)
