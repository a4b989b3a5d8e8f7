"""Popular item mining: which items' embeddings moved most between a client's own participations.

Delta-Norm compares the table a client received with the one it received the time before. Clients of one round
received the same table, so a table is kept once per round and only as long as somebody still needs it; and clients
that first took part in the same rounds, a cohort, received the same tables and mine the same items.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from fedrecjax.clients.sampling import distinct_ranks
from fedrecjax.uploads.rows import row_norms

PLACES_STEP = 4
SNAPSHOT_LIMIT_BYTES = 4 * 2**30


class MiningPlan(NamedTuple):
  """What to keep and compare in each of the first L rounds.

  Cohorts are numbered by the round in which they finish and by the one before. Those that share both form a group:
  their last differences are the same. Arrays have room for as many cohorts and groups as there are clients, so that
  runs which differ in their seed alone have the same shapes.

  Attributes:
    store: place in which the round's table is kept, int32 `[L]`; the number of places if it is not.
    cohort: cohort of each client, int32 `[clients]`; the number of clients if it never finishes.
    first_group: first group that finishes in each round, int32 `[L + 1]`.
    previous: place of the table that each group received the time before, int32 `[clients]`.
    first_cohort: first cohort of each group, int32 `[clients + 1]`.
    earlier: places of the tables that each cohort received before that, oldest first, int32
      `[clients, differences - 1]`.
  """

  store: jax.Array
  cohort: jax.Array
  first_group: jax.Array
  previous: jax.Array
  first_cohort: jax.Array
  earlier: jax.Array


def first_participations(rounds: np.ndarray, num_clients: int, count: int) -> np.ndarray:
  """The rounds in which each client took part for the first `count` times.

  Args:
    rounds: client in each place of each round `[rounds, C]`; any other number where a place is empty.
    num_clients: number of clients.
    count: participations wanted.

  Returns:
    Rounds in ascending order `[clients, count]`, -1 where a client takes part less often.
  """
  history = np.full((num_clients, count), -1)
  seen = np.zeros(num_clients, np.int64)
  for number, places in enumerate(rounds):
    present = places[(places >= 0) & (places < num_clients)]
    early = present[seen[present] < count]
    history[early, seen[early]] = number
    seen[early] += 1
    if (seen == count).all():
      break
  return history


def assign_places(last_use: np.ndarray) -> tuple[np.ndarray, int]:
  """Finds a place for the table of each round.

  Args:
    last_use: round in which each round's table is read for the last time `[L]`, -1 if it is never read.

  Returns:
    The place of each round's table `[L]`, -1 if it needs none, and the number of places. A place is used again once
    nobody needs the table in it, from the round after on.
  """
  place = np.full(len(last_use), -1)
  places = 0
  free: list[int] = []
  freed_at: dict[int, list[int]] = {}
  for number, last in enumerate(last_use.tolist()):
    if last >= 0:
      if not free:
        free.append(places)
        places += 1
      place[number] = free.pop()
      freed_at.setdefault(last, []).append(int(place[number]))
    free.extend(freed_at.pop(number, []))
  return place, places


def plan_mining(rounds: np.ndarray, num_clients: int, differences: int) -> tuple[MiningPlan, int]:
  """Plans which tables to keep and what to compare; on the host, from the rounds drawn.

  Args:
    rounds: mining client in each place of each round `[rounds, C]`; any other number where a place is empty.
    num_clients: number of mining clients.
    differences: how many differences between consecutive participations each client adds up (R-tilde).

  Returns:
    The plan, and the number of tables kept at the same time, rounded up to a multiple of `PLACES_STEP`.
  """
  history = first_participations(rounds, num_clients, differences + 1)
  finishes = history[:, -1] >= 0
  backwards, member = np.unique(history[finishes][:, ::-1], axis=0, return_inverse=True)
  cohorts = backwards[:, ::-1]
  cohort = np.full(num_clients, num_clients)
  cohort[finishes] = member.reshape(-1)
  length = int(cohorts[:, -1].max(initial=-1)) + 1
  last_use = np.full(length, -1)
  for received in cohorts[:, :-1].T:
    np.maximum.at(last_use, received, cohorts[:, -1])
  place, places = assign_places(last_use)
  # Rounded up, so that runs which differ in their seed alone mostly share one compiled program.
  places = -(-places // PLACES_STEP) * PLACES_STEP
  begins = np.ones(len(cohorts), bool)
  begins[1:] = (cohorts[1:, -2:] != cohorts[:-1, -2:]).any(axis=1)
  begin = np.flatnonzero(begins)
  previous = np.zeros(num_clients, np.int64)
  previous[: len(begin)] = place[cohorts[begin, -2]]
  first_cohort = np.full(num_clients + 1, len(cohorts))
  first_cohort[: len(begin)] = begin
  earlier = np.zeros((num_clients, differences - 1), np.int64)
  earlier[: len(cohorts)] = place[cohorts[:, :-2]]
  plan = MiningPlan(
    store=jnp.asarray(np.where(place >= 0, place, places), jnp.int32),
    cohort=jnp.asarray(cohort, jnp.int32),
    first_group=jnp.asarray(np.searchsorted(cohorts[begin, -1], np.arange(length + 1)), jnp.int32),
    previous=jnp.asarray(previous, jnp.int32),
    first_cohort=jnp.asarray(first_cohort, jnp.int32),
    earlier=jnp.asarray(earlier, jnp.int32),
  )
  return plan, places


class MiningState(NamedTuple):
  """What mining clients remember.

  Attributes:
    plan: what to keep and compare.
    tables: tables kept, float32 `[places, M, d]`.
    handicap: what is added to each item's Delta-Norm, float32 `[M]`: -inf for items never to be mined, else 0.
    popular: each cohort's mined items, most popular first, int32 `[clients, N]`; meaningless before it has finished.
    mined: whether a cohort has finished mining, bool `[clients]`.
    arbitrary: items of each client, drawn at random, that can stand in for the popular ones until then, int32
      `[clients, N]`.
  """

  plan: MiningPlan
  tables: jax.Array
  handicap: jax.Array
  popular: jax.Array
  mined: jax.Array
  arbitrary: jax.Array


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
  own_arbitrary: bool = False,
) -> MiningState:
  """State before the first round.

  Args:
    key: for the arbitrary items that stand in for the popular ones before mining is finished.
    rounds: mining client in each place of each round `[rounds, C]`; any other number where a place is empty.
    num_clients: number of mining clients.
    num_items: M.
    dim: d.
    excluded: items never to be mined.
    num_popular: items to mine, N.
    differences: differences that each client adds up (R-tilde).
    own_arbitrary: whether each client has arbitrary items of its own; else all of a run have the same ones, as in the
      published code, where everybody sorts equal values alike.

  Raises:
    ValueError: if there are fewer than N items to choose from, or the tables to keep would take more than 4 GiB.
  """
  candidates = np.setdiff1d(np.arange(num_items), excluded)
  if num_popular > len(candidates):
    raise ValueError(f"num_popular={num_popular} items asked for, {len(candidates)} to choose from")
  plan, places = plan_mining(rounds, num_clients, differences)
  size = places * num_items * dim * 4
  if size > SNAPSHOT_LIMIT_BYTES:
    raise ValueError(
      f"popular item mining would keep {places} item tables ({size / 2**30:.1f} GiB): use fewer mining_differences,"
      " more train.clients_per_round, or train.participation=shuffled"
    )

  def draw(client: jax.Array) -> jax.Array:
    ranks = distinct_ranks(jax.random.fold_in(key, client), jnp.int32(len(candidates)), num_popular)
    return jnp.asarray(candidates, jnp.int32)[ranks]

  return MiningState(
    plan=plan,
    tables=jnp.zeros((places, num_items, dim), jnp.float32),
    handicap=jnp.zeros(num_items, jnp.float32).at[jnp.asarray(excluded, jnp.int32)].set(-jnp.inf),
    popular=jnp.zeros((num_clients, num_popular), jnp.int32),
    mined=jnp.zeros(num_clients, bool),
    arbitrary=jax.vmap(draw)(
      jnp.arange(num_clients, dtype=jnp.int32) if own_arbitrary else jnp.zeros(num_clients, jnp.int32)
    ),
  )


def mine(state: MiningState, table: jax.Array, number: jax.Array) -> MiningState:
  """One round of mining: keeps the received table if it will be needed, and mines for those who now can.

  Args:
    state: before the round.
    table: item embeddings that the round's clients received `[M, d]`.
    number: of the round, int32 scalar from 0.
  """
  plan = state.plan
  length = plan.store.shape[0]
  if length == 0:
    return state
  mining = number < length
  number = jnp.minimum(number, length - 1)

  # The table is kept before others are compared, never into a place that is still to be read in the round. In the
  # other order XLA sees a reader and a writer of the same buffer without an order between them and copies all tables
  # in every round, which at 40,000 items takes fifty times as long as the round itself.
  def keep(_: int, tables: jax.Array) -> jax.Array:
    return lax.dynamic_update_index_in_dim(tables, table, plan.store[number], 0)

  keeps = mining & (plan.store[number] < state.tables.shape[0])
  tables = lax.fori_loop(0, keeps.astype(jnp.int32), keep, state.tables)

  def mine_group(group: jax.Array, lists: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
    previous = plan.previous[group]
    last_difference = row_norms(table - tables[previous])

    def mine_cohort(cohort: jax.Array, lists: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
      popular, mined = lists
      moved = state.handicap
      for older, newer in itertools.pairwise([*plan.earlier[cohort], previous]):
        moved += row_norms(tables[newer] - tables[older])
      top = lax.top_k(moved + last_difference, popular.shape[1])[1]
      return popular.at[cohort].set(top.astype(jnp.int32)), mined.at[cohort].set(True)

    return lax.fori_loop(plan.first_cohort[group], plan.first_cohort[group + 1], mine_cohort, lists)

  begin, end = (jnp.where(mining, plan.first_group[number + step], 0) for step in (0, 1))
  popular, mined = lax.fori_loop(begin, end, mine_group, (state.popular, state.mined))
  return state._replace(tables=tables, popular=popular, mined=mined)


def popular_items(state: MiningState, clients: jax.Array) -> tuple[jax.Array, jax.Array]:
  """What clients hold to be popular.

  Args:
    state: after the round's mining.
    clients: int32 `[A]`; numbers past the last client stand for empty places.

  Returns:
    Their items, most popular first, int32 `[A, N]`, arbitrary ones for those who have not finished mining; and
    whether they have, bool `[A]`.
  """
  cohort = state.plan.cohort.at[clients].get(mode="fill", fill_value=state.mined.shape[0])
  mined = state.mined.at[cohort].get(mode="fill", fill_value=False)
  items = jnp.where(
    mined[:, None], state.popular.at[cohort].get(mode="clip"), state.arbitrary.at[clients].get(mode="clip")
  )
  return items, mined
