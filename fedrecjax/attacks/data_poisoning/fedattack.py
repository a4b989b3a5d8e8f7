"""FedAttack: malicious clients train on the items that suit them worst, by the model's own ranking."""

from __future__ import annotations

from typing import Literal

import jax
import jax.numpy as jnp

from fedrecjax.attacks.registry import ATTACKS
from fedrecjax.clients.sampling import distinct_ranks, uniform_below
from fedrecjax.clients.user_vectors import sequence_vectors, set_vectors
from fedrecjax.methods.hyperparameters import check, traced
from fedrecjax.types import Array, Attack, AttackView, Samples, State
from fedrecjax.uploads.used_places import map_used


def user_vectors(samples: Samples, view: AttackView, malicious: Array) -> Array:
  """The malicious clients' vectors as their own data and the current parameters make them, `[A, r]`.

  Args:
    samples: the round's, before they are poisoned.
    view: who attacks.
    malicious: which places of the round do, bool `[C]`.
  """
  model, (table, shared) = view.model, view.received
  assert view.private is not None
  if model.encode is not None:
    length = samples.length[view.slot][:, None]
    start = (jnp.cumsum(samples.length, dtype=jnp.int32) - samples.length)[view.slot][:, None]
    # The latest items; unused places of a history come first.
    offset = length - model.history + jnp.arange(model.history, dtype=jnp.int32)
    places = jnp.clip(start + offset, 0, samples.client.shape[0] - 1)
    return sequence_vectors(model, table[samples.positive[places]], offset >= 0, shared)[:, -1]
  if model.attend is None:
    return view.private
  place = jnp.where(view.active, view.slot, view.num_clients)
  private = jnp.zeros((view.num_clients, view.private.shape[1]), jnp.float32).at[place].set(view.private, mode="drop")
  taking_part = samples.valid & malicious[samples.client]
  vectors = set_vectors(model, private, table[samples.positive], samples.client, taking_part, shared)
  return vectors[view.slot]


def hard_items(
  highest: Array, lowest: Array, own_rank: Array, ranks: Array, rank_from_below: Array
) -> tuple[Array, Array]:
  """A poisoned sample.

  Args:
    highest: items with the highest scores, in order, int32 `[K]`.
    lowest: those with the lowest, in order, int32 `[L]`.
    own_rank: place of the sample's positive in `highest`, which is no negative; K if it is not there.
    ranks: ranks of the negatives among the other items, int32 `[q]`, below K - 1.
    rank_from_below: place of the new positive in `lowest`.

  Returns:
    The new positive and its negatives `[q]`.
  """
  return lowest[rank_from_below], highest[ranks + (ranks >= own_rank)]


