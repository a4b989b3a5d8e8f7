"""Composition of defences."""

from __future__ import annotations

from typing import Any

import jax

from fedrecjax.hyperparameters import as_argument, traced
from fedrecjax.types import ClientUpdates, Defense, DefenseContext, DefenseView, ItemRows, State


def chain(*parts: Defense) -> Defense:
  """One defence of several: filters run from left to right, then the one aggregation rule among them, if any.

  Args:
    *parts: at least one defence.

  Returns:
    The composed defence; its state is the tuple of its parts' states.

  Raises:
    ValueError: if there is no part, or more than one has an aggregation rule.

  >>> from fedrecjax.defenses import median, norm_bound
  >>> chain(norm_bound(max_norm=0.1), median()).unique_rows
  True
  """
  if not parts:
    raise ValueError("a chain needs at least one defense")
  if sum(part.aggregate is not None for part in parts) > 1:
    raise ValueError("a chain can hold only one aggregation rule, because uploads are aggregated once")
  if len(parts) == 1:
    return parts[0]
  stages = tuple(
    tuple(as_argument(stage) for stage in (part.client_transform, part.filter, part.aggregate, part.init))
    for part in parts
  )
  return _chain(stages=stages)._replace(unique_rows=any(part.unique_rows for part in parts))


@traced
def _chain(*, stages: tuple[tuple[Any, ...], ...]) -> Defense:
  transforms, filters, rules, inits = zip(*stages, strict=True)

  def init(key: jax.Array, context: DefenseContext) -> State:
    return tuple(init(jax.random.fold_in(key, number), context) for number, init in enumerate(inits))

  def client_transform(uploads: ClientUpdates, clients: jax.Array, key: jax.Array) -> ClientUpdates:
    for number, transform in enumerate(transforms):
      if transform is not None:
        uploads = transform(uploads, clients, jax.random.fold_in(key, number))
    return uploads

  def filter_uploads(state: State, uploads: ClientUpdates, view: DefenseView) -> tuple[ClientUpdates, State]:
    states = list(state)
    for number, part in enumerate(filters):
      if part is not None:
        uploads, states[number] = part(states[number], uploads, view)
    return uploads, tuple(states)

  def aggregate(state: State, uploads: ClientUpdates, view: DefenseView) -> tuple[ItemRows, State]:
    number = next(number for number, rule in enumerate(rules) if rule is not None)
    rows, changed = rules[number](state[number], uploads, view)
    return rows, (*state[:number], changed, *state[number + 1 :])

  def absent(stage: tuple[Any, ...]) -> bool:
    return all(part is None for part in stage)

  return Defense(
    client_transform=None if absent(transforms) else client_transform,
    filter=None if absent(filters) else filter_uploads,
    aggregate=None if absent(rules) else aggregate,
    init=init,
  )
