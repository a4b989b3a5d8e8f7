"""What clients train on and send, and what the server makes of it."""

from __future__ import annotations

from typing import Any, NamedTuple

from fedrecjax.types.basics import Array


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


class ClientUpdates(NamedTuple):
  """Uploads of a round as sparse item rows at a fixed capacity E.

  A place is unused where `item == M`; its other fields are then meaningless. Rows of one client for one item may
  stand in several places: the client's row is then their sum (see :func:`fedrecjax.uploads.rows.merge_rows`). The
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
    idle: where the rule made no more of the rows than their sum or mean, for want of rows: at how many items, and of
      how many that anybody uploaded, int32 `[2]`; for a rule over whole uploads one stands for the round. None if that
      cannot happen.
  """

  items: ItemRows
  shared: Any = ()
  kept: Array | None = None
  idle: Array | None = None
