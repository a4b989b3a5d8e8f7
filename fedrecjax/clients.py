"""The local computation of one client, unbatched: gradients of one training sample.

A client's gradient is the weighted sum of these over its samples. The simulator maps them over all samples of all
clients of a round and sums per client, so that clients of very different sizes cost what they hold.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax

from fedrecjax.types import Loss, Model


class SampleGradient(NamedTuple):
  """Loss and gradients of one positive item and its q negatives.

  Attributes:
    loss: scalar.
    private: gradient with respect to the client's own vector `[d]`.
    positive: gradient with respect to the positive item's row `[d]`.
    negatives: gradients with respect to the negatives' rows `[q, d]`.
  """

  loss: jax.Array
  private: jax.Array
  positive: jax.Array
  negatives: jax.Array


def sample_gradient(
  model: Model, loss: Loss, private: jax.Array, positive: jax.Array, negatives: jax.Array, shared: Any
) -> SampleGradient:
  """Differentiates the loss of one sample.

  Args:
    model: supplies `score_row`.
    loss: supplies `sample`.
    private: the client's vector `[d]`.
    positive: the positive item's row `[d]`.
    negatives: the negatives' rows `[q, d]`.
    shared: the other public parameters.

  Returns:
    Loss and gradients, without any weight for the client's number of samples.
  """

  def sample_loss(private: jax.Array, positive: jax.Array, negatives: jax.Array) -> jax.Array:
    positive_logit = model.score_row(private, positive, shared)
    negative_logits = jax.vmap(model.score_row, in_axes=(None, 0, None))(private, negatives, shared)
    return loss.sample(positive_logit, negative_logits)

  value, gradients = jax.value_and_grad(sample_loss, argnums=(0, 1, 2))(private, positive, negatives)
  return SampleGradient(value, *gradients)
