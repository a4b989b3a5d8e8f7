"""The vocabulary: what the parts of a simulation hand to each other.

Shapes use C clients in a round, M items, N users, d embedding size, T target items, A malicious clients in a
round (a planned capacity, unused places masked), E uploaded rows (likewise).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
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


def beside_features(public: Public, features: Array | None) -> Public:
  """The public part as a model's functions take it: every item's embedding followed by its visual feature.

  Args:
    public: what is trained, with items `[M, d]`.
    features: frozen visual features `[M, F]`; None for models that see no images.

  Returns:
    Items `[M, d + F]`, or the public part itself.
  """
  return public if features is None else public._replace(items=jnp.concatenate([public.items, features], axis=1))


class Model(NamedTuple):
  """A base recommender; make one with a constructor such as :func:`fedrecjax.mf`.

  A model scores items for a user vector `[r]`. In most models that is the client's own vector. Others make it from
  the rows of the client's items: as a set (`attend`, `represent`) or in their order (`encode`).

  Attributes:
    init_public: `(key, num_items) -> Public`.
    init_private: `key -> private`, the part that one user keeps to itself, float32 `[d]`; `[0]` if there is none.
    score: `(public, user, items) -> logits`; `items` is int32 `[K]` or None for all M, none of them the user's own
      training items; the result float32 `[K]` or `[M]`.
    score_row: `(user, row, shared) -> logit []`: the same for one item, whose score depends on its own row alone.
    score_own: the same for one of the user's training items, where its place in the local graph changes its score;
      None if it does not.
    attend: `(private, row, shared) -> (logit [], value [p])` for each of the client's items. The values are averaged
      with weights in proportion to exp(logit).
    represent: `(private, average [p], count, shared) -> user [r]`, from the average over so many items; zeros where
      a client has none.
    encode: `(rows [L, d], valid [L], shared, key) -> users [L, r]`: the user vector after each item of a history,
      whose unused places come first. The key is for dropout, None without. For models without a private vector.
    history: L, the longest history that `encode` is given.
    width: numbers that `score` holds at a time for each item, by which evaluation sizes its work.
    neighbors: most other users whose vectors a client is given to attend to, K.
    neighbors_from: first epoch, from 0, in which they are.
    project: for models that see images: `(rows [..., d + F], shared) -> (rows [..., p], shared)`, in which the visual
      features are replaced by what the shared parameters make of them, so that a score costs no product with F
      numbers. All functions take rows of either kind with the shared parameters that came with them.
  """

  init_public: Callable[[Array, int], Public]
  init_private: Callable[[Array], Array]
  score: Callable[[Public, Array, Array | None], Array]
  score_row: Callable[[Array, Array, Any], Array]
  score_own: Callable[[Array, Array, Any], Array] | None = None
  attend: Callable[[Array, Array, Any], tuple[Array, Array]] | None = None
  represent: Callable[[Array, Array, Array, Any], Array] | None = None
  encode: Callable[[Array, Array, Any, Array | None], Array] | None = None
  history: int = 0
  width: int = 1
  neighbors: int = 0
  neighbors_from: int = 0
  project: Callable[[Array, Any], tuple[Array, Any]] | None = None


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
    shared: gradients with respect to `Public.shared`, a pytree of `[C, ...]` by the client's place, or of `[1, ...]`,
      already added up, where the defence does no more with them (`Defense.adds_shared`); `()` for models that have
      no such parameters.
    sent: which clients sent `shared`, bool `[C]`; the gradients of others are zero. None where `shared` is `()`.
  """

  client: Array
  item: Array
  row: Array
  shared: Any = ()
  sent: Array | None = None


class ItemRows(NamedTuple):
  """An update of the item table as rows to be added up; unused places have `item == M`.

  Attributes:
    item: int32 `[E]`.
    row: float32 `[E, d]`, in gradient direction (the server subtracts it).
  """

  item: Array
  row: Array


class Update(NamedTuple):
  """What a defence makes of a round's uploads; the server subtracts it.

  Attributes:
    items: rows of the item table.
    shared: of every other parameter, of the same structure as `Public.shared`.
    kept: which of the uploads given to the rule had a part in the update, bool `[E]`; None if all had.
  """

  items: ItemRows
  shared: Any = ()
  kept: Array | None = None


