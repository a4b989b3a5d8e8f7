"""How many clusters an attack makes: more while its loss rises, fewer while it falls (ClusterAttack, Algorithm 1)."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import jax.numpy as jnp
import numpy as np

from fedrecjax.types import Array

Rounding = Literal["nearest", "floor"]


class ClusterCount(NamedTuple):
  """The number of clusters and what decides about it.

  Attributes:
    number: K, int32 scalar.
    balance: rounds since the last change in which the average loss rose, less those in which it did not, int32.
    average: bias-corrected moving average of the loss since then.
    weight: what the average has seen: 1 + decay + decay^2 + ..., one term for each round; 0 after a change.
    threshold: balance at which K changes, R.
  """

  number: Array
  balance: Array
  average: Array
  weight: Array
  threshold: Array


def first_count(number: int, threshold: Array | float) -> ClusterCount:
  """The state before the first round."""
  # Arrays of their own: one and the same could not be given back to the round twice.
  return ClusterCount(
    jnp.int32(number), jnp.int32(0), jnp.zeros((), jnp.float32), jnp.zeros((), jnp.float32),
    jnp.array(threshold, jnp.float32),
  )


def next_counts(smallest: int, largest: int, rounding: Rounding) -> tuple[np.ndarray, np.ndarray]:
  """What follows each number of clusters when there are to be more, and fewer.

  Args:
    smallest: K_min.
    largest: K_max.
    rounding: of K + sqrt(K_max - K) and K - sqrt(K - K_min).

  Returns:
    Two arrays int32 `[K_max + 1]` by K; places below K_min are not used.

  >>> more, fewer = next_counts(1, 50, "floor")
  >>> more[2], more[8], fewer[2]
  (np.int32(8), np.int32(14), np.int32(1))
  """
  to_integer = round if rounding == "nearest" else math.floor
  more, fewer = np.zeros(largest + 1, np.int32), np.zeros(largest + 1, np.int32)
  for count in range(smallest, largest + 1):
    more[count] = min(to_integer(count + math.sqrt(largest - count)), largest)
    fewer[count] = max(to_integer(count - math.sqrt(count - smallest)), smallest)
  return more, fewer


def update_count(
  state: ClusterCount,
  loss: Array,
  *,
  decay: Array | float,
  growth: Array | float,
  more: np.ndarray,
  fewer: np.ndarray,
) -> ClusterCount:
  """The number of clusters after a round of attack.

  The corrected average (1 - decay) sum decay^(t - i) loss_i / (1 - decay^t) is kept as a mean with weights, which
  moves towards the loss of the round: it rises if and only if that loss is above it. The difference of two averages,
  one of which is divided by the small 1 - decay^t, would be rounding error in float32.

  Args:
    state: before the round.
    loss: of the attack in this round.
    decay: of the average, beta.
    growth: by which share the threshold grows with each change.
    more: from :func:`next_counts`.
    fewer: from :func:`next_counts`.

  Returns:
    The state after it. The first round after a change is compared with nothing and counts neither way.
  """
  weight = decay * state.weight + 1
  change = jnp.where(loss > state.average, jnp.int32(1), -1)
  balance = state.balance + jnp.where(state.weight > 0, change, 0)
  average = state.average + (loss - state.average) / weight
  rise, fall = balance >= state.threshold, balance <= -state.threshold
  changed = rise | fall
  number = jnp.where(rise, jnp.asarray(more)[state.number], jnp.asarray(fewer)[state.number])
  return ClusterCount(
    number=jnp.where(changed, number, state.number),
    balance=jnp.where(changed, 0, balance),
    average=jnp.where(changed, 0.0, average),
    weight=jnp.where(changed, 0.0, weight),
    threshold=jnp.where(changed, state.threshold * (1 + growth), state.threshold),
  )
