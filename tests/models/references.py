"""Losses of one client of FedGNN and SASRec from their definitions, in dense arrays of exactly the
client's size; gradients by differentiation.
"""

from typing import Any

import jax
import jax.numpy as jnp


def _loss(positive: jax.Array, negative: jax.Array, loss: str, reduction: str) -> jax.Array:
  """`[n]` and `[n, q]` logits -> scalar."""
  if loss == "bce":
    terms = jnp.concatenate(
      [-jnp.log(jax.nn.sigmoid(positive)), -jnp.log(1 - jax.nn.sigmoid(negative)).reshape(-1)]
    )
  else:
    terms = -jnp.log(jax.nn.sigmoid(positive[:, None] - negative)).reshape(-1)
  return jnp.mean(terms) if reduction == "mean" else jnp.sum(terms)


def fedgnn_user(
  private: jax.Array, rows: jax.Array, neighbors: jax.Array, shared: Any
) -> jax.Array:
  """The user after one layer of graph attention: ELU(W u + sum_j a_j W x_j) over its items and
  neighbours, a = softmax of LeakyReLU(a . [W u, W x_j]) with slope 0.2 (Velickovic et al., Eq. 3).
  """
  own = shared.kernel.T @ private
  others = jnp.concatenate([rows, neighbors]) @ shared.kernel
  if others.shape[0] == 0:
    return jnp.where(own > 0, own, jnp.expm1(own))
  vector = jnp.concatenate([shared.for_user, shared.for_item])
  pairs = jnp.concatenate([jnp.broadcast_to(own, others.shape), others], axis=1)
  logits = pairs @ vector
  logits = jnp.where(logits > 0, logits, 0.2 * logits)
  weights = jnp.exp(logits) / jnp.sum(jnp.exp(logits))
  total = own + weights @ others
  return jnp.where(total > 0, total, jnp.expm1(total))


def fedgnn_loss(
  private: Any, table: Any, shared: Any, positives: Any, negatives: Any, neighbors: Any,
  loss: str, reduction: str,
) -> jax.Array:  # fmt: skip
  user = fedgnn_user(private, table[positives], neighbors, shared)
  final = table @ shared.kernel
  return _loss(final[positives] @ user, final[negatives] @ user, loss, reduction)


def _layer_norm(values: jax.Array, parameters: Any) -> jax.Array:
  centred = values - jnp.mean(values, axis=-1, keepdims=True)
  deviation = jnp.sqrt(jnp.mean(centred**2, axis=-1, keepdims=True) + 1e-6)
  return centred / deviation * parameters["scale"] + parameters["bias"]


def sasrec_users(rows: jax.Array, shared: Any, blocks: int) -> jax.Array:
  """User vectors `[m, d]` after each of m items, at most as many as there are positions.

  Kang and McAuley, Eq. 1 to 8, with the published code's residuals: each sublayer adds to its own
  normalised input. The last item has the last position; there is no padding here to hide.
  """
  length, dim = rows.shape
  position = shared["position"][shared["position"].shape[0] - length :]
  sequence = jnp.sqrt(float(dim)) * rows + position
  for number in range(blocks):
    block = shared[f"Block_{number}"]
    asking = _layer_norm(sequence, block["LayerNorm_0"])
    result = []
    for head in range(block["query"]["kernel"].shape[1]):
      query, key, value = (
        source @ block[name]["kernel"][:, head] + block[name]["bias"][head]
        for name, source in (("query", asking), ("key", sequence), ("value", sequence))
      )
      weights = jnp.tril(jnp.exp(query @ key.T / jnp.sqrt(float(key.shape[1]))))
      result.append((weights @ value) / jnp.sum(weights, axis=1, keepdims=True))
    sequence = asking + jnp.concatenate(result, axis=1)
    inner = _layer_norm(sequence, block["LayerNorm_1"])
    hidden = jax.nn.relu(inner @ block["Dense_0"]["kernel"] + block["Dense_0"]["bias"])
    sequence = inner + hidden @ block["Dense_1"]["kernel"] + block["Dense_1"]["bias"]
  return _layer_norm(sequence, shared["LayerNorm_0"])


def sasrec_loss(
  private: Any, table: Any, shared: Any, positives: Any, negatives: Any,
  loss: str, reduction: str, blocks: int,
) -> jax.Array:  # fmt: skip
  """All items but the first are predicted from those before them."""
  users = sasrec_users(table[positives[:-1]], shared, blocks)
  positive = jnp.sum(table[positives[1:]] * users, axis=1) + 0.0 * jnp.sum(private)
  negative = jnp.sum(table[negatives[1:]] * users[:, None], axis=2)
  return _loss(positive, negative, loss, reduction)


def _gradients(function: Any, static: tuple[str, ...]) -> Any:
  return jax.jit(jax.value_and_grad(function, argnums=(0, 1, 2)), static_argnames=static)


_fedgnn = _gradients(fedgnn_loss, ("loss", "reduction"))
_sasrec = _gradients(sasrec_loss, ("loss", "reduction", "blocks"))


def fedgnn_gradients(*arguments: Any) -> Any:
  """Loss and gradients by `private`, `table` and `shared`; arguments as those of `fedgnn_loss`."""
  *arrays, loss, reduction = arguments
  return _fedgnn(*arrays, loss=loss, reduction=reduction)


def sasrec_gradients(*arguments: Any) -> Any:
  """As `fedgnn_gradients`, for `sasrec_loss`."""
  *arrays, loss, reduction, blocks = arguments
  return _sasrec(*arrays, loss=loss, reduction=reduction, blocks=blocks)
