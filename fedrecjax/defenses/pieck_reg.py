"""PIECK's own defence: benign clients train with two regularisers that take from an attacker what PIECK lives on.

Every client mines popular items for itself (:mod:`fedrecjax.popularity.mining`). The first term makes the other items
of its list look like popular ones, so that resembling a popular item means nothing; the second keeps the client's own
vector apart from theirs, so that popular items cannot stand in for users.

Reference: Zhang et al., "Preventing the Popular Item Embedding Based Attack in Federated Recommendations", 2024.
Where the paper and its published code differ, the choice is an option; docs/fidelity.md compares them.
"""

from __future__ import annotations

from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from fedrecjax.clients.local_training import per_client
from fedrecjax.defenses.registry import DEFENSES
from fedrecjax.methods.hyperparameters import check, traced
from fedrecjax.numerics.similarity import inverse_length
from fedrecjax.popularity.mining import MiningState, init_mining, mine, popular_items
from fedrecjax.types import ClientTerm, ClientView, Defense, DefenseContext

Weighting = Literal["exponential", "quadratic"]
Kl = Literal["user_to_item", "item_to_user"]
KlScale = Literal["sum", "mean"]


def rank_weights(num_popular: int, weighting: Weighting) -> list[float]:
  """kappa', the normalised inverse ranks of mined items, most popular first; they add up to 1.

  Args:
    num_popular: N.
    weighting: the r-th item weighs exp(N - r + 1) or (N - r + 1)^2 before normalisation.

  >>> [round(14 * weight, 3) for weight in rank_weights(3, "quadratic")]
  [9.0, 4.0, 1.0]
  """
  rank = np.arange(1, num_popular + 1)
  weights = np.exp(1.0 - rank) if weighting == "exponential" else (num_popular - rank + 1.0) ** 2
  return (weights / weights.sum()).tolist()


def popular_direction(popular: jax.Array, weights: jax.Array) -> jax.Array:
  """sum_k kappa'_k v_k / |v_k| of popular rows `[N, d]`, of which zero ones count as zero; `[d]`."""
  return (weights * jax.vmap(inverse_length)(popular)) @ popular


def similarity_to_popular(row: jax.Array, towards: jax.Array) -> jax.Array:
  """sum_k kappa'_k cos(v_k, v_j) of an item's row `[d]`, given :func:`popular_direction`; a scalar."""
  return jnp.dot(towards, row) * inverse_length(row)


def user_separation(
  private: jax.Array, popular: jax.Array, weights: jax.Array, *, kl: Kl, kl_scale: KlScale
) -> jax.Array:
  """Re2: how far a user's vector is from those of popular items, each made a distribution by softmax (Eq. 15).

  Args:
    private: the user's vector `[d]`.
    popular: rows of the mined items `[N, d]`.
    weights: kappa' `[N]`.
    kl: "user_to_item" is KL(user || item), "item_to_user" KL(item || user).
    kl_scale: whether a divergence is the sum or the mean over the d dimensions.

  Returns:
    Scalar.
  """
  user, items = jax.nn.log_softmax(private), jax.nn.log_softmax(popular)
  terms = jnp.exp(user) * (user - items) if kl == "user_to_item" else jnp.exp(items) * (items - user)
  return weights @ (jnp.sum(terms, axis=1) if kl_scale == "sum" else jnp.mean(terms, axis=1))


