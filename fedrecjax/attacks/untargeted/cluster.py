"""ClusterAttack: malicious clients draw all item embeddings together into a few dense clusters.

Yu et al., "Untargeted Attack against Federated Recommendation Systems via Poisonous Item Embeddings and the Defense",
AAAI 2023. Where the paper and its published code differ, the choice is an option; docs/fidelity_attacks.md compares
them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from fedrecjax.attacks.attacked_rounds import when_active
from fedrecjax.attacks.registry import ATTACKS
from fedrecjax.attacks.untargeted.cluster_count import ClusterCount, Rounding, first_count, next_counts, update_count
from fedrecjax.attacks.untargeted.kmeans import random_kmeans
from fedrecjax.clients.sampling import distinct_numbers
from fedrecjax.methods.hyperparameters import check, traced
from fedrecjax.methods.options import keywords_of
from fedrecjax.numerics.random import uniform
from fedrecjax.types import Array, Attack, AttackContext, AttackView, ClientUpdates
from fedrecjax.uploads.rows import clip_factor, item_rows, row_norms

Bound = Literal["rescale", "clip"]
Reduction = Literal["mean", "sum"]
Statistics = Literal["all_rows", "touched"]
# In the published code, against a division by zero.
_LEAST_NORM = 1e-8

OwnInit = Callable[[AttackContext], Any]
OwnGradients = Callable[[Any, AttackView, Array], Array]


class ClusterState(NamedTuple):
  """State of :func:`cluster`.

  Attributes:
    clusters: their number and what decides about it.
    sampled: clients whose honest uploads the norms are estimated from, float32 scalar.
    used: clusters of the last attacked round, int32 scalar.
    loss: of them (Eq. 2), as `reduction` has it, float32 scalar.
    own: what the malicious clients know of their own data, where they use more than their uploads; else `()`.
  """

  clusters: ClusterCount
  sampled: Array
  used: Array
  loss: Array
  own: Any = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClusterOptions:
  """Hyperparameters of :func:`cluster`.

  Attributes:
    initial_clusters: clusters at first; 2 for MovieLens, 8 for Gowalla in the paper.
    min_clusters: fewest clusters, K_min.
    max_clusters: most clusters, K_max; at most the number of items.
    adaptive: the number of clusters follows their loss (Algorithm 1), or stays as it is (section 5.6).
    threshold: attacked rounds in which the average loss has risen more often than fallen, or the other way round,
      before the number of clusters changes, R.
    threshold_growth: share by which the threshold grows with each change; 0 is the paper's, a constant. The published
      code reads an option for it that it does not have.
    decay: of the average loss, beta; the paper gives no value.
    rounding: of a new number of clusters, to the "nearest" (published code) or "floor" (Algorithm 1).
    reduction: the loss is divided by the number of clusters, "mean" (published code), or not, "sum" (Eq. 2). Without
      effect on rescaled rows.
    bound: rows are brought to exactly their bound, "rescale" (published code), or only shortened to it, "clip"
      (Eq. 3).
    statistics: norms are taken from "all_rows" of the table at each sampled client, nearly all zero (published
      code), or from those rows that it would upload, "touched".
    max_deviations: a bound is the mean norm plus this many standard deviations times a number drawn from 0 to 1 for
      each client and row; 3 in both.
    num_sampled: malicious clients, in the round or not, whose honest uploads the norms are estimated from.
    tolerance: k-means ends when all centres together move by less than this.
    max_iterations: most iterations of k-means; the published code has no limit.
  """

  initial_clusters: int = 2
  min_clusters: int = 1
  max_clusters: int = 50
  adaptive: bool = True
  threshold: float = 100.0
  threshold_growth: float = 0.0
  decay: float = 0.999
  rounding: Rounding = "nearest"
  reduction: Reduction = "mean"
  bound: Bound = "rescale"
  statistics: Statistics = "all_rows"
  max_deviations: float = 3.0
  num_sampled: int = 50
  tolerance: float = 1e-4
  max_iterations: int = 300


def check_clusters(name: str, options: ClusterOptions) -> None:
  """Raises ValueError, naming the attack's field, if a number is out of its range."""
  check(options.min_clusters > 0, f"{name}.min_clusters must be positive, got {options.min_clusters}")
  check(options.max_clusters >= options.min_clusters,
        f"{name}.max_clusters must be at least {name}.min_clusters, got {options.max_clusters}")
  check(options.min_clusters <= options.initial_clusters <= options.max_clusters,
        f"{name}.initial_clusters must lie between the fewest and the most clusters, got {options.initial_clusters}")
  for field in ("threshold", "num_sampled", "tolerance", "max_iterations"):
    check(getattr(options, field) > 0, f"{name}.{field} must be positive, got {getattr(options, field)}")
  for field in ("threshold_growth", "max_deviations"):
    check(getattr(options, field) >= 0, f"{name}.{field} must be 0 or more, got {getattr(options, field)}")
  check((options.decay >= 0) & (options.decay <= 1), f"{name}.decay must lie in 0..1, got {options.decay}")


