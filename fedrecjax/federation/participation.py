"""Who takes part when: the rounds of a run, drawn on the host before training, and the capacities they imply."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np

from fedrecjax.clients.tiles import TILE_SAMPLES

Participation = Literal["shuffled", "uniform"]


class Rounds(NamedTuple):
  """The rounds of a run.

  Attributes:
    clients: client in each place, int32 `[rounds, C]`; `num_clients` (one past the last) where a place is empty.
    malicious: malicious client (0 = the first malicious one) in each of the A planned places, -1 where empty, int32
      `[rounds, A]`, in order of the round's places.
    slot: the place in `clients` of each of those, int32 `[rounds, A]`; 0 where empty.
    per_epoch: rounds in an epoch.
    pool: malicious clients whose honest uploads the attack is shown, int32 `[rounds, pool]`; None without a pool.
  """

  clients: np.ndarray
  malicious: np.ndarray
  slot: np.ndarray
  per_epoch: int
  pool: np.ndarray | None = None


def draw_rounds(
  seed: int, *, num_clients: int, num_benign: int, clients_per_round: int | Literal["all"], epochs: int,
  participation: Participation
) -> Rounds:
  """Draws the clients of every round.

  Args:
    seed: of the run. Each epoch has a stream of its own, so that a longer run begins like a shorter one.
    num_clients: benign and malicious clients together; malicious clients have the highest numbers.
    num_benign: benign clients.
    clients_per_round: C; "all" for everybody.
    epochs: number of epochs; one has as many rounds as it takes to visit every client once.
    participation: "shuffled" visits every client once per epoch, in batches of a new shuffle (the last may be
      short); "uniform" draws C different clients for each round.

  Returns:
    The rounds. No round of the run exceeds the capacity A, which is the same for most seeds; see
    :func:`sample_capacity`.
  """
  size = num_clients if clients_per_round == "all" else min(clients_per_round, num_clients)
  per_epoch = -(-num_clients // size)
  clients = np.full((epochs, per_epoch, size), num_clients, np.int32)
  for epoch in range(epochs):
    rng = np.random.default_rng([seed, epoch])
    if participation == "shuffled":
      clients[epoch].reshape(-1)[:num_clients] = rng.permutation(num_clients)
    else:
      for place in range(per_epoch):
        clients[epoch, place] = rng.choice(num_clients, size, replace=False)
  flat = clients.reshape(-1, size)
  is_malicious = (flat >= num_benign) & (flat < num_clients)
  counts = is_malicious.sum(axis=1)
  num_malicious = num_clients - num_benign
  capacity = _malicious_capacity(counts, num_clients, num_malicious, size)
  slot = np.argsort(~is_malicious, axis=1, kind="stable")[:, :capacity].astype(np.int32)
  slot = np.pad(slot, ((0, 0), (0, capacity - slot.shape[1])))
  filled = np.arange(capacity) < counts[:, None]
  malicious = np.where(filled, np.take_along_axis(flat, slot, axis=1) - num_benign, -1).astype(np.int32)
  return Rounds(flat, malicious, np.where(filled, slot, 0).astype(np.int32), per_epoch)


def attacking_from_to(rounds: Rounds, start: int, stop: int | None, *, absent: int | None) -> Rounds:
  """Leaves malicious clients out of rounds in which they do not attack.

  Args:
    rounds: from :func:`draw_rounds`.
    start: first epoch of the attack.
    stop: first epoch after it; None: it lasts.
    absent: number that stands for no client, if malicious clients are to be absent from other rounds; None if they
      take part in them as others do.
  """
  epoch = np.arange(len(rounds.clients)) // rounds.per_epoch
  outside = (epoch < start) | (epoch >= (np.inf if stop is None else stop))
  clients = rounds.clients
  if absent is not None:
    places = np.zeros(clients.shape, bool)
    row, column = np.nonzero((rounds.malicious >= 0) & outside[:, None])
    places[row, rounds.slot[row, column]] = True
    clients = np.where(places, np.int32(absent), clients)
  taken = (rounds.malicious >= 0) & ~outside[:, None]
  return rounds._replace(
    clients=clients, malicious=np.where(taken, rounds.malicious, np.int32(-1)), slot=np.where(taken, rounds.slot, 0)
  )


def draw_pool(rounds: Rounds, seed: int, *, size: int, num_malicious: int) -> Rounds:
  """Draws the malicious clients of every round's pool: `size` different ones, or all if there are no more."""
  size = min(size, num_malicious)
  rng = np.random.default_rng([seed, 2, 0])
  pool = np.stack([rng.permutation(num_malicious)[:size] for _ in range(len(rounds.clients))])
  return rounds._replace(pool=pool.astype(np.int32))


def _malicious_capacity(drawn: np.ndarray, num_clients: int, num_malicious: int, size: int) -> int:
  """Places for malicious clients: as many as the fullest of so many rounds is expected to have, or has.

  Attacks that upload all items fill every place, used or not, so that no more are planned than are likely to be used.
  The largest of R numbers with a normal distribution lies about sqrt(2 log R) standard deviations above their mean.

  Args:
    drawn: malicious clients in each round, int `[rounds]`.
    num_clients: of the federation.
    num_malicious: of those.
    size: clients in a round.
  """
  if num_malicious == 0:
    return 0
  share = num_malicious / num_clients
  spread = np.sqrt(size * share * (1 - share) * (num_clients - size) / max(num_clients - 1, 1))
  likely = min(int(size * share + np.sqrt(2 * np.log(len(drawn))) * spread), num_malicious, size)
  return _round_up(max(int(drawn.max(initial=0)), likely), smallest_step=2)


def sample_capacity(rounds: Rounds, lengths: np.ndarray) -> int:
  """Places planned for the training samples of a round.

  Args:
    rounds: from :func:`draw_rounds`.
    lengths: training samples of each client `[num_clients]`.

  Returns:
    A capacity that no round of the run exceeds. It is the same for most seeds: five standard deviations above the
    expected round, unless a round drawn needs more, rounded up by at most an eighth. One compiled program then
    serves a sweep over seeds.
  """
  return _capacity(rounds.clients, lengths)


def pool_capacity(rounds: Rounds, lengths: np.ndarray) -> int:
  """The same for the pool of an attack, whose members have `lengths` `[num_malicious]`; 0 without a pool."""
  return 0 if rounds.pool is None else _capacity(rounds.pool, lengths)


def malicious_capacity(rounds: Rounds, lengths: np.ndarray) -> int:
  """The same for the malicious clients of a round, who have `lengths` `[num_malicious]`."""
  return _capacity(rounds.malicious, lengths)


def _capacity(clients: np.ndarray, lengths: np.ndarray) -> int:
  total = len(lengths)
  size = min(clients.shape[1], total)
  needed = int(np.append(lengths, 0)[clients].sum(axis=1).max(initial=1))
  spread = lengths.std() * np.sqrt(size * (1 - size / total))
  likely = min(size * lengths.mean() + 5 * spread, np.sort(lengths)[-size:].sum())
  return _round_up(max(needed, int(likely)), smallest_step=256)


def tiles_needed(lengths: np.ndarray) -> np.ndarray:
  """Tiles of samples that clients of the given lengths fill, see :mod:`fedrecjax.clients.tiles`."""
  return -(-lengths // TILE_SAMPLES)


def _round_up(needed: int, *, smallest_step: int) -> int:
  """Rounds up to a multiple of an eighth of the power of two below, at least of `smallest_step`."""
  step = max(smallest_step, 2 ** max(needed.bit_length() - 4, 0))
  return -(-needed // step) * step
