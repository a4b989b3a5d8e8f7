"""Contrastive learning over a client's items: what an item is compared with, and the InfoNCE loss."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from fedrecjax.clients.sampling import distinct_from_bits, uniform_below
from fedrecjax.numerics.random import bits
from fedrecjax.types import Array


def draw_partner_and_negatives(
  key: Array, offset: Array, length: Array, free: Array, *, count: int
) -> tuple[Array, Array]:
  """Draws another item of a client's list, and items outside it, uniformly.

  Args:
    key: of the client.
    offset: place of the anchor in the list, int32 scalar.
    length: of the list.
    free: number of items outside it.
    count: items to draw outside it, static.

  Returns:
    The place of the other item, meaningless in a list of one, and different ranks among the items outside the list,
    int32 `[count]`; ranks of `free` or more stand for no item.
  """
  drawn = bits(jax.random.fold_in(key, offset), (1 + count,))
  step = 1 + uniform_below(drawn[0], jnp.maximum(length - 1, 1))
  # Too small a bound stands for the items there are and as many that there are not.
  return (offset + step) % jnp.maximum(length, 1), distinct_from_bits(drawn[1:], jnp.maximum(free, count))


class InfoNCE(NamedTuple):
  """The InfoNCE loss of anchors, and its gradients in factored form.

  Attributes:
    loss: `[n]`.
    pull: derivative by each similarity, `[n, 1 + X]`: the gradient with respect to a candidate is this times the
      anchor.
    anchor: gradient with respect to the anchor, `[n, d]`.
  """

  loss: Array
  pull: Array
  anchor: Array


def info_nce(
  anchor: Array, partner: Array, negatives: Array, exists: Array, temperature: Array | float
) -> InfoNCE:
  """Cross-entropy of finding the partner among the candidates by inner products.

  Args:
    anchor: `[n, d]`.
    partner: `[n, d]`.
    negatives: `[n, X, d]`.
    exists: which of the negatives there are, bool `[n, X]`.
    temperature: divides the similarities.

  Returns:
    Loss and gradients.

  References:
    Oord, Li and Vinyals, "Representation Learning with Contrastive Predictive Coding", 2018.
  """
  candidates = jnp.concatenate([partner[:, None], negatives], axis=1)
  logits = jnp.einsum("ncd,nd->nc", candidates, anchor, precision=lax.Precision.HIGHEST) / temperature
  logits = jnp.where(jnp.pad(exists, ((0, 0), (1, 0)), constant_values=True), logits, -jnp.inf)
  log_share = jax.nn.log_softmax(logits)
  pull = jnp.exp(log_share).at[:, 0].add(-1.0) / temperature
  gradient = jnp.einsum("nc,ncd->nd", pull, candidates, precision=lax.Precision.HIGHEST)
  return InfoNCE(-log_share[:, 0], pull, gradient)