@DEFENSES.register
@traced
def pieck_reg(
  *,
  beta: float = 1.0,
  gamma: float = 1.0,
  num_popular: int = 10,
  weighting: Weighting = "exponential",
  kl: Kl = "item_to_user",
  kl_scale: KlScale = "mean",
  mining_differences: int = 2,
  before_mined: Literal["wait", "arbitrary", "own_arbitrary"] = "wait",
) -> Defense:
  """PIECK's defence: benign clients minimise their loss - beta Re1 - gamma Re2.

  Re1 is the mean over the entries of a client's list outside its popular items (positives and negatives, an item as
  often as it occurs; 0 if there are none) of their weighted cosine with the popular ones, Re2 the weighted divergence
  of the client's vector from them. Popular items' vectors are constants in both.

  Args:
    beta: weight of Re1 (Eq. 16); 1 as in the published code for MF.
    gamma: weight of Re2 (Eq. 16); 1 as in the published code for MF.
    num_popular: items that each client mines, N; 10 is section VI-D's.
    weighting: kappa', "exponential" in the inverse rank (Eq. 14) or "quadratic", as in the published code for MF.
    kl: "item_to_user" is KL(item || user), as Eq. 15 is written, "user_to_item" KL(user || item), as in the
      published code.
    kl_scale: whether a divergence is the "sum" over dimensions, as a divergence is, or their "mean", as in the
      published code; with sums HR@10 falls below the printed figures.
    mining_differences: differences between consecutive participations to add up, R-tilde (Algorithm 1). The
      published code uses 1.
    before_mined: "wait" regularises nothing until a client has mined its items; "arbitrary" adds Re2 with arbitrary
      items until then, the same for all clients of a run, as in the published code; "own_arbitrary" with each client's
      own.

  Returns:
    A defence with a client term only; chain it with an aggregation rule, or leave the sum.

  Raises:
    ValueError: if a number is out of its range.

  References:
    Zhang et al., 2024, section V-B, Eq. 14 to 16.
  """
  check(beta >= 0, f"pieck_reg.beta must not be negative, got {beta}")
  check(gamma >= 0, f"pieck_reg.gamma must not be negative, got {gamma}")
  check(num_popular > 0, f"pieck_reg.num_popular must be positive, got {num_popular}")
  check(mining_differences > 0, f"pieck_reg.mining_differences must be positive, got {mining_differences}")

  def init(key: jax.Array, context: DefenseContext) -> MiningState:
    return init_mining(
      key,
      rounds=context.rounds,
      num_clients=context.federation,
      num_items=context.num_items,
      dim=context.dim,
      excluded=np.array([], np.int32),
      num_popular=num_popular,
      differences=mining_differences,
      own_arbitrary=before_mined == "own_arbitrary",
    )

  def confusion(view: ClientView, popular: jax.Array, towards: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Re1 of each client, and its gradients with respect to the rows of their samples."""
    samples = view.samples
    items = jnp.concatenate([samples.positive[:, None], samples.negatives], axis=1)
    is_popular = jnp.any(items[:, :, None] == popular[samples.client][:, None, :], axis=2)
    counted = (samples.valid[:, None] & ~is_popular).astype(jnp.float32)
    share = counted / jnp.maximum(per_client(samples, jnp.sum(counted, axis=1)), 1.0)[samples.client][:, None]
    of_entries = jax.vmap(jax.value_and_grad(similarity_to_popular), in_axes=(0, None))
    similarity, gradients = jax.vmap(of_entries)(view.public.items[items], towards[samples.client])
    return per_client(samples, jnp.sum(share * similarity, axis=1)), share[:, :, None] * gradients

  def separation(private: jax.Array, popular_rows: jax.Array, weights: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Re2 of each client, and its gradients with respect to their vectors."""

    def of_client(private: jax.Array, popular_rows: jax.Array) -> jax.Array:
      return user_separation(private, popular_rows, weights, kl=kl, kl_scale=kl_scale)

    return jax.vmap(jax.value_and_grad(of_client))(private, popular_rows)

  def client_term(state: MiningState, view: ClientView) -> tuple[ClientTerm, MiningState]:
    table = view.public.items
    state = mine(state, table, view.round)
    popular, mined = popular_items(state, view.clients)
    weights = jnp.asarray(rank_weights(num_popular, weighting), table.dtype)
    popular_rows = table[popular]
    towards = jax.vmap(popular_direction, in_axes=(0, None))(popular_rows, weights)
    of_items = beta * mined
    of_users = gamma * (mined if before_mined == "wait" else jnp.ones_like(mined))
    similarity, row_gradients = confusion(view, popular, towards)
    divergence, private_gradients = separation(view.private, popular_rows, weights)
    term = ClientTerm(
      loss=-of_items * similarity - of_users * divergence,
      private=-of_users[:, None] * private_gradients,
      rows=-of_items[view.samples.client][:, None, None] * row_gradients,
    )
    return term, state

  return Defense(client_term=client_term, init=init, adds_shared=True)
