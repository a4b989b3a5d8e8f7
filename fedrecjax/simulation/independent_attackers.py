"""Malicious clients that do not share anything: each runs the attack as the only malicious client."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fedrecjax.config.sections import ConfigError
from fedrecjax.datasets import ItemLists
from fedrecjax.methods.hyperparameters import as_argument, traced
from fedrecjax.simulation.contracts import checked
from fedrecjax.types import Array, Attack, AttackContext, AttackView, ClientUpdates, State
from fedrecjax.uploads.rows import keep_clients, merge_rows


def each_alone(attack: Attack) -> Attack:
  """The same attack by malicious clients that know nothing of each other.

  Each has a state of its own, sees its own honest upload alone (also in place of a pool), and draws by itself.

  Args:
    attack: with `colludes`; others are the same either way and come back as they are.

  Raises:
    ConfigError: if the clients work with the provider of images.
    ValueError: by `init`, if the states of the clients differ in shape.
  """
  if attack.poison is None or not attack.colludes:
    return attack
  if attack.images is not None:
    raise ConfigError("attacker.colluding must be true for an attack whose clients work with the targets' provider")
  return _alone(
    functions=(as_argument(attack.poison), as_argument(attack.init), as_argument(attack.tells)), pooled=attack.pool > 0
  )._replace(profiles=attack.profiles, samples=attack.samples, requires=attack.requires)


@traced
def _alone(*, functions: tuple[Any, ...], pooled: bool) -> Attack:
  names = ("poison", "init", "tells")
  poison_one, init_one, tells_one = (checked("attack", name, one) for name, one in zip(names, functions, strict=True))

  def init(key: Array, context: AttackContext) -> State:
    states = [
      init_one(
        jax.random.fold_in(key, client),
        context._replace(
          num_malicious=1,
          rounds=np.where(context.rounds == client, 0, -1),
          own=None if context.own is None else ItemLists.from_lists([context.own.of(client)]),
        ),
      )
      for client in range(context.num_malicious)
    ]
    if len({str(jax.tree.map(jnp.shape, one)) for one in states}) > 1:
      raise ValueError("attacker.colluding must be true, since what its clients keep differs in size between them")
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)

  def taking_part(state: State, view: AttackView) -> State:
    """The states of the round's places; of an empty one that of any client."""
    last = (jax.tree.leaves(state)[0].shape[0] if jax.tree.leaves(state) else 1) - 1
    return jax.tree.map(lambda leaf: leaf.at[jnp.minimum(view.client, last)].get(mode="clip"), state)

  def tells(state: State, view: AttackView) -> dict[str, Array]:
    """Means over the clients that take part."""
    of_client = jax.vmap(lambda own, *place: tells_one(own, _of_one(view, *place)))
    each = of_client(taking_part(state, view), view.active, view.slot, view.private)
    count = jnp.maximum(jnp.sum(view.active, dtype=jnp.int32), 1)
    return {name: jnp.sum(jnp.where(view.active, number, 0.0)) / count for name, number in each.items()}

  def poison(state: State, uploads: ClientUpdates, view: AttackView, key: Array) -> tuple[ClientUpdates, State]:
    num_items = view.public.items.shape[0]
    num_malicious = jax.tree.leaves(state)[0].shape[0] if jax.tree.leaves(state) else 1

    def of_client(
      client: Array, active: Array, slot: Array, private: Array | None, state: State
    ) -> tuple[ClientUpdates, State]:
      own = keep_clients(uploads, (jnp.arange(view.num_clients, dtype=jnp.int32) == slot) & active, num_items)
      pool = merge_rows(own, num_items)._replace(client=jnp.zeros_like(own.client)) if pooled else None
      alone = _of_one(view, active, slot, private)._replace(pool=pool)
      sent, state = poison_one(state, own, alone, jax.random.fold_in(key, client))
      return sent, state

    before = taking_part(state, view)
    sent, after = jax.vmap(of_client)(view.client, view.active, view.slot, view.private, before)
    # An inactive client has a number past the last, where nothing is kept.
    place = jnp.where(view.active, view.client, num_malicious)
    state = jax.tree.map(lambda leaf, new: leaf.at[place].set(new, mode="drop"), state, after)
    rows = ClientUpdates(sent.client.reshape(-1), sent.item.reshape(-1), sent.row.reshape(-1, sent.row.shape[-1]))
    if sent.sent is None:
      return rows, state
    shared = jax.tree.map(lambda leaf: jnp.sum(leaf, axis=0), sent.shared)
    return rows._replace(shared=shared, sent=jnp.any(sent.sent, axis=0)), state

  return Attack(poison, init, tells=None if tells_one is None else tells)


def _of_one(view: AttackView, active: Array, slot: Array, private: Array | None) -> AttackView:
  """What one of the malicious clients sees, as client 0 of one."""
  return view._replace(
    client=jnp.where(active, jnp.int32(0), 1)[None],
    active=active[None],
    slot=slot[None],
    private=None if private is None else private[None],
    pool=None,
  )