class Samples(NamedTuple):
  """The training samples of a round's clients, end to end, at a planned number of places P.

  Attributes:
    client: place of the sample's client within the round, int32 `[P]`.
    valid: whether the place is used, bool `[P]`.
    first: place of the client's first sample, int32 `[P]`.
    length: number of the client's samples, int32 `[C]`.
    trained: number of those that its loss is over, int32 `[C]`: all, but for models of histories, in which a client's
      first sample has no history.
    positive: positive item, int32 `[P]`.
    negatives: int32 `[P, q]`.
    uploaded: items under which the rows of positive and negatives are uploaded, int32 `[P, 1 + q]`; M where a copy
      is not uploaded and where the place is unused.
    flipped: clients that take their positives for negatives and the other way round, bool `[C]`; None if nobody does.
  """

  client: Array
  valid: Array
  first: Array
  length: Array
  trained: Array
  positive: Array
  negatives: Array
  uploaded: Array
  flipped: Array | None = None


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
    interactions: the benign users' training items, an :class:`fedrecjax.datasets.ItemLists` by user: all of them if
      the attack requires `"interactions"`, the public ones if it requires `"public_interactions"`, else None.
    own: the malicious clients' own training items, an :class:`fedrecjax.datasets.ItemLists` by malicious client, in
      `init`, if the attack requires `"own_data"`; else None.
  """

  num_items: int
  num_malicious: int
  targets: np.ndarray
  dim: int
  rounds: np.ndarray
  popularity: np.ndarray | None
  interactions: Any = None
  own: Any = None


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
    model: functions of the base recommender, which every client runs.
    num_clients: C, static.
    private: the malicious clients' own vectors, float32 `[A, d]`; they are trained where the clients hold data.
    pool: what malicious clients drawn for this round would upload if they behaved, whether or not they take part in
      it, for attacks with `Attack.pool`; `client` is the place among them. One row per client and item, in order of
      items. None for other attacks.
    loss: of one sample, which every client minimises; None in views made by hand.
    features: visual features of the items, float32 `[M, F]`; None for models that see no images.
  """

  public: Public
  round: Array
  client: Array
  active: Array
  slot: Array
  targets: Array
  learning_rate: Array
  benign: ClientUpdates | None
  model: Model
  num_clients: int
  private: Array | None = None
  pool: ClientUpdates | None = None
  loss: Loss | None = None
  features: Array | None = None

  @property
  def received(self) -> Public:
    """The parameters as the model's functions take them, see :func:`beside_features`; uploads have d numbers."""
    return beside_features(self.public, self.features)


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
      None if they have none, or their own.
    samples: `(state, samples, view, malicious, key) -> samples`: what malicious clients, bool `[C]`, train on in a
      round instead of their data; samples of others must be left alone. None if it is their data.
    pool: malicious clients whose honest uploads the attack is shown in each round with an attacker (`view.pool`).
    colludes: whether what one malicious client uploads depends on the others: on a common state, on what they would
      upload, on how many they are.
    requires: what the attack must be granted, any of `"popularity"`, `"interactions"`, `"public_interactions"`,
      `"benign_uploads"`, and `"own_data"`: malicious clients hold data like others do, their own if they were users,
      else random items. The simulator grants no more than is named here.
  """

  poison: Callable[[State, ClientUpdates, AttackView, Array], tuple[ClientUpdates, State]] | None = None
  init: Callable[[Array, AttackContext], State] = no_state
  profiles: Callable[[np.random.Generator, AttackContext], list[np.ndarray]] | None = None
  requires: frozenset[str] = frozenset()
  samples: Callable[[State, Samples, AttackView, Array, Array], Samples] | None = None
  pool: int = 0
  colludes: bool = False


class DefenseContext(NamedTuple):
  """What a defence is given before training. Host arrays. Only its client stages may act on clients' own data.

  Attributes:
    num_items: M.
    dim: d.
    num_clients: clients in a full round, C.
    federation: clients in the whole federation.
    rounds: client in each place of each round, int32 `[rounds, C]`; `federation` where a place is empty. Used to
      size what a defence stores.
    indptr: where the entries of each client begin in `held`, `[federation + 1]`.
    held: different items whose rows each client uploads, sorted within a client; None where they change from round
      to round because negatives are drawn anew.
    shared: shapes and types of `Public.shared`, a pytree of `jax.ShapeDtypeStruct`; `()` for models without.
  """

  num_items: int
  dim: int
  num_clients: int
  federation: int
  rounds: np.ndarray
  indptr: np.ndarray | None
  held: np.ndarray | None
  shared: Any = ()


class ClientView(NamedTuple):
  """What the clients of a round know, each of them its own part.

  Attributes:
    public: the parameters that they received.
    private: their own vectors, float32 `[C, d]`.
    clients: client in each place, int32 `[C]`; the number of clients in the federation where a place is empty.
    round: int32 scalar from 0.
    samples: what they train on.
    outside: for drawing items outside a client's training items, see :mod:`fedrecjax.sampling`.
    key: a key of the round and of this stage.
    num_items: M, static.
    neighbors: vectors of other users that a client has been given, `[C, K, d]`, and which of them are used, bool
      `[C, K]`; None without neighbours.
    features: visual features of the items, float32 `[M, F]`; None for models that see no images.
  """

  public: Public
  private: Array
  clients: Array
  round: Array
  samples: Samples
  outside: Any
  key: Array
  num_items: int
  neighbors: tuple[Array, Array] | None = None
  features: Array | None = None


class ClientTerm(NamedTuple):
  """An extra term of the clients' loss: its value and gradients. None stands for no gradient.

  Attributes:
    loss: value for each client, float32 `[C]`.
    private: gradient with respect to the clients' own vectors, `[C, d]`.
    rows: gradients of the rows of each sample's positive and negatives, `[P, 1 + q, d]`.
    items: further items of each sample, int32 `[P, X]`, M where unused.
    item_rows: gradients with respect to their rows, `[P, X, d]`.
  """

  loss: Array
  private: Array | None = None
  rows: Array | None = None
  items: Array | None = None
  item_rows: Array | None = None


class DefenseView(NamedTuple):
  """What the server may read in one round. Which clients are malicious is not part of it.

  Attributes:
    public: the parameters before the server's step.
    round: int32 scalar from 0.
    num_items: M, static.
    num_clients: C, static.
    present: which places of the round hold a client, bool `[C]` (the last round of an epoch may be short).
    clients: number of those, int32 scalar.
    federation: clients in the whole federation, int32 scalar.
    samples: number of training pairs that each client claims to have, float32 `[C]`.
    optimizer: the state of the server's optimiser before its step; see :func:`fedrecjax.server.step_rows`.
    learning_rate: step size of the server.
    key: a key of the round.
  """

  public: Public
  round: Array
  num_items: int
  num_clients: int
  present: Array
  clients: Array
  federation: Array
  samples: Array
  optimizer: Any
  learning_rate: Array | float
  key: Array


class Defense(NamedTuple):
  """A defence: any of its stages may be absent. :func:`fedrecjax.chain` composes them.

  Attributes:
    client_term: `(state, view) -> (ClientTerm, state)`: what benign clients add to their loss.
    client_transform: `(state, uploads, view) -> (uploads, state)`: what benign clients do to their rows before they
      send them; one row per client and item, places stay as they are.
    filter: `(state, uploads, view) -> (uploads, state)`: the server drops uploads (`item = M`) or rescales them;
      places stay as they are. It gets one row per client and item in order of items, with unused places anywhere.
      Clients of which a filter leaves nothing are not present when the rule is applied.
    aggregate: `(state, uploads, view) -> (Update, state)`: the rule that makes one update of many.
    init: `(key, context) -> state`, shared by the stages.
    unique_rows: whether `aggregate` needs one row per client and item, in order of items, unused places last.
    adds_shared: whether the stages only ever add up the clients' gradients of shared parameters, so that they need
      not be told apart, which costs time and memory.
    requires: what the defence must be granted: any of `"fixed_negatives"`.
  """

  client_term: Callable[[State, ClientView], tuple[ClientTerm, State]] | None = None
  client_transform: Callable[[State, ClientUpdates, ClientView], tuple[ClientUpdates, State]] | None = None
  filter: Callable[[State, ClientUpdates, DefenseView], tuple[ClientUpdates, State]] | None = None
  aggregate: Callable[[State, ClientUpdates, DefenseView], tuple[Update, State]] | None = None
  init: Callable[[Array, DefenseContext], State] = no_state
  unique_rows: bool = False
  requires: frozenset[str] = frozenset()
  adds_shared: bool = False


class ServerState(NamedTuple):
  """The server between rounds.

  Attributes:
    public: the model's public part.
    defense: the defence's state.
    optimizer: the state of the optimiser.
    features: visual features of the items' images, float32 `[M, F]`; None for models that see no images.
  """

  public: Public
  defense: State
  optimizer: Any = ()
  features: Array | None = None


class SimulationState(NamedTuple):
  """Everything that lives from one round to the next.

  Attributes:
    server: the server's part.
    private: each client's own vector, benign clients first, float32 `[N + malicious, d]`.
    attack: the attack's state.
    client_optimizer: state of the optimisers of the clients' own vectors.
  """

  server: ServerState
  private: Array
  attack: State
  client_optimizer: Any = ()
