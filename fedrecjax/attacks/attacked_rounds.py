"""Rounds without an attacker, which most rounds of some federations are, cost nothing."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from fedrecjax.types import AttackView, ClientUpdates, State

Poison = Callable[[State, ClientUpdates, AttackView, jax.Array], tuple[ClientUpdates, State]]


def when_active(poison: Poison) -> Poison:
  """The same attack, run in rounds with an attacker only; others send nothing and leave its state as it is."""

  def poison_or_rest(
    state: State, uploads: ClientUpdates, view: AttackView, key: jax.Array
  ) -> tuple[ClientUpdates, State]:
    def act() -> tuple[ClientUpdates, State]:
      return poison(state, uploads, view, key)

    shape, _ = jax.eval_shape(act)

    def rest() -> tuple[ClientUpdates, State]:
      nothing = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shape)
      return nothing._replace(item=jnp.full_like(nothing.item, view.public.items.shape[0])), state

    return lax.cond(jnp.any(view.active), act, rest)

  return poison_or_rest
