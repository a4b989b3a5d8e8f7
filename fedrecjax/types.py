"""The vocabulary: what the parts of a simulation hand to each other.

Shapes use C clients in a round, M items, N users, d embedding size, T target items, A malicious clients in a
round (a planned capacity, unused places masked), E uploaded rows (likewise).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

State = Any  # a pytree of arrays, private to the method that made it
Array = jax.Array


class Public(NamedTuple):
  """What the server holds and sends to every client of a round.

  Attributes:
    items: item embeddings, float32 `[M, d]`.
    shared: every other parameter, a pytree; `()` for models that have none.
  """

  items: Array
  shared: Any


class Model(NamedTuple):
  """A base recommender; make one with a constructor such as :func:`fedrecjax.mf`.

  Attributes:
    init_public: `(key, num_items) -> Public`.
    init_private: `key -> private`, the part that one user keeps to itself, float32 `[d]`.
    score: `(public, private, history, items) -> logits`; `items` is int32 `[K]` or None for all M, `history` the
      user's training items (unused by models with a private vector), the result float32 `[K]` or `[M]`.
    score_row: `(private, row, shared) -> logit` for models in which the score of an item depends on its own row
      alone. It lets a round be computed over the pairs that exist instead of over padded clients.
  """

  init_public: Callable[[Array, int], Public]
  init_private: Callable[[Array], Array]
  score: Callable[[Public, Array, Any, Array | None], Array]
  score_row: Callable[[Array, Array, Any], Array]


class Loss(NamedTuple):
  """A loss over one positive item and its negatives.

  Attributes:
    sample: `(positive_logit [], negative_logits [q]) -> loss []`.
    terms: number of terms that one positive with q negatives contributes, by which a mean divides.
  """

  sample: Callable[[Array, Array], Array]
  terms: Callable[[int], int]


class ClientUpdates(NamedTuple):
  """Uploads of a round as sparse item rows at a fixed capacity E.

  A place is unused where `item == M`; its other fields are then meaningless. Rows of one client for one item may
  stand in several places: the client's row is then their sum (see :func:`fedrecjax.uploads.merge_rows`). The
  places of one client follow one another, or are in order of items.

  Attributes:
    client: place of the client within the round, int32 `[E]`, 0..C-1.
    item: item id, int32 `[E]`, 0..M-1, or M where unused.
    row: gradient with respect to the item's embedding, float32 `[E, d]`.
  """

  client: Array
  item: Array
  row: Array


class ItemRows(NamedTuple):
  """An update of the item table as rows to be added up; unused places have `item == M`.

  Attributes:
    item: int32 `[E]`.
    row: float32 `[E, d]`, in gradient direction (the server subtracts it).
  """

  item: Array
  row: Array


class AttackContext(NamedTuple):
  """What an attack is given before training. Host arrays; nothing in it depends on benign data unless granted.

  Attributes:
    num_items: M.
    num_malicious: number of malicious clients in the run.
    targets: item ids to promote, int32 `[T]`.
    dim: d.
    rounds: malicious client (0..num_malicious-1, or -1 for none) in each of the A places of each round, int32
      `[rounds, A]`. Used to size what an attack stores; the simulated attacker does not act on it.
    popularity: interactions of each item in the training data `[M]`, or None unless the attack requires
      `"popularity"`.
  """

  num_items: int
  num_malicious: int
  targets: np.ndarray
  dim: int
  rounds: np.ndarray
  popularity: np.ndarray | None


class AttackView(NamedTuple):
  """What the attacker sees in one round.

  Attributes:
    public: the parameters that the round's clients received.
    round: int32 scalar from 0.
    client: malicious client in each place, int32 `[A]`; num_malicious where the place is empty.
    active: whether the place holds a client, bool `[A]`.
    slot: the client's place among all C clients of the round, int32 `[A]`.
    targets: int32 `[T]`.
    learning_rate: the step size that the server announces, float32 scalar.
    benign: all benign uploads of the round, or None unless the attack requires `"benign_uploads"`.
  """

  public: Public
  round: Array
  client: Array
  active: Array
  slot: Array
  targets: Array
  learning_rate: Array
  benign: ClientUpdates | None


def no_state(key: Array, context: Any) -> tuple[()]:
  """The `init` of a method without state."""
  del key, context
  return ()


class Attack(NamedTuple):
  """An attack, in the manner of an optax transformation.

  Attributes:
    poison: `(state, uploads, view, key) -> (uploads, state)`; `uploads` are what the malicious clients would send
      if they behaved (unused places only, when they have no data). None for an attack that only poisons data.
    init: `(key, context) -> state`, run once before training.
    profiles: `(rng, context) -> one item list per malicious client`: the data that malicious clients train on.
      None if they have none.
    requires: what the attack must be granted: any of `"popularity"`, `"benign_uploads"`. The simulator grants no
      more than is named here.
  """

  poison: Callable[[State, ClientUpdates, AttackView, Array], tuple[ClientUpdates, State]] | None = None
  init: Callable[[Array, AttackContext], State] = no_state
  profiles: Callable[[np.random.Generator, AttackContext], list[np.ndarray]] | None = None
  requires: frozenset[str] = frozenset()


class DefenseContext(NamedTuple):
  """What a defence is given before training, all of it known to an honest server.

  Attributes:
    num_items: M.
    dim: d.
    num_clients: clients in a full round, C.
  """

  num_items: int
  dim: int
  num_clients: int


class DefenseView(NamedTuple):
  """What a defence may read in one round. Which clients are malicious is not part of it.

  Attributes:
    public: the parameters before the server's step.
    round: int32 scalar from 0.
    num_items: M, static.
    num_clients: C, static.
    clients: clients that take part in the round, int32 scalar (the last round of an epoch may be short).
    federation: clients in the whole federation, int32 scalar.
  """

  public: Public
  round: Array
  num_items: int
  num_clients: int
  clients: Array
  federation: Array


class Defense(NamedTuple):
  """A defence: any of its stages may be absent. :func:`fedrecjax.chain` composes them.

  Attributes:
    client_transform: `(uploads, clients, key) -> uploads`: what benign clients do to their rows before they send
      them; `clients` names the client in each place of the round, int32 `[C]`.
    filter: `(state, uploads, view) -> (uploads, state)`: the server drops uploads (`item = M`) or rescales them.
    aggregate: `(state, uploads, view) -> (item rows, state)`: the rule that makes one update of many.
    init: `(key, context) -> state`, shared by the stages.
    unique_rows: whether `filter` or `aggregate` needs one row per client and item, in order of items, unused places
      last; the simulator sees to it before each of the two.
  """

  client_transform: Callable[[ClientUpdates, Array, Array], ClientUpdates] | None = None
  filter: Callable[[State, ClientUpdates, DefenseView], tuple[ClientUpdates, State]] | None = None
  aggregate: Callable[[State, ClientUpdates, DefenseView], tuple[ItemRows, State]] | None = None
  init: Callable[[Array, DefenseContext], State] = no_state
  unique_rows: bool = False


class ServerState(NamedTuple):
  """The server between rounds.

  Attributes:
    public: the model's public part.
    defense: the defence's state.
  """

  public: Public
  defense: State


class SimulationState(NamedTuple):
  """Everything that lives from one round to the next.

  Attributes:
    server: the server's part.
    private: each client's own vector, benign clients first, float32 `[N + malicious, d]`.
    attack: the attack's state.
  """

  server: ServerState
  private: Array
  attack: State
