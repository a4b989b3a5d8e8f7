"""PIECK: the popular item embedding based attack, in its two forms.

Malicious clients find popular items by how much their embeddings move (:mod:`fedrecjax.popularity.mining`), then push
the targets towards them: PIECK-IPE by cosine similarity, PIECK-UEA by taking popular items for users.

Reference: Zhang et al., "Preventing the Popular Item Embedding Based Attack in Federated Recommendations", 2024.
Where the paper and its published code differ, the choice is an option; docs/fidelity.md compares them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Annotated, Any, Literal

import jax
import jax.numpy as jnp

from fedrecjax.attacks.registry import ATTACKS
from fedrecjax.clients.user_vectors import vector_without_items
from fedrecjax.methods.fields import IF_SET
from fedrecjax.methods.hyperparameters import check, traced
from fedrecjax.methods.options import keywords_of
from fedrecjax.numerics.similarity import cosine
from fedrecjax.popularity.mining import MiningState, init_mining, mine, popular_items
from fedrecjax.types import Attack, AttackContext, AttackView, ClientUpdates, Model
from fedrecjax.uploads.rows import item_rows, with_shared

BeforeMined = Literal["wait", "arbitrary", "own_arbitrary"]
Strategy = Literal["together", "copy"]
Weighting = Literal["subset", "list", "ones", "equal"]
Metric = Literal["cosine", "kl"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class PieckOptions:
  """Hyperparameters of both forms of PIECK.

  Attributes:
    num_popular: number of popular items to mine, N (Algorithm 1).
    mining_differences: differences between consecutive participations to add up, R-tilde (Algorithm 1; section
      IV-B uses 2). The published code uses 1.
    before_mined: "wait" uploads nothing until the items are mined (Algorithms 2 and 3); "arbitrary" attacks with
      arbitrary items until then, the same for all clients of a run, as in the published code; "own_arbitrary" with each
      client's own.
    strategy: with several targets, "together" averages the loss over them, "copy" trains the first and uploads its
      gradient for all (supplement C).
    scale: factor on the upload; 1 is the paper's.
  """

  num_popular: int
  mining_differences: int = 2
  before_mined: BeforeMined = "wait"
  strategy: Strategy = "together"
  scale: float = 1.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class IpeOptions(PieckOptions):
  """Hyperparameters of :func:`pieck_ipe`.

  Attributes:
    num_popular: number of popular items to mine, N (Algorithm 1); 10 is what section VI-D calls effective.
    strength: lambda in (0, 1] (Eq. 8).
    weighting: kappa: "subset" normalises the inverse ranks within P+ and within P- (Eq. 8); "list" over the whole list,
      as in the published code; "ones" leaves the factor out; "equal" is 1 / n for each of n items.
    lengthen_above: mean cosine to the mined items beyond which the target's length is pushed up instead of its
      direction, as in the published code for NCF (0.95); none: never, as in the paper.
    metric: what is made large between target and mined items: their "cosine" (Eq. 8), or minus the Kullback-Leibler
      divergence "kl" of the target's distribution from theirs, softmax over d (Eq. 9; Table VI).
    partition: whether P+ and P- are averaged apart (Eq. 8) or all mined items together (Table VI).
  """

  num_popular: int = 10
  strength: float = 0.9
  weighting: Weighting = "subset"
  lengthen_above: float | None = None
  metric: Annotated[Metric, IF_SET] = "cosine"
  partition: Annotated[bool, IF_SET] = True


@dataclasses.dataclass(frozen=True, kw_only=True)
class UeaOptions(PieckOptions):
  """Hyperparameters of :func:`pieck_uea`.

  Attributes:
    num_popular: number of popular items to mine, N (Algorithm 1); 50 is supplement C's.
    reading: "mean" is Eq. 10; "batches" the accumulation over batches and rounds that section VI-F mentions, as
      the published code does it, which is eight times stronger.
    num_batches: for "batches": number of batches.
    repeats: for "batches": passes over each batch.
    upload_shared: whether the gradient with respect to the shared parameters is uploaded too, as in the published
      code; Algorithm 3 uploads the targets' rows alone. Without effect on models that have none.
  """

  num_popular: int = 50
  reading: Literal["mean", "batches"] = "batches"
  num_batches: int = 5
  repeats: int = 3
  upload_shared: bool = True


def inverse_rank_weights(member: jax.Array) -> jax.Array:
  """Normalised inverse ranks of the members of a ranked list.

  Args:
    member: which places of the list belong to the subset, bool `[N]`, best first.

  Returns:
    (n - r + 1) / (n (n + 1) / 2) for the r-th of n members, 0 elsewhere, float32 `[N]`.

  >>> inverse_rank_weights(jnp.array([True, False, True])).tolist()  # 2/3 and 1/3
  [0.6666666865348816, 0.0, 0.3333333432674408]
  """
  rank = jnp.cumsum(member, dtype=jnp.int32)
  count = rank[-1]
  return jnp.where(member, (count - rank + 1) / jnp.maximum(count * (count + 1) / 2, 1), 0.0)


def ipe_loss(
  target: jax.Array,
  popular: jax.Array,
  *,
  strength: jax.Array | float,
  weighting: Weighting,
  lengthen_above: jax.Array | float | None = None,
  metric: Metric = "cosine",
  partition: bool = True,
) -> jax.Array:
  """The popularity enhancement loss of one target (Eq. 8).

  Args:
    target: the target's row `[d]`.
    popular: rows of the mined items, most popular first `[N, d]`; constants.
    strength: lambda.
    weighting: "subset" ranks anew within the items of positive and of other cosine, as in the paper; "list" keeps
      the weights of the whole list, as in the published code; "ones" weighs by 1, "equal" by 1 / n within a subset.
    lengthen_above: mean cosine beyond which the loss is minus the target's length instead; None: never.
    metric: "cosine", or "kl" for minus the divergence KL(item, target) of their softmaxes.
    partition: whether items of positive and of other cosine are averaged apart.

  Returns:
    Scalar.
  """
  popular = jax.lax.stop_gradient(popular)
  similarity = jax.vmap(cosine, in_axes=(0, None))(popular, target)
  closeness = similarity if metric == "cosine" else -jax.vmap(_divergence, in_axes=(0, None))(popular, target)
  everywhere = jnp.ones_like(similarity, bool)
  positive = similarity > 0
  total = jnp.zeros((), jnp.float32)
  for member in (positive, ~positive) if partition else (everywhere,):
    size = jnp.maximum(jnp.sum(member, dtype=jnp.int32), 1)
    weights: jax.Array | float = 1.0
    if weighting == "equal":
      weights = 1.0 / size
    elif weighting != "ones":
      weights = inverse_rank_weights(member if weighting == "subset" else everywhere)
    total += jnp.sum(jnp.where(member, weights * closeness, 0.0)) / size
  aligning = -strength * total
  if lengthen_above is None:
    return aligning
  # The root of a sum of zeros has no gradient; such a target is not aligned with anything.
  square = jnp.sum(target * target)
  length = jnp.sqrt(jnp.where(square > 0, square, 1.0))
  return jnp.where(jnp.mean(similarity) > lengthen_above, -length, aligning)


def _divergence(item: jax.Array, target: jax.Array) -> jax.Array:
  """KL(item, target) of the softmaxes of two vectors `[d]`, in nats."""
  of_item = jax.nn.log_softmax(item)
  return jnp.sum(jnp.exp(of_item) * (of_item - jax.nn.log_softmax(target)))


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


def uea_loss(model: Model, target: jax.Array, popular: jax.Array, shared: Any, weights: jax.Array) -> jax.Array:
  """The user approximation loss of one target (Eq. 10), popular items standing in for users.

  Args:
    model: scores the target for each of them.
    target: the target's row `[d]`.
    popular: rows of the mined items `[N, d]`; constants.
    shared: the other public parameters.
    weights: weight of each mined item `[N]`.

  Returns:
    - sum_k weights_k log sigmoid(score of the target for popular_k), a scalar.
  """

  def logit(user: jax.Array) -> jax.Array:
    return model.score_row(vector_without_items(model, user, target, shared), target, shared)

  return jnp.sum(weights * jax.nn.softplus(-jax.vmap(logit)(jax.lax.stop_gradient(popular))))


def _check_mining(name: str, options: PieckOptions) -> None:
  for field in ("num_popular", "mining_differences"):
    check(getattr(options, field) > 0, f"{name}.{field} must be positive, got {getattr(options, field)}")


def _pieck(
  options: PieckOptions,
  target_loss: Callable[[Model, jax.Array, jax.Array, Any], jax.Array],
  *,
  upload_shared: bool = False,
) -> Attack:
  """What both forms share: mining, several targets, and what is uploaded."""

  def init(key: jax.Array, context: AttackContext) -> MiningState:
    return init_mining(
      key,
      rounds=context.rounds,
      num_clients=context.num_malicious,
      num_items=context.num_items,
      dim=context.dim,
      excluded=context.targets,
      num_popular=options.num_popular,
      differences=options.mining_differences,
      own_arbitrary=options.before_mined == "own_arbitrary",
    )

  def gradients(view: AttackView, popular: jax.Array) -> tuple[jax.Array, Any]:
    """Gradients with respect to the targets' rows `[T, d]` and to the shared parameters."""
    (received, shared), table = view.received, view.public.items
    rows = received[view.targets]
    trained = rows[:1] if options.strategy == "copy" else rows
    each = jax.vmap(jax.grad(target_loss, argnums=(1, 3)), in_axes=(None, 0, None, None))
    for_rows, for_shared = each(view.model, trained, table[popular], shared)
    for_rows = for_rows[:, : table.shape[1]]
    for_shared = jax.tree.map(lambda leaf: jnp.sum(leaf, axis=0) / trained.shape[0], for_shared)
    return jnp.broadcast_to(for_rows / trained.shape[0], (rows.shape[0], table.shape[1])), for_shared

  def poison(
    state: MiningState, uploads: ClientUpdates, view: AttackView, key: jax.Array
  ) -> tuple[ClientUpdates, MiningState]:
    del uploads, key
    table = view.public.items
    state = mine(state, table, view.round)
    popular, mined = popular_items(state, view.client)
    rows, shared = jax.tree.map(lambda leaf: options.scale * leaf, jax.vmap(lambda one: gradients(view, one))(popular))
    sending = view.active
    if options.before_mined == "wait":
      sending &= mined
    sent = item_rows(view.slot, sending, view.targets, rows, table.shape[0])
    return with_shared(sent, view.slot, sending, shared if upload_shared else (), view.num_clients), state

  return Attack(poison, init)


