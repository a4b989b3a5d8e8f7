"""Composition of defences."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from fedrecjax.defenses.presence import without_rejected
from fedrecjax.methods.hyperparameters import Bound, as_argument, traced
from fedrecjax.types import (
  ClientTerm,
  ClientUpdates,
  ClientView,
  Defense,
  DefenseContext,
  DefenseView,
  State,
  Update,
)

_STAGES = ("client_term", "client_transform", "filter", "aggregate", "init")


def chain(*parts: Defense) -> Defense:
  """One defence of several: each stage runs from left to right; one part at most aggregates, and one changes images.

  Clients add up all terms, then transform what they send; the server filters, then aggregates.

  Args:
    *parts: at least one defence.

  Returns:
    The composed defence; its state is the tuple of its parts' states.

  Raises:
    ValueError: if there is no part, one is no defence, or more than one has an aggregation rule or changes images.

  >>> from fedrecjax.defenses import median, norm_bound
  >>> chain(norm_bound(max_norm=0.1), median()).unique_rows
  True
  """
  if not parts:
    raise ValueError("a chain needs at least one defense")
  for number, part in enumerate(parts):
    if not isinstance(part, Defense):
      raise ValueError(f"part {number} of a chain must be a Defense, such as median(), got"
                       f" {getattr(part, '__name__', None) or repr(part)}")
  if sum(part.aggregate is not None for part in parts) > 1:
    raise ValueError("a chain can hold only one aggregation rule, because uploads are aggregated once")
  of_images = [part for part in parts if part.images is not None]
  if len(of_images) > 1:
    raise ValueError("a chain can hold only one defense of images, because each image is kept once")
  if len(parts) == 1:
    return parts[0]
  stages = tuple(tuple(as_argument(getattr(part, stage)) for stage in _STAGES) for part in parts)
  return _chain(stages=stages)._replace(
    unique_rows=any(part.unique_rows for part in parts),
    adds_shared=all(part.adds_shared for part in parts),
    requires=frozenset().union(*(part.requires for part in parts)),
    images=of_images[0].images if of_images else None,
    threshold=of_images[0].threshold if of_images else None,
    refuses=bool(of_images) and of_images[0].refuses,
  )


def change_parts(function: Any, change: Callable[[Any], Any]) -> Any:
  """A defence's function, changed; that of a chain with the functions of its parts changed instead.

  Args:
    function: of any method.
    change: what is done to a function that is not a chain's.
  """
  if not isinstance(function, Bound) or function.constructor is not inspect.unwrap(_chain):
    return change(function)
  place = _STAGES.index(function.field)
  stages = tuple(
    tuple(
      change_parts(stage, change) if number == place and stage is not None else stage
      for number, stage in enumerate(part)
    )
    for part in function.numbers["stages"]
  )
  return Bound(function.constructor, function.field, function.static, {"stages": stages})


def add_terms(first: ClientTerm, second: ClientTerm) -> ClientTerm:
  """Two terms of the clients' loss as one."""

  def add(one: jax.Array | None, two: jax.Array | None) -> jax.Array | None:
    return two if one is None else one if two is None else one + two

  def join(one: jax.Array | None, two: jax.Array | None) -> jax.Array | None:
    return two if one is None else one if two is None else jnp.concatenate([one, two], axis=1)

  return ClientTerm(
    loss=first.loss + second.loss,
    private=add(first.private, second.private),
    rows=add(first.rows, second.rows),
    items=join(first.items, second.items),
    item_rows=join(first.item_rows, second.item_rows),
  )


@traced
def _chain(*, stages: tuple[tuple[Any, ...], ...]) -> Defense:
  terms, transforms, filters, rules, inits = zip(*stages, strict=True)

  def init(key: jax.Array, context: DefenseContext) -> State:
    return tuple(init(jax.random.fold_in(key, number), context) for number, init in enumerate(inits))

  def client_term(state: State, view: ClientView) -> tuple[ClientTerm, State]:
    states = list(state)
    total = None
    for number, part in enumerate(terms):
      if part is not None:
        term, states[number] = part(states[number], view._replace(key=jax.random.fold_in(view.key, number)))
        total = term if total is None else add_terms(total, term)
    assert total is not None
    return total, tuple(states)

  def client_transform(state: State, uploads: ClientUpdates, view: ClientView) -> tuple[ClientUpdates, State]:
    return in_turn(transforms, state, uploads, view)

  def filter_uploads(state: State, uploads: ClientUpdates, view: DefenseView) -> tuple[ClientUpdates, State]:
    return in_turn(filters, state, uploads, view, without_rejected)

  def in_turn(
    stage: tuple[Any, ...], state: State, uploads: ClientUpdates, view: Any, seen_after: Any = lambda view, *_: view
  ) -> tuple[ClientUpdates, State]:
    states, key = list(state), view.key
    for number, part in enumerate(stage):
      if part is not None:
        before = uploads
        uploads, states[number] = part(states[number], before, view._replace(key=jax.random.fold_in(key, number)))
        view = seen_after(view, before, uploads)
    return uploads, tuple(states)

  def aggregate(state: State, uploads: ClientUpdates, view: DefenseView) -> tuple[Update, State]:
    number = next(number for number, rule in enumerate(rules) if rule is not None)
    update, changed = rules[number](state[number], uploads, view)
    return update, (*state[:number], changed, *state[number + 1 :])

  def absent(stage: tuple[Any, ...]) -> bool:
    return all(part is None for part in stage)

  return Defense(
    client_term=None if absent(terms) else client_term,
    client_transform=None if absent(transforms) else client_transform,
    filter=None if absent(filters) else filter_uploads,
    aggregate=None if absent(rules) else aggregate,
    init=init,
  )