def norm_statistics(
  pool: ClientUpdates, num_items: int, sampled: Array, statistics: Statistics
) -> tuple[Array, Array]:
  """Mean and standard deviation of the norms of honest item rows.

  Args:
    pool: honest uploads, one row per client and item.
    num_items: M.
    sampled: clients that they are from.
    statistics: "all_rows" counts M rows for each of the clients, those that it did not upload as zero; "touched"
      counts uploaded rows alone.

  Returns:
    Mean and standard deviation (over n - 1) of the norms; 0 where there are none, or only one.
  """
  used = pool.item < num_items
  norms = jnp.where(used, row_norms(pool.row), 0.0)
  touched = jnp.sum(used, dtype=jnp.int32).astype(norms.dtype)
  count = sampled * num_items if statistics == "all_rows" else touched
  mean = jnp.sum(norms) / jnp.maximum(count, 1.0)
  squares = jnp.sum(jnp.where(used, (norms - mean) ** 2, 0.0)) + (count - touched) * mean**2
  return mean, jnp.sqrt(squares / jnp.maximum(count - 1, 1.0))


def bounded(gradient: Array, bound: Array, rule: Bound) -> Array:
  """Rows brought to their bounds.

  Args:
    gradient: `[..., d]`.
    bound: of each row `[...]`.
    rule: "clip" only shortens (Eq. 3); "rescale" lengthens too. A row of zeros stays one.

  Returns:
    `[..., d]`.
  """
  norm = row_norms(gradient)
  if rule == "clip":
    return gradient * clip_factor(norm, jnp.broadcast_to(bound, norm.shape))[..., None]
  return gradient * (bound / (norm + _LEAST_NORM))[..., None]


def cluster_attack(
  options: ClusterOptions, own_init: OwnInit | None = None, own_gradients: OwnGradients | None = None
) -> Attack:
  """The attack with the given hyperparameters.

  Args:
    options: checked.
    own_init: what to remember of the malicious clients' own data.
    own_gradients: `(own, view, key) -> [A, M, d]`: what each client adds to the gradient before it is bounded.
  """
  more, fewer = next_counts(options.min_clusters, options.max_clusters, options.rounding)

  def init(key: Array, context: AttackContext) -> ClusterState:
    del key
    if options.max_clusters > context.num_items:
      raise ValueError(f"max_clusters = {options.max_clusters} clusters start from as many items, and there are"
                       f" {context.num_items}")
    sampled = jnp.float32(min(options.num_sampled, context.num_malicious))
    own = () if own_init is None else own_init(context)
    nothing = jnp.int32(0), jnp.zeros((), jnp.float32)
    return ClusterState(first_count(options.initial_clusters, options.threshold), sampled, *nothing, own)

  def prepare(state: ClusterState, view: AttackView, key: Array) -> tuple[Array, ClusterState]:
    """Rows of all places `[A, M, d]`, and the next state."""
    table = view.public.items
    for_centers, for_bounds, for_own = jax.random.split(key, 3)
    first = distinct_numbers(for_centers, table.shape[0], options.max_clusters)
    found = random_kmeans(
      table, first, state.clusters.number, tolerance=options.tolerance, max_iterations=options.max_iterations
    )
    deviation = table - found.center[found.label]
    parts = state.clusters.number if options.reduction == "mean" else 1
    loss = jnp.sum(deviation * deviation) / parts
    gradient = 2 * deviation / parts
    assert view.pool is not None
    mean, spread = norm_statistics(view.pool, table.shape[0], state.sampled, options.statistics)
    keys = jax.vmap(jax.random.fold_in, in_axes=(None, 0))(for_bounds, view.client)
    share = jax.vmap(lambda key: uniform(key, (table.shape[0],)))(keys)
    bound = mean + options.max_deviations * share * spread
    if own_gradients is None:
      gradient = jnp.broadcast_to(gradient, (*bound.shape, gradient.shape[1]))
    else:
      gradient = gradient + own_gradients(state.own, view, for_own)
    clusters = state.clusters
    if options.adaptive:
      clusters = update_count(
        clusters, loss, decay=options.decay, growth=options.threshold_growth, more=more, fewer=fewer
      )
    return bounded(gradient, bound, options.bound), state._replace(
      clusters=clusters, used=state.clusters.number, loss=loss
    )

  def poison(
    state: ClusterState, uploads: ClientUpdates, view: AttackView, key: Array
  ) -> tuple[ClientUpdates, ClusterState]:
    num_items = view.public.items.shape[0]
    rows, state = prepare(state, view, key)
    sent = item_rows(view.slot, view.active, jnp.arange(num_items, dtype=jnp.int32), rows, num_items)
    return sent._replace(shared=uploads.shared, sent=uploads.sent), state

  def tells(state: ClusterState, view: AttackView) -> dict[str, Array]:
    del view
    return {"clusters": state.used.astype(jnp.float32), "loss": state.loss}

  return Attack(
    when_active(poison), init, requires=frozenset({"own_data"}), pool=options.num_sampled, colludes=True, tells=tells
  )


@ATTACKS.register
@traced
@keywords_of(ClusterOptions)
def cluster(options: ClusterOptions) -> Attack:
  """ClusterAttack: each malicious client uploads, for all items, the gradient that draws clusters together.

  The malicious clients of a round split the item table by k-means, from random items as centres, and upload the
  gradient of the sum of squared distances to the centres (Eq. 2), every row brought to a bound estimated from what
  they would upload if they behaved. They share one clustering and the estimate, and differ in the bounds they draw.
  Their own vectors and other parameters are trained honestly. Defaults are the published code's.

  Returns:
    A model-poisoning attack of clients with data of their own.

  Raises:
    ValueError: if a number is out of range; by `init`, if there are fewer items than `max_clusters`.

  References:
    Yu et al., "Untargeted Attack against Federated Recommendation Systems via Poisonous Item Embeddings and the
    Defense", 2023, section 4.1, Eqs. 2 and 3, Algorithm 1.
  """
  check_clusters("cluster", options)
  return cluster_attack(options)