@ATTACKS.register
@traced
def fedattack(*, hard_share: float | None = None, excluded: Literal["sample", "client"] = "sample") -> Attack:
  """Malicious clients take what they like best for negatives and what they like least for positives.

  In every round each of them scores all items for its current vector: its own as trained so far, or the one that the
  model makes of its items. A sample's negatives become the highest-ranked items but its positive, its positive the
  lowest-ranked item. The client then trains on these samples like everybody else, its own vector included. In models
  that make a user's vector from its items, the exchanged positives are its items.

  Args:
    hard_share: share of all items, from the top, that negatives are drawn from without replacement, and from the
      bottom, that positives are drawn from; none: the hardest themselves.
    excluded: items that are no negatives of a sample: its own positive, "sample" (published code), or all positives of
      the "client".

  Returns:
    A data-poisoning attack of clients with data of their own; it knows nothing else.

  Raises:
    ValueError: if `hard_share` is outside 0..1.

  References:
    Wu et al., "FedAttack: Effective and Covert Poisoning Attack on Federated Recommendation via Hard Sampling", 2022.
  """
  if hard_share is not None:
    check((hard_share > 0) & (hard_share <= 1), f"fedattack.hard_share must be above 0 and at most 1, got {hard_share}")

  def drawn_ranks(
    samples: Samples, poisoned: Array, client: Array, free: Array, num_items: int, key: Array
  ) -> tuple[Array, Array]:
    """Ranks of each sample's negatives `[P, q]` and positive `[P]` in the hard share."""
    count = samples.negatives.shape[1]
    # A product just above an integer counts as that integer.
    hard = jnp.ceil(jnp.asarray(hard_share) * num_items - 1e-3).astype(jnp.int32)

    def of_sample(client: Array, number: Array, free: Array) -> tuple[Array, Array]:
      own = jax.random.fold_in(jax.random.fold_in(key, client), number)
      for_negatives, for_positive = jax.random.split(own)
      negatives = distinct_ranks(for_negatives, jnp.clip(hard, min(count, num_items - 1), free), count)
      return negatives, uniform_below(jax.random.bits(for_positive, (), jnp.uint32), jnp.maximum(hard, 1))

    number = jnp.arange(samples.client.shape[0], dtype=jnp.int32) - samples.first
    return map_used(of_sample, poisoned, client, number, free)

  def samples(state: State, samples: Samples, view: AttackView, malicious: Array, key: Array) -> Samples:
    del state
    num_items, (places, count) = view.public.items.shape[0], samples.negatives.shape
    attackers = view.client.shape[0]
    slot = jnp.where(view.active, view.slot, view.num_clients)
    number = jnp.zeros(view.num_clients, jnp.int32).at[slot].set(jnp.arange(attackers, dtype=jnp.int32), mode="drop")
    attacker = number[samples.client]
    poisoned = samples.valid & malicious[samples.client]
    users, received = user_vectors(samples, view, malicious), view.received
    scores = jax.vmap(lambda user: view.model.score(received, user, None))(users)
    candidates, free = scores, jnp.full(attackers, num_items - 1, jnp.int32)
    if excluded == "client":
      of_attacker = jnp.where(poisoned, attacker, attackers)
      held = jnp.zeros((attackers, num_items), bool).at[of_attacker, samples.positive].set(True, mode="drop")
      candidates, free = jnp.where(held, -jnp.inf, scores), num_items - jnp.sum(held, axis=1, dtype=jnp.int32)
    depth = num_items if hard_share is not None else min(count + 1, num_items)

    def ranked(scores: Array, candidates: Array) -> tuple[Array, Array]:
      return jax.lax.top_k(candidates, depth)[1], jax.lax.top_k(-scores, depth)[1]

    highest, lowest = map_used(ranked, view.active, scores, candidates, chunk=1)
    rows, places_of = jnp.arange(attackers, dtype=jnp.int32)[:, None], jnp.arange(depth, dtype=jnp.int32)
    rank = jnp.full((attackers, num_items), depth, jnp.int32).at[rows, highest].set(places_of)
    if hard_share is None:
      ranks = jnp.broadcast_to(jnp.arange(count, dtype=jnp.int32), (places, count))
      from_below = jnp.zeros(places, jnp.int32)
    else:
      ranks, from_below = drawn_ranks(samples, poisoned, view.client[attacker], free[attacker], num_items, key)

    def of_sample(attacker: Array, positive: Array, ranks: Array, from_below: Array) -> tuple[Array, Array]:
      return hard_items(highest[attacker], lowest[attacker], rank[attacker, positive], ranks, from_below)

    positive, negatives = jax.vmap(of_sample)(attacker, samples.positive, ranks, from_below)
    positive = jnp.where(poisoned, positive, samples.positive)
    negatives = jnp.where(poisoned[:, None], negatives, samples.negatives)
    # What is not uploaded stays so: unused places, and negatives of a history's first item.
    items = jnp.concatenate([positive[:, None], negatives], axis=1)
    uploaded = jnp.where(poisoned[:, None] & (samples.uploaded < num_items), items, samples.uploaded)
    return samples._replace(positive=positive, negatives=negatives, uploaded=uploaded)

  return Attack(samples=samples, requires=frozenset({"own_data"}))
