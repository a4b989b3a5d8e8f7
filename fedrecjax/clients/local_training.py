"""What the clients of a round do on their own devices: gradients of their samples, and their own vectors' step."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from fedrecjax.clients.sample_loss import sample_loss
from fedrecjax.clients.sampling import Complement, draw_negatives
from fedrecjax.clients.tiles import Tiles, map_samples
from fedrecjax.clients.user_vectors import sequence_vectors, set_vectors
from fedrecjax.types import Array, ClientTerm, ClientUpdates, ClientView, Loss, Model, Samples, State, beside_features
from fedrecjax.uploads.rows import ragged


class TrainingData(NamedTuple):
  """What clients train on, all lists end to end.

  Attributes:
    start: first sample of each client, int32 `[clients]`.
    length: number of its samples, int32 `[clients]`.
    positive: int32 `[samples]`.
    negatives: int32 `[samples, q]`, or None where they are drawn every round.
    uploaded: items under which the rows of a sample are uploaded, int32 `[samples, 1 + q]`, M where a copy is not
      uploaded; None where every copy counts.
    complement: for drawing items outside a client's list.
    for_negatives: for drawing negatives, which may be outside more than that.
    neighbors: other clients whose vectors a client has been given, int32 `[clients, K]`, past the last client where
      there are fewer; None without.
  """

  start: Array
  length: Array
  positive: Array
  negatives: Array | None
  uploaded: Array | None
  complement: Complement
  for_negatives: Complement
  neighbors: Array | None = None


def lay_out(
  data: TrainingData, clients: Array, key: Array, *, capacity: int, num_negatives: int, num_items: int,
  histories: bool = False,
) -> Samples:
  """The samples of a round's clients, end to end.

  Args:
    data: of all clients.
    clients: client in each place, int32 `[C]`; past the last client where a place is empty.
    key: of the round, for negatives that are drawn anew.
    capacity: places P.
    num_negatives: q.
    num_items: M.
    histories: whether a sample is scored for the history before it, so that a client's first one is not trained.
  """
  last_client = data.length.shape[0] - 1
  length = jnp.where(clients <= last_client, data.length.at[clients].get(mode="clip"), 0)
  layout = ragged(length, capacity)
  sample = data.start.at[clients].get(mode="clip")[layout.segment] + layout.offset
  sample = jnp.where(layout.valid, sample, 0)
  positive = data.positive[sample]
  if data.negatives is None:
    negatives = draw_negatives(
      key, data.for_negatives, jnp.minimum(clients, last_client)[layout.segment], layout.offset,
      count=num_negatives, num_items=num_items,
    )
  else:
    negatives = data.negatives[sample]
  items = jnp.concatenate([positive[:, None], negatives], axis=1) if data.uploaded is None else data.uploaded[sample]
  if histories:
    # The first item of a history is only read: nothing is ranked above or below it.
    only_read = (layout.offset == 0)[:, None] & (jnp.arange(items.shape[1], dtype=jnp.int32) > 0)
    items = jnp.where(only_read | (length == 1)[layout.segment][:, None], num_items, items)
  return Samples(
    client=layout.segment,
    valid=layout.valid,
    first=jnp.arange(capacity, dtype=jnp.int32) - layout.offset,
    length=length,
    trained=jnp.maximum(length - 1, 0) if histories else length,
    positive=positive,
    negatives=negatives,
    uploaded=jnp.where(layout.valid[:, None], items, num_items),
  )


class LocalGradients(NamedTuple):
  """Gradients of a round's clients.

  Attributes:
    loss: of each client, `[C]`.
    private: with respect to the clients' own vectors `[C, d]`.
    rows: with respect to the rows of each sample's positive and negatives `[P, 1 + q, d]`.
    shared: with respect to the shared parameters: of each client `[C, ...]` where they were given so, else added up.
  """

  loss: Array
  private: Array
  rows: Array
  shared: Any


class Dropout(NamedTuple):
  """Which looked-up numbers are left out; what stays is scaled up, so that expectations are kept.

  Attributes:
    user: factor of each sample's user vector `[P, d]`.
    rows: factor of the rows of each sample `[P, 1 + q, d]`.
  """

  user: Array
  rows: Array


# Above every client's and every stage's number, whose keys come from the same one.
_DROPOUT = 2**31


def draw_dropout(key: Array, view: ClientView, rate: Array | float, width: int | None = None) -> Dropout:
  """Factors for every lookup of every sample, from keys of the client and the sample's number.

  Args:
    key: of the round.
    view: whose lookups.
    rate: share that is left out, below 1.
    width: numbers of a row as the model takes it; None: d.
  """
  samples = view.samples
  key = jax.random.fold_in(key, _DROPOUT)
  lookups, dim = 2 + samples.negatives.shape[1], view.public.items.shape[1]
  width = dim if width is None else width

  def of_sample(client: Array, number: Array) -> Array:
    own = jax.random.fold_in(jax.random.fold_in(key, client), number)
    return jnp.where(jax.random.bernoulli(own, 1 - rate, (lookups, width)), 1 / (1 - rate), 0.0)

  number = jnp.arange(samples.client.shape[0], dtype=jnp.int32) - samples.first
  factors = jax.vmap(of_sample)(view.clients[samples.client], number)
  return Dropout(factors[:, 0, :dim], factors[:, 1:])


def history_places(samples: Samples, history: int) -> tuple[Array, Array]:
  """Where the items of the clients' histories stand among the samples: all but each client's last.

  Args:
    samples: at most `history` + 1 of each client.
    history: L.

  Returns:
    Places int32 `[C, L]` and which are used `[C, L]`; the unused ones come first.
  """
  start = (jnp.cumsum(samples.length, dtype=jnp.int32) - samples.length)[:, None]
  offset = jnp.arange(history, dtype=jnp.int32) - (history - samples.trained[:, None])
  last_place = samples.client.shape[0] - 1
  return jnp.clip(start + offset, 0, last_place), offset >= 0


def user_of_samples(
  model: Model, view: ClientView, private: Array, positive: Array, shared: Any, tiles: Tiles | None
) -> Array:
  """The user vector that each sample is scored for, `[P, r]`."""
  samples = view.samples
  if model.encode is not None:
    places, used = history_places(samples, model.history)
    keys = jax.vmap(jax.random.fold_in, in_axes=(None, 0))(view.key, view.clients)
    vectors = sequence_vectors(
      model, positive[places], used, shared, per_client=tiles is not None, keys=keys
    )
    number = jnp.arange(samples.client.shape[0], dtype=jnp.int32) - samples.first
    before = model.history - samples.length[samples.client] + number
    return vectors.at[samples.client, jnp.maximum(before, 0)].get(mode="clip")
  if model.attend is not None:
    private = set_vectors(
      model, private, positive, samples.client, samples.valid, shared, tiles=tiles, neighbors=view.neighbors
    )
  return private[samples.client]


def sample_weights(samples: Samples, terms: int, *, mean: bool) -> Array:
  """Weight of each sample in its client's loss, `[P]`; 0 where it is not trained on.

  Args:
    samples: of a round.
    terms: that each contributes to the loss.
    mean: whether a client's loss is the mean over its terms, or their sum.
  """
  skipped = (samples.length - samples.trained)[samples.client]
  used = samples.valid & (jnp.arange(samples.client.shape[0], dtype=jnp.int32) - samples.first >= skipped)
  if not mean:
    return used.astype(jnp.float32)
  of_client = 1.0 / jnp.maximum(samples.trained * terms, 1).astype(jnp.float32)
  return jnp.where(used, of_client[samples.client], 0.0)


def with_sign(loss: Loss, *sign: Array) -> Loss:
  """The loss of scores times a sign; the loss itself without one."""
  if not sign:
    return loss
  return loss._replace(sample=lambda positive, negatives: loss.sample(sign[0] * positive, sign[0] * negatives))


def local_gradients(
  model: Model,
  loss: Loss,
  view: ClientView,
  private: Array,
  rows: Array,
  shared: Any,
  *,
  mean: bool,
  tiles: Tiles | None = None,
  dropout: Dropout | None = None,
) -> LocalGradients:
  """The gradients of the recommendation loss of all clients of a round.

  Args:
    model: base recommender.
    loss: of one sample.
    view: what the clients know and train on.
    private: their own vectors `[C, d]`.
    rows: of each sample's positive and negatives `[P, 1 + q, d]`.
    shared: the shared parameters, of each client `[C, ...]` where tiles are given.
    mean: whether a client's loss is the mean over its terms, or their sum.
    tiles: of the samples, where clients' gradients of shared parameters are to be told apart.
    dropout: None without.
  """
  samples = view.samples
  weight = sample_weights(samples, loss.terms(samples.negatives.shape[1]), mean=mean)

  def of_sample(shared: Any, user: Array, positive: Array, negatives: Array, *sign: Array) -> Array:
    return sample_loss(model, with_sign(loss, *sign), user, positive, negatives, shared)

  # A client that swaps its positives and negatives sees every score with the other sign.
  signs: tuple[Array, ...] = ()
  if samples.flipped is not None:
    signs = (jnp.where(samples.flipped, jnp.float32(-1.0), 1.0)[samples.client],)

  def total(private: Array, positive: Array, negatives: Array, shared: Any) -> tuple[Array, Array]:
    if dropout is not None:
      positive, negatives = positive * dropout.rows[:, 0], negatives * dropout.rows[:, 1:]
    user = user_of_samples(model, view, private, positive, shared, tiles)
    if dropout is not None and model.encode is None and model.attend is None:
      user = user * dropout.user
    losses = per_client(samples, map_samples(of_sample, shared, tiles, user, positive, negatives, *signs) * weight)
    return jnp.sum(losses), losses

  # Differentiated by one array of both, each half of the gradient would first be padded to the size of the whole.
  (_, losses), (for_private, for_positive, for_negatives, for_shared) = jax.value_and_grad(
    total, argnums=(0, 1, 2, 3), has_aux=True
  )(private, rows[:, 0], rows[:, 1:], shared)
  for_rows = jnp.concatenate([for_positive[:, None], for_negatives], axis=1)
  return LocalGradients(losses, for_private, for_rows, for_shared)


def per_client(samples: Samples, values: Array) -> Array:
  """Sums over each client's samples, `[P, ...] -> [C, ...]`; unused places must hold zeros."""
  return jax.ops.segment_sum(values, samples.client, samples.length.shape[0], indices_are_sorted=True)


