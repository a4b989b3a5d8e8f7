"""FedRecAttack (Rong et al., 2022, section IV) on models that make a user's vector from its items.

The users that it approximates have vectors of their own and no items: their local graphs have no
edge. Scores are written out for such a user; slopes are central differences, so that nothing is
derived by hand.
"""

import math
from collections.abc import Sequence

import numpy as np

from tests.oracles import models_lightgcn
from tests.oracles.fedrecattack import (
  PublicItems,
  Score,
  UserGradient,
  bent,
  references,
  user_loss,
)
from tests.oracles.models_lightgcn import Combine
from tests.oracles.models_ncf import Network
from tests.oracles.visual_models import slopes


def lightgcn(network: Network | None, *, layers: int, combine: Combine) -> Score:
  """LightGCN on a graph of a user alone, where propagation brings nothing to user or item.

  Args:
    network: that scores the final vectors; inner products without.
    layers: L.
    combine: the layers' sum or mean.
  """

  def score(user: np.ndarray, row: np.ndarray) -> float:
    options = {"layers": layers, "combine": combine}
    return float(models_lightgcn.score_candidates(user, row[None], network, [], **options)[0])

  return score


def fedgnn(kernel: np.ndarray) -> Score:
  """FedGNN: (W v) . ELU(W u + 0), since there is neither item nor neighbour to attend to.

  Args:
    kernel: W transposed, [d, d].
  """
  width = len(kernel)

  def projected(vector: np.ndarray) -> list[float]:
    return [sum(vector[i] * kernel[i, j] for i in range(width)) for j in range(width)]

  def score(user: np.ndarray, row: np.ndarray) -> float:
    final = [one if one > 0 else math.exp(one) - 1.0 for one in projected(user)]
    return sum(ours * theirs for ours, theirs in zip(final, projected(row), strict=True))

  return score


def sasrec(user: np.ndarray, row: np.ndarray) -> float:
  """SASRec: the user's vector stands for the Transformer's output, which has no history to read."""
  return sum(ours * theirs for ours, theirs in zip(user, row, strict=True))


def user_slopes(score: Score) -> UserGradient:
  """What `fedrecattack.user_gradient` is for such a score: slopes of `user_loss` by the user's vector [d]."""

  def of_user(
    user: np.ndarray, table: np.ndarray, items: Sequence[int], negatives: Sequence[Sequence[int]]
  ) -> np.ndarray:
    user = user.copy()
    return slopes(lambda: user_loss(user, table, items, negatives, score), [user])[0]

  return of_user


def margin_slopes(
  score: Score,
  users: np.ndarray,
  table: np.ndarray,
  public: PublicItems,
  targets: Sequence[int],
  length: int,
  reading: str,
) -> np.ndarray:
  """Slopes of Eq. 16 by the item table [M, d]; the reference items are fixed.

  Args:
    score: of the model.
    users: own vectors [U, d].
    table: [M, d].
    public: items of each user; users without any take no part.
    targets: in the order in which they are promoted.
    length: K.
    reading: see `fedrecattack.references`.
  """
  table = table.copy()
  compared = []
  for user, items in zip(users, public, strict=True):
    if len(items) > 0:
      scores = np.array([score(user, row) for row in table])
      found = references(scores, items, targets, length, reading)
      compared += [(user, target, reference) for target, reference in found.items()]
  return slopes(
    lambda: sum(
      bent(score(user, table[reference]) - score(user, table[target]))
      for user, target, reference in compared
    ),
    [table],
  )[0]
