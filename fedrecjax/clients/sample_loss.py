"""The local computation of one client, unbatched: the loss of one training sample.

A client's loss is the weighted sum of these over its samples. The simulator maps them over all samples of all clients
of a round and sums per client, so that clients of very different sizes cost what they hold.
"""

from __future__ import annotations

from typing import Any

import jax

from fedrecjax.types import Loss, Model


def sample_loss(
  model: Model, loss: Loss, user: jax.Array, positive: jax.Array, negatives: jax.Array, shared: Any
) -> jax.Array:
  """The loss of one positive item and its q negatives.

  Args:
    model: supplies `score_row` and, where it has one, `score_own` for the positive.
    loss: supplies `sample`.
    user: the user's vector `[r]`.
    positive: the positive item's row `[d]`.
    negatives: the negatives' rows `[q, d]`.
    shared: the other public parameters.

  Returns:
    Scalar, without any weight for the client's number of samples.
  """
  score_own = model.score_row if model.score_own is None else model.score_own
  positive_logit = score_own(user, positive, shared)
  negative_logits = jax.vmap(model.score_row, in_axes=(None, 0, None))(user, negatives, shared)
  return loss.sample(positive_logit, negative_logits)