def add_term(base: LocalGradients, term: ClientTerm, taking_part: Array, samples: Samples) -> LocalGradients:
  """Adds an extra loss term at the clients that take part in it, bool `[C]`."""
  of_sample = (taking_part[samples.client] & samples.valid).astype(base.loss.dtype)
  private, rows = base.private, base.rows
  if term.private is not None:
    private += term.private * taking_part[:, None]
  if term.rows is not None:
    rows += term.rows * of_sample[:, None, None]
  return base._replace(loss=base.loss + term.loss * taking_part, private=private, rows=rows)


def uploads_of(gradients: LocalGradients, samples: Samples, term: ClientTerm | None, taking_part: Array,
               num_items: int) -> ClientUpdates:
  """What clients send: rows of their samples, a term's further ones where they take part in it, shared gradients."""
  items, rows = samples.uploaded, gradients.rows
  if term is not None and term.items is not None and term.item_rows is not None:
    sending = (taking_part[samples.client] & samples.valid)[:, None]
    items = jnp.concatenate([items, jnp.where(sending, term.items, num_items)], axis=1)
    rows = jnp.concatenate([rows, term.item_rows], axis=1)
  return ClientUpdates(
    client=jnp.broadcast_to(samples.client[:, None], items.shape).reshape(-1),
    item=items.reshape(-1),
    row=rows.reshape(-1, rows.shape[-1]),
    shared=gradients.shared,
    sent=samples.trained > 0 if jax.tree.leaves(gradients.shared) else None,
  )


