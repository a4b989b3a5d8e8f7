"""A base recommender and its loss."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from fedrecjax.types.basics import Array, Public


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
    score_vector: `(user, shared) -> vector [d]`, if a score is the inner product of such a vector with the item's row,
      so that a search for the best items need not score all; None if it is not.
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
  score_vector: Callable[[Array, Any], Array] | None = None


class Loss(NamedTuple):
  """A loss over one positive item and its negatives.

  Attributes:
    sample: `(positive_logit [], negative_logits [q]) -> loss []`.
    terms: number of terms that one positive with q negatives contributes, by which a mean divides.
  """

  sample: Callable[[Array, Array], Array]
  terms: Callable[[int], int]