@ATTACKS.register
@traced
@keywords_of(IpeOptions)
def pieck_ipe(options: IpeOptions) -> Attack:
  """PIECK-IPE: pulls the targets towards the mined popular items by weighted cosine similarity.

  Returns:
    A model-poisoning attack without knowledge; one row per target and client.

  Raises:
    ValueError: if a number is out of its range.

  References:
    Zhang et al., 2024, section IV-C, Eq. 8, Algorithm 2.
  """
  _check_mining("pieck_ipe", options)
  strength, lengthen_above = options.strength, options.lengthen_above
  check((strength > 0) & (strength <= 1), f"pieck_ipe.strength must lie in (0, 1], got {strength}")
  check(lengthen_above is None or (lengthen_above >= -1) & (lengthen_above <= 1),
        f"pieck_ipe.lengthen_above must lie in [-1, 1] or be none, got {lengthen_above}")

  def target_loss(model: Model, target: jax.Array, popular: jax.Array, shared: Any) -> jax.Array:
    del model, shared
    embedding = target[: popular.shape[1]]
    return ipe_loss(
      embedding, popular, strength=strength, weighting=options.weighting, lengthen_above=lengthen_above,
      metric=options.metric, partition=options.partition,
    )

  return _pieck(options, target_loss)


@ATTACKS.register
@traced
@keywords_of(UeaOptions)
def pieck_uea(options: UeaOptions) -> Attack:
  """PIECK-UEA: trains the targets to be liked by the mined popular items, taken for users.

  Returns:
    A model-poisoning attack without knowledge; one row per target and client.

  Raises:
    ValueError: if a number is out of its range.

  References:
    Zhang et al., 2024, section IV-D, Eq. 10, Algorithm 3.
  """
  _check_mining("pieck_uea", options)
  num_popular, num_batches, repeats = options.num_popular, options.num_batches, options.repeats
  check(0 < num_batches <= num_popular, f"pieck_uea.num_batches must lie in 1..pieck_uea.num_popular, got {num_batches}"
        f" for num_popular={num_popular}; with fewer popular items set num_batches to at most that")
  check(repeats > 0, f"pieck_uea.repeats must be positive, got {repeats}")
  weights = uea_weights(num_popular, reading=options.reading, num_batches=num_batches, repeats=repeats)

  def target_loss(model: Model, target: jax.Array, popular: jax.Array, shared: Any) -> jax.Array:
    return uea_loss(model, target, popular, shared, jnp.asarray(weights, jnp.float32))

  return _pieck(options, target_loss, upload_shared=options.upload_shared)
