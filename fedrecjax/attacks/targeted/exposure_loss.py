"""How far targets are from the recommendation lists of approximated users, and its gradient."""

from __future__ import annotations

from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax import lax

from fedrecjax.attacks.targeted.best_items import Best, best_items
from fedrecjax.attacks.targeted.user_approximation import PublicLists
from fedrecjax.clients.user_vectors import vector_without_items
from fedrecjax.types import Array, Model, Public

Reference = Literal["others", "list"]
# Users times targets that are differentiated at a time.
_PAIRS = 2**12


def reference_items(best: Best, eligible: Array, targets: Array, reference: Reference) -> tuple[Array, Array]:
  """The items that the targets have to overtake in one user's list.

  Args:
    best: the user's K best items `[K]`, none of them public; no targets either if reference=others.
    eligible: which targets are not public items of the user, bool `[T]`.
    targets: int32 `[T]`.
    reference: "list" takes the K best items, targets among them, and of those the worst that is no target, for every
      target (Eq. 15). "others" takes the K best of the items that are no targets: the worst for the user's first
      target, the one above it for the second, and so on, as in the published code.

  Returns:
    Item for each target, int32 `[T]`, and which targets have one, bool `[T]`; the user's public ones have none.

  >>> best = Best(jnp.array([5.0, 4.0, 3.0]), jnp.array([8, 2, 6]))
  >>> reference_items(best, jnp.array([True, True]), jnp.array([0, 1]), "others")[0].tolist()
  [6, 2]
  """
  listed, items = best
  if reference == "list":
    is_other = ~jnp.isin(items, targets) & (listed > -jnp.inf)
    worst = items.shape[0] - 1 - jnp.argmax(is_other[::-1]).astype(jnp.int32)
    return jnp.full(targets.shape, items[worst]), eligible & jnp.any(is_other)
  place = jnp.sum(listed > -jnp.inf, dtype=jnp.int32) - jnp.cumsum(eligible, dtype=jnp.int32)
  return items.at[place].get(mode="clip"), eligible & (place >= 0)


def not_public(lists: PublicLists, targets: Array) -> Array:
  """Which targets are not public items of a user, bool `[U, T]`."""
  everywhere = jnp.ones((lists.length.shape[0], targets.shape[0]), bool)
  return everywhere.at[lists.user].min(lists.item[:, None] != targets)


def margin_loss(
  model: Model, own: Array, reference_rows: Array, target_rows: Array, shared: Any, pulled: Array
) -> Array:
  """How far the targets stay behind their reference items, for one user (Eq. 13 to 15).

  Args:
    model: base recommender.
    own: the user's own vector `[d]`.
    reference_rows: `[T, d]`.
    target_rows: `[T, d]`.
    shared: the other public parameters.
    pulled: which targets count, bool `[T]`.

  Returns:
    The sum of g(score of the reference - score of the target), where g(x) is x above 0 and exp(x) - 1 below.
  """
  vector = vector_without_items(model, own, target_rows[0], shared)
  score = jax.vmap(model.score_row, in_axes=(None, 0, None))
  margin = score(vector, reference_rows, shared) - score(vector, target_rows, shared)
  return jnp.sum(jnp.where(pulled, jax.nn.elu(margin), 0.0))


def exposure_gradient(
  model: Model,
  public: Public,
  users: Array,
  lists: PublicLists,
  targets: Array,
  *,
  list_length: int,
  reference: Reference,
  with_shared: bool,
) -> tuple[Array, Any]:
  """Gradient of the attack's loss over all approximated users (Eq. 16 and 20).

  Args:
    model: base recommender.
    public: its parameters.
    users: the users' own vectors `[U, d]`.
    lists: their public items.
    targets: int32 `[T]`.
    list_length: K.
    reference: see :func:`reference_items`.
    with_shared: whether to differentiate by the shared parameters as well.

  Returns:
    Gradients with respect to the item table `[M, d]` and to the shared parameters, `()` without them.
  """
  table, shared = public
  num_users = users.shape[0]
  start = (jnp.zeros_like(table), jax.tree.map(jnp.zeros_like, shared) if with_shared else ())
  if num_users == 0:
    return start
  vectors = jax.vmap(vector_without_items, in_axes=(None, 0, None, None))(model, users, table[0], shared)
  barred = targets if reference == "others" else targets[:0]
  best = best_items(model, public, vectors, lists, barred, count=list_length)
  of_users = jax.vmap(reference_items, in_axes=(0, 0, None, None))
  items, pulled = of_users(best, not_public(lists, targets), targets, reference)
  size = min(max(_PAIRS // targets.shape[0], 1), num_users)
  chunks = jnp.arange(-(-num_users // size) * size, dtype=jnp.int32).reshape(-1, size)
  target_rows = table[targets]

  def loss(reference_rows: Array, target_rows: Array, shared: Any, own: Array, pulled: Array) -> Array:
    of_users = jax.vmap(margin_loss, in_axes=(None, 0, 0, None, None, 0))
    return jnp.sum(of_users(model, own, reference_rows, target_rows, shared, pulled))

  def of_chunk(total: tuple[Array, Any], chunk: Array) -> tuple[tuple[Array, Any], None]:
    item = items.at[chunk].get(mode="clip")
    counted = pulled.at[chunk].get(mode="fill", fill_value=False)
    by = (0, 1, 2) if with_shared else (0, 1)
    own = users.at[chunk].get(mode="clip")
    slopes = jax.grad(loss, argnums=by)(table[item], target_rows, shared, own, counted)
    rows = total[0].at[item].add(slopes[0]).at[targets].add(slopes[1])
    return (rows, jax.tree.map(jnp.add, total[1], slopes[2]) if with_shared else ()), None

  return lax.scan(of_chunk, start, chunks)[0]
