"""FedRecAttack (Rong et al., 2022, section IV) on matrix factorisation, user by user.

Scores are u . v. `public` holds each user's public items; users without any take no part. Where the
paper leaves something open, arguments say which way is taken.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np

from tests.oracles.adam import Adam
from tests.oracles.logistic import negative_log_sigmoid, sigmoid

PublicItems = Sequence[Sequence[int]]
Score = Callable[[np.ndarray, np.ndarray], float]
"""Of an item's row [d] for a user's own vector [d]."""
UserGradient = Callable[
  [np.ndarray, np.ndarray, Sequence[int], Sequence[Sequence[int]]], np.ndarray
]
"""See `user_gradient`."""


def product(user: np.ndarray, row: np.ndarray) -> float:
  """The score of matrix factorisation."""
  return float(user @ row)


def user_loss(
  user: np.ndarray,
  table: np.ndarray,
  items: Sequence[int],
  negatives: Sequence[Sequence[int]],
  score: Score = product,
) -> float:
  """Eq. 4 for one user on its public items, each with its own negatives."""
  return sum(
    negative_log_sigmoid(score(user, table[item]) - score(user, table[negative]))
    for item, drawn in zip(items, negatives, strict=True)
    for negative in drawn
  )


def user_gradient(
  user: np.ndarray, table: np.ndarray, items: Sequence[int], negatives: Sequence[Sequence[int]]
) -> np.ndarray:
  """Gradient of `user_loss` with respect to the user's vector [d]."""
  gradient = np.zeros_like(user)
  for item, drawn in zip(items, negatives, strict=True):
    for negative in drawn:
      difference = table[item] - table[negative]
      gradient = gradient + (sigmoid(float(user @ difference)) - 1.0) * difference
  return gradient


def approximate(
  users: np.ndarray,
  adam: Adam,
  table: np.ndarray,
  public: PublicItems,
  batches: Sequence[Sequence[int]],
  negatives: Sequence[Sequence[Sequence[int]]],
  rate: float,
  gradient_of: UserGradient = user_gradient,
) -> np.ndarray:
  """One pass of Adam over the users towards Eq. 19, the table held fixed.

  Args:
    users: [U, d], where the pass before has left them.
    adam: the optimiser of that whole matrix, which goes on from the pass before.
    table: [M, d].
    public: items of each user.
    batches: users of each step.
    negatives: of each user's items.
    rate: step size.
    gradient_of: one user's, of its loss.

  Returns:
    [U, d]. Every step moves all users, those of other batches by their first moments alone.
  """
  users = users.copy()
  for batch in batches:
    gradient = np.zeros_like(users)
    for user in batch:
      gradient[user] = gradient_of(users[user], table, public[user], negatives[user])
    users = users - rate * adam.direction(gradient)
  return users


def bent(margin: float) -> float:
  """g of Eq. 14."""
  return margin if margin >= 0 else math.exp(margin) - 1.0


def bent_slope(margin: float) -> float:
  """Derivative of g, 1 at 0 from both sides."""
  return 1.0 if margin >= 0 else math.exp(margin)


def references(
  scores: np.ndarray, public: Sequence[int], targets: Sequence[int], length: int, reading: str
) -> dict[int, int]:
  """The item that each target has to overtake for one user; targets without one are missing.

  Args:
    scores: [M].
    public: the user's public items: neither recommended nor, if targets, promoted to it.
    targets: in the order in which they are promoted.
    length: K.
    reading: "list", Eq. 15: the worst non-target of the K best items. "others": the K best
      non-targets, taken from the worst upwards, one for each promoted target.

  Returns:
    Item by target. Equal scores rank by id.
  """
  ranked = sorted(
    (item for item in range(len(scores)) if item not in public),
    key=lambda item: (-scores[item], item),
  )
  promoted = [target for target in targets if target not in public]
  if reading == "list":
    others = [item for item in ranked[:length] if item not in targets]
    return {target: others[-1] for target in promoted} if others else {}
  others = [item for item in ranked if item not in targets][:length]
  return dict(zip(promoted, reversed(others), strict=False))


def attack_loss(
  users: np.ndarray,
  table: np.ndarray,
  public: PublicItems,
  targets: Sequence[int],
  length: int,
  reading: str,
) -> float:
  """Eq. 16."""
  return sum(
    bent(float(user @ table[reference] - user @ table[target]))
    for user, items in zip(users, public, strict=True)
    if len(items) > 0
    for target, reference in references(table @ user, items, targets, length, reading).items()
  )


def attack_gradient(
  users: np.ndarray,
  table: np.ndarray,
  public: PublicItems,
  targets: Sequence[int],
  length: int,
  reading: str,
) -> np.ndarray:
  """Gradient of `attack_loss` with respect to the table [M, d]; the reference items are fixed."""
  gradient = np.zeros_like(table)
  for user, items in zip(users, public, strict=True):
    if len(items) == 0:
      continue
    for target, reference in references(table @ user, items, targets, length, reading).items():
      slope = bent_slope(float(user @ table[reference] - user @ table[target]))
      gradient[reference] += slope * user
      gradient[target] -= slope * user
  return gradient


def first_draw(wanted: np.ndarray, targets: Sequence[int]) -> np.ndarray:
  """Eq. 22: probability [M] of each item to be drawn first."""
  weights = np.array([np.sqrt((row * row).sum()) for row in wanted])
  weights[list(targets)] = 0.0
  return weights / weights.sum()


def drawn_among(probabilities: np.ndarray, count: int) -> np.ndarray:
  """Probability [M] of each item to be among `count` draws without replacement."""
  if count == 0:
    return np.zeros_like(probabilities)
  found = np.zeros_like(probabilities)
  for item in np.flatnonzero(probabilities):
    rest = probabilities.copy()
    rest[item] = 0.0
    found[item] += probabilities[item]
    if count > 1:
      found += probabilities[item] * drawn_among(rest / rest.sum(), count - 1)
  return found


def share_out(
  wanted: np.ndarray, sets: Sequence[Sequence[int]], bound: float
) -> tuple[list[dict[int, np.ndarray]], np.ndarray]:
  """Eq. 23 and 24 for malicious clients in the order in which they send.

  Args:
    wanted: [M, d], the gradient of Eq. 20.
    sets: items of each client.
    bound: C.

  Returns:
    Each client's rows by item, and what nobody has sent [M, d].
  """
  left = wanted.copy()
  sent = []
  for items in sets:
    rows = {}
    for item in items:
      norm = math.sqrt(float(left[item] @ left[item]))
      rows[item] = (1.0 if norm <= bound else bound / norm) * left[item]
    for item, row in rows.items():
      left[item] = left[item] - row
    sent.append(rows)
  return sent, left
