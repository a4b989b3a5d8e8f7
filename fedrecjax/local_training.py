"""What the clients of a round do on their own devices: gradients of their samples, and their own vectors' step."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from fedrecjax.clients import sample_gradient
from fedrecjax.sampling import Complement, draw_negatives
from fedrecjax.types import Array, ClientTerm, ClientUpdates, ClientView, Loss, Model, Public, Samples, State
from fedrecjax.uploads import ragged


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
  """

  start: Array
  length: Array
  positive: Array
  negatives: Array | None
  uploaded: Array | None
  complement: Complement


def lay_out(
  data: TrainingData, clients: Array, key: Array, *, capacity: int, num_negatives: int, num_items: int
) -> Samples:
  """The samples of a round's clients, end to end.

  Args:
    data: of all clients.
    clients: client in each place, int32 `[C]`; past the last client where a place is empty.
    key: of the round, for negatives that are drawn anew.
    capacity: places P.
    num_negatives: q.
    num_items: M.
  """
  last_client = data.length.shape[0] - 1
  length = jnp.where(clients <= last_client, data.length.at[clients].get(mode="clip"), 0)
  layout = ragged(length, capacity)
  sample = data.start.at[clients].get(mode="clip")[layout.segment] + layout.offset
  sample = jnp.where(layout.valid, sample, 0)
  positive = data.positive[sample]
  if data.negatives is None:
    negatives = draw_negatives(
      key, data.complement, jnp.minimum(clients, last_client)[layout.segment], layout.offset,
      count=num_negatives, num_items=num_items,
    )
  else:
    negatives = data.negatives[sample]
  items = jnp.concatenate([positive[:, None], negatives], axis=1) if data.uploaded is None else data.uploaded[sample]
  return Samples(
    client=layout.segment,
    valid=layout.valid,
    first=jnp.arange(capacity, dtype=jnp.int32) - layout.offset,
    length=length,
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
  """

  loss: Array
  private: Array
  rows: Array


def local_gradients(
  model: Model, loss: Loss, public: Public, private: Array, samples: Samples, *, mean: bool
) -> LocalGradients:
  """The gradients of the recommendation loss of all clients of a round.

  Args:
    model: base recommender.
    loss: of one sample.
    public: what the clients received.
    private: their own vectors `[C, d]`.
    samples: what they train on.
    mean: whether a client's loss is the mean over its terms, or their sum.
  """
  table = public.items
  gradient = jax.vmap(functools.partial(sample_gradient, model, loss), in_axes=(0, 0, 0, None))(
    private[samples.client], table[samples.positive], table[samples.negatives], public.shared
  )
  terms = jnp.maximum(samples.length * loss.terms(samples.negatives.shape[1]), 1)
  weight = jnp.where(samples.valid, 1.0 / terms[samples.client] if mean else 1.0, 0.0)
  return LocalGradients(
    loss=per_client(samples, gradient.loss * weight),
    private=per_client(samples, gradient.private * weight[:, None]),
    rows=jnp.concatenate([gradient.positive[:, None], gradient.negatives], axis=1) * weight[:, None, None],
  )


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
  return LocalGradients(base.loss + term.loss * taking_part, private, rows)


def uploads_of(gradients: LocalGradients, samples: Samples, term: ClientTerm | None, taking_part: Array,
               num_items: int) -> ClientUpdates:
  """The rows that clients send: those of their samples and, where they take part in it, a term's further ones."""
  items, rows = samples.uploaded, gradients.rows
  if term is not None and term.items is not None and term.item_rows is not None:
    sending = (taking_part[samples.client] & samples.valid)[:, None]
    items = jnp.concatenate([items, jnp.where(sending, term.items, num_items)], axis=1)
    rows = jnp.concatenate([rows, term.item_rows], axis=1)
  return ClientUpdates(
    client=jnp.broadcast_to(samples.client[:, None], items.shape).reshape(-1),
    item=items.reshape(-1),
    row=rows.reshape(-1, rows.shape[-1]),
  )


class Trained(NamedTuple):
  """What the clients of a round computed.

  Attributes:
    private: the clients' own vectors after their step `[C, d]`.
    uploads: of all clients that hold data.
    loss: of each client `[C]`.
    state: the defence's state after its client term.
  """

  private: Array
  uploads: ClientUpdates
  loss: Array
  state: State


def train_clients(
  model: Model, loss: Loss, client_term: Any, state: State, view: ClientView, taking_part: Array, *,
  client_learning_rate: Array | float, mean: bool,
) -> Trained:
  """All clients of a round compute their gradients and update their own vectors.

  Args:
    model: base recommender.
    loss: of one sample.
    client_term: of the defence, or None.
    state: of the defence.
    view: what the clients know.
    taking_part: clients that follow the defence, bool `[C]`.
    client_learning_rate: step size for the clients' own vectors.
    mean: whether a client's loss is a mean.
  """
  gradients = local_gradients(model, loss, view.public, view.private, view.samples, mean=mean)
  term = None
  if client_term is not None:
    term, state = client_term(state, view)
    gradients = add_term(gradients, term, taking_part, view.samples)
  return Trained(
    private=view.private - client_learning_rate * gradients.private,
    uploads=uploads_of(gradients, view.samples, term, taking_part, view.num_items),
    loss=gradients.loss,
    state=state,
  )
