"""Composition of defences."""

from __future__ import annotations

import inspect
import zlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from fedrecjax.defenses.presence import without_rejected
from fedrecjax.methods.hyperparameters import Bound, as_argument, owner_name, traced
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

  Clients add up all terms, then transform what they send; the server filters, then aggregates. What a part draws
  belongs to its name, so that it does not change with the part's place or with the parts beside it.

  Args:
    *parts: at least one defence; of a chain its parts.

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
  stages = tuple(stages for part in parts for stages in _parts_of(part))
  return _chain(stages=stages, names=_names(stages))._replace(
    unique_rows=any(part.unique_rows for part in parts),
    adds_shared=all(part.adds_shared for part in parts),
    requires=frozenset().union(*(part.requires for part in parts)),
    images=of_images[0].images if of_images else None,
    threshold=of_images[0].threshold if of_images else None,
    refuses=bool(of_images) and of_images[0].refuses,
  )


def _parts_of(defense: Defense) -> tuple[tuple[Any, ...], ...]:
  """The stages of a defence, or of each part of a chain."""
  if isinstance(defense.init, Bound) and defense.init.constructor is inspect.unwrap(_chain):
    return defense.init.numbers["stages"]
  return (tuple(as_argument(getattr(defense, stage)) for stage in _STAGES),)


def _names(stages: tuple[tuple[Any, ...], ...]) -> tuple[str, ...]:
  """The name of each part, all different: of parts of one name the second is called `name.2`."""
  names: list[str] = []
  for part in stages:
    name = owner_name(next(function for function in part if function is not None))
    repeats = sum(one.partition(".")[0] == name for one in names)
    names.append(f"{name}.{repeats + 1}" if repeats else name)
  return tuple(names)


def parts_of(function: Any) -> list[tuple[str, Callable[..., Any]]]:
  """A defence's filter, transform or rule as that of each of its parts that has one, by name.

  Args:
    function: of a defence.

  Returns:
    Names, and functions of the same arguments and results, which take and return the state of the whole defence.

  >>> from fedrecjax.defenses import median, norm_bound
  >>> [name for name, _ in parts_of(chain(norm_bound(), norm_bound(max_norm=2.0), median()).filter)]
  ['norm_bound', 'norm_bound.2']
  """
  if not isinstance(function, Bound) or function.constructor is not inspect.unwrap(_chain):
    return [(owner_name(function), function)]
  names, place = function.static["names"], _STAGES.index(function.field)
  stages = enumerate(part[place] for part in function.numbers["stages"])
  return [(names[number], _on_whole_state(names, number, stage)) for number, stage in stages if stage is not None]


def _on_whole_state(names: tuple[str, ...], number: int, part: Any) -> Callable[..., Any]:
  def call(state: State, argument: Any, view: Any) -> tuple[Any, State]:
    result, own = part(state[number], argument, view._replace(key=_key_of(view.key, names[number])))
    return result, (*state[:number], own, *state[number + 1 :])

  return call


def _key_of(key: jax.Array, name: str) -> jax.Array:
  return jax.random.fold_in(key, zlib.crc32(name.encode()))


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
def _chain(*, stages: tuple[tuple[Any, ...], ...], names: tuple[str, ...]) -> Defense:
  terms, transforms, filters, rules, inits = zip(*stages, strict=True)

  def init(key: jax.Array, context: DefenseContext) -> State:
    return tuple(init(_key_of(key, name), context) for name, init in zip(names, inits, strict=True))

  def client_term(state: State, view: ClientView) -> tuple[ClientTerm, State]:
    states = list(state)
    total = None
    for number, (name, part) in enumerate(zip(names, terms, strict=True)):
      if part is not None:
        term, states[number] = part(states[number], view._replace(key=_key_of(view.key, name)))
        total = term if total is None else add_terms(total, term)
    assert total is not None
    return total, tuple(states)

  def client_transform(state: State, uploads: ClientUpdates, view: ClientView) -> tuple[ClientUpdates, State]:
    for number, part in enumerate(transforms):
      if part is not None:
        uploads, state = _on_whole_state(names, number, part)(state, uploads, view)
    return uploads, state

  def filter_uploads(state: State, uploads: ClientUpdates, view: DefenseView) -> tuple[ClientUpdates, State]:
    for number, part in enumerate(filters):
      if part is not None:
        before = uploads
        uploads, state = _on_whole_state(names, number, part)(state, before, view)
        view = without_rejected(view, before, uploads)
    return uploads, state

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
