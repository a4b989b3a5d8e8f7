"""PIECK: the popular item embedding based attack, in its two forms.

Malicious clients find popular items by how much their embeddings move (:mod:`fedrecjax.mining`), then push
the targets towards them: PIECK-IPE by cosine similarity, PIECK-UEA by taking popular items for users.

Reference: Zhang et al., "Preventing the Popular Item Embedding Based Attack in Federated Recommendations", 2024.
Where the paper and its published code differ, the choice is an option; docs/fidelity.md compares them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp

from fedrecjax.attacks.registry import ATTACKS
from fedrecjax.hyperparameters import check, traced
from fedrecjax.mining import MiningState, init_mining, mine, popular_items
from fedrecjax.similarity import cosine
from fedrecjax.types import Attack, AttackContext, AttackView, ClientUpdates
from fedrecjax.uploads import item_rows

BeforeMined = Literal["wait", "arbitrary"]
Strategy = Literal["together", "copy"]


def inverse_rank_weights(member: jax.Array) -> jax.Array:
  """Normalised inverse ranks of the members of a ranked list.

  Args:
    member: which places of the list belong to the subset, bool `[N]`, best first.

  Returns:
    (n - r + 1) / (n (n + 1) / 2) for the r-th of n members, 0 elsewhere, float32 `[N]`.

  >>> inverse_rank_weights(jnp.array([True, False, True])).tolist()  # 2/3 and 1/3
  [0.6666666865348816, 0.0, 0.3333333432674408]
  """
  rank = jnp.cumsum(member)
  count = rank[-1]
  return jnp.where(member, (count - rank + 1) / jnp.maximum(count * (count + 1) / 2, 1), 0.0)


def ipe_loss(
  target: jax.Array, popular: jax.Array, *, strength: jax.Array | float, weighting: Literal["subset", "list"]
) -> jax.Array:
  """The popularity enhancement loss of one target (Eq. 8).

  Args:
    target: the target's row `[d]`.
    popular: rows of the mined items, most popular first `[N, d]`; constants.
    strength: lambda.
    weighting: "subset" ranks anew within the items of positive and of other cosine, as in the paper; "list" keeps
      the weights of the whole list, as in the published code.

  Returns:
    Scalar.
  """
  popular = jax.lax.stop_gradient(popular)
  similarity = jax.vmap(cosine, in_axes=(0, None))(popular, target)
  positive = similarity > 0
  total = jnp.zeros(())
  for member in (positive, ~positive):
    weights = inverse_rank_weights(member if weighting == "subset" else jnp.ones_like(member))
    total += jnp.sum(jnp.where(member, weights * similarity, 0.0)) / jnp.maximum(jnp.sum(member), 1)
  return -strength * total


def uea_weights(
  num_popular: int, *, reading: Literal["mean", "batches"], num_batches: int, repeats: int
) -> list[float]:
  """Weight of each mined item in the gradient of PIECK-UEA, most popular first.

  Args:
    num_popular: N.
    reading: "mean" weighs all by 1/N (Eq. 10). "batches" is the published code's: the list is cut into batches;
      the gradient is read out after each of `repeats` passes over each batch, and never cleared between them.
    num_batches: number of batches; N modulo this many items at the end of the list are left out.
    repeats: passes over each batch.

  Returns:
    N weights, which add up to 1 for "mean".

  >>> [round(5 * weight, 1) for weight in uea_weights(5, reading="batches", num_batches=5, repeats=3)]
  [14.0, 11.0, 8.0, 5.0, 2.0]
  """
  if reading == "mean":
    return [1 / num_popular] * num_popular
  size = num_popular // num_batches
  reads = num_batches * repeats
  weights = [0.0] * num_popular
  for batch in range(num_batches):
    positions = range(batch * repeats + 1, (batch + 1) * repeats + 1)
    accumulated = sum(reads - position + 1 for position in positions) / (repeats * num_batches)
    weights[batch * size : (batch + 1) * size] = [accumulated / size] * size
  return weights


def uea_loss(target: jax.Array, popular: jax.Array, weights: jax.Array) -> jax.Array:
  """The user approximation loss of one target (Eq. 10), popular items standing in for users.

  Args:
    target: the target's row `[d]`.
    popular: rows of the mined items `[N, d]`; constants.
    weights: weight of each mined item `[N]`.

  Returns:
    - sum_k weights_k log sigmoid(popular_k . target), a scalar.
  """
  return jnp.sum(weights * jax.nn.softplus(-jax.lax.stop_gradient(popular) @ target))


def _pieck(
  target_loss: Callable[[jax.Array, jax.Array], jax.Array],
  *,
  num_popular: int,
  mining_differences: int,
  before_mined: BeforeMined,
  strategy: Strategy,
  scale: jax.Array | float,
) -> Attack:
  """What both forms share: mining, several targets, and uploading the targets' rows alone."""

  def init(key: jax.Array, context: AttackContext) -> MiningState:
    return init_mining(
      key,
      rounds=context.rounds,
      num_clients=context.num_malicious,
      num_items=context.num_items,
      dim=context.dim,
      excluded=context.targets,
      num_popular=num_popular,
      differences=mining_differences,
    )

  def gradients(table: jax.Array, targets: jax.Array, popular: jax.Array) -> jax.Array:
    rows, popular_rows = table[targets], table[popular]
    each = jax.vmap(jax.grad(target_loss), in_axes=(0, None))
    if strategy == "copy":
      return jnp.broadcast_to(each(rows[:1], popular_rows), rows.shape)
    return each(rows, popular_rows) / rows.shape[0]

  def poison(
    state: MiningState, uploads: ClientUpdates, view: AttackView, key: jax.Array
  ) -> tuple[ClientUpdates, MiningState]:
    del uploads, key
    table = view.public.items
    state = mine(state, table, view.round)
    popular, mined = popular_items(state, view.client)
    rows = scale * jax.vmap(gradients, in_axes=(None, None, 0))(table, view.targets, popular)
    sending = view.active
    if before_mined == "wait":
      sending &= mined
    return item_rows(view.slot, sending, view.targets, rows, table.shape[0]), state

  return Attack(poison, init)