class Trained(NamedTuple):
  """What the clients of a round computed.

  Attributes:
    private: gradients with respect to the clients' own vectors `[C, d]`.
    uploads: of all clients that hold data.
    loss: of each client `[C]`.
    state: the defence's state after its client term.
    rows: gradients of each sample's items `[P, 1 + q, d]`; None after several local steps.
    penalty: L2 term of each client `[C]`, which `loss` leaves out; None without.
  """

  private: Array
  uploads: ClientUpdates
  loss: Array
  state: State
  rows: Array | None = None
  penalty: Array | None = None


class LocalSettings(NamedTuple):
  """How clients train; see :class:`fedrecjax.config.TrainConfig`.

  Attributes:
    mean: whether a client's loss is a mean; static.
    l2: weight of the squared norms in each client's loss, half of which is added to it, float32 `[C]`; None for none.
    l2_rows: the item rows that it is on, static. Rows that stand for an item once are merged only after one step, so
      that "uploaded" is left to the caller there.
    dropout: share of looked-up numbers left out; None for no dropout at all.
  """

  mean: bool
  l2: Array | None
  l2_rows: str
  dropout: Array | float | None


def train_clients(
  model: Model, loss: Loss, client_term: Any, state: State, view: ClientView, taking_part: Array,
  settings: LocalSettings, tiles: Tiles | None = None,
) -> Trained:
  """All clients of a round compute their gradients at what they received.

  Args:
    model: base recommender.
    loss: of one sample.
    client_term: of the defence, or None.
    state: of the defence.
    view: what the clients know.
    taking_part: clients that follow the defence, bool `[C]`.
    settings: how they train.
    tiles: of the samples, where clients' gradients of shared parameters are to be told apart.
  """
  samples = view.samples
  table, shared = beside_features(view.public, view.features)
  pull_back = None
  if model.project is not None and tiles is None:
    (table, shared), pull_back = jax.vjp(model.project, table, shared)
  if tiles is not None:
    shared = own_copies(shared, samples.length.shape[0])
  items = jnp.concatenate([samples.positive[:, None], samples.negatives], axis=1)
  rows = table[items]
  dropout = None if settings.dropout is None else draw_dropout(view.key, view, settings.dropout, rows.shape[-1])
  gradients = local_gradients(
    model, loss, view, view.private, rows, shared, mean=settings.mean, tiles=tiles, dropout=dropout
  )
  if pull_back is not None:
    # Items are uploaded as rows; what reaches the parameters of the projection through all of them is one gradient.
    _, for_shared = pull_back((jnp.zeros_like(table).at[items].add(gradients.rows), gradients.shared))
    gradients = gradients._replace(shared=for_shared)
  dim = view.public.items.shape[1]
  rows, gradients = rows[..., :dim], gradients._replace(rows=gradients.rows[..., :dim])
  if tiles is None:
    gradients = gradients._replace(shared=jax.tree.map(lambda leaf: leaf[None], gradients.shared))
  if settings.l2 is not None:
    gradients = gradients._replace(private=gradients.private + settings.l2[:, None] * view.private)
    if settings.l2_rows == "copies":
      weight = settings.l2[samples.client][:, None, None]
      gradients = gradients._replace(rows=gradients.rows + weight * rows)
  term = None
  if client_term is not None:
    term, state = client_term(state, view)
    gradients = add_term(gradients, term, taking_part, samples)
  return Trained(
    private=gradients.private,
    uploads=uploads_of(gradients, samples, term, taking_part, view.num_items),
    loss=gradients.loss,
    state=state,
    rows=gradients.rows,
  )


def own_copies(shared: Any, num_clients: int) -> Any:
  """Shared parameters as each client's own, `[...] -> [C, ...]`."""
  return jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (num_clients, *leaf.shape)), shared)