def _check_common(name: str, num_popular: int, mining_differences: int) -> None:
  check(num_popular > 0, f"{name}.num_popular must be positive, got {num_popular}")
  check(mining_differences > 0, f"{name}.mining_differences must be positive, got {mining_differences}")


@ATTACKS.register
@traced
def pieck_ipe(
  *,
  num_popular: int = 10,
  strength: float = 0.9,
  weighting: Literal["subset", "list"] = "subset",
  mining_differences: int = 2,
  before_mined: BeforeMined = "wait",
  strategy: Strategy = "together",
  scale: float = 1.0,
) -> Attack:
  """PIECK-IPE: pulls the targets towards the mined popular items by weighted cosine similarity.

  Args:
    num_popular: number of popular items to mine, N (Algorithm 1); 10 is what section VI-D calls effective.
    strength: lambda in (0, 1] (Eq. 8).
    weighting: "subset" normalises the inverse ranks within P+ and within P- (Eq. 8); "list" over the whole list,
      as in the published code.
    mining_differences: differences between consecutive participations to add up, R-tilde (Algorithm 1; section
      IV-B uses 2). The published code uses 1.
    before_mined: "wait" uploads nothing until the items are mined (Algorithm 2); "arbitrary" attacks with arbitrary
      items until then, as in the published code.
    strategy: with several targets, "together" averages the loss over them, "copy" trains the first and uploads its
      gradient for all (supplement C).
    scale: factor on the upload; 1 is the paper's.

  Returns:
    A model-poisoning attack without knowledge; one row per target and client.

  Raises:
    ValueError: if a number is out of its range.

  References:
    Zhang et al., 2024, section IV-C, Eq. 8, Algorithm 2.
  """
  _check_common("pieck_ipe", num_popular, mining_differences)
  check((strength > 0) & (strength <= 1), f"pieck_ipe.strength must lie in (0, 1], got {strength}")

  def target_loss(target: jax.Array, popular: jax.Array) -> jax.Array:
    return ipe_loss(target, popular, strength=strength, weighting=weighting)

  return _pieck(target_loss, num_popular=num_popular, mining_differences=mining_differences,
                before_mined=before_mined, strategy=strategy, scale=scale)


@ATTACKS.register
@traced
def pieck_uea(
  *,
  num_popular: int = 50,
  reading: Literal["mean", "batches"] = "batches",
  num_batches: int = 5,
  repeats: int = 3,
  mining_differences: int = 2,
  before_mined: BeforeMined = "wait",
  strategy: Strategy = "together",
  scale: float = 1.0,
) -> Attack:
  """PIECK-UEA: trains the targets to be liked by the mined popular items, taken for users.

  Args:
    num_popular: number of popular items to mine, N (Algorithm 1); 50 is supplement C's.
    reading: "mean" is Eq. 10; "batches" the accumulation over batches and rounds that section VI-F mentions, as
      the published code does it, which is eight times stronger.
    num_batches: for "batches": number of batches.
    repeats: for "batches": passes over each batch.
    mining_differences: differences between consecutive participations to add up, R-tilde (Algorithm 1; section
      IV-B uses 2). The published code uses 1.
    before_mined: "wait" uploads nothing until the items are mined (Algorithm 3); "arbitrary" attacks with arbitrary
      items until then, as in the published code.
    strategy: with several targets, "together" averages the loss over them, "copy" trains the first and uploads its
      gradient for all (supplement C).
    scale: factor on the upload; 1 is the paper's.

  Returns:
    A model-poisoning attack without knowledge; one row per target and client.

  Raises:
    ValueError: if a number is out of its range.

  References:
    Zhang et al., 2024, section IV-D, Eq. 10, Algorithm 3.
  """
  _check_common("pieck_uea", num_popular, mining_differences)
  check(0 < num_batches <= num_popular, f"pieck_uea.num_batches must lie in 1..num_popular, got {num_batches}")
  check(repeats > 0, f"pieck_uea.repeats must be positive, got {repeats}")
  weights = uea_weights(num_popular, reading=reading, num_batches=num_batches, repeats=repeats)

  def target_loss(target: jax.Array, popular: jax.Array) -> jax.Array:
    return uea_loss(target, popular, jnp.asarray(weights))

  return _pieck(target_loss, num_popular=num_popular, mining_differences=mining_differences,
                before_mined=before_mined, strategy=strategy, scale=scale)
