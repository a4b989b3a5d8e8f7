"""Federated training of matrix factorisation: PIECK (Zhang et al.), section III-A, Eq. 2.

The score of user u and item v is the dot product u . v; the loss sees sigmoid(u . v).
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Literal

import numpy as np

from tests.oracles import aggregation
from tests.oracles.logistic import negative_log_sigmoid, sigmoid

Loss = Literal["bce", "bpr"]
Reduction = Literal["sum", "mean"]
Duplicates = Literal["sum", "first"]
ClientRow = tuple[int, np.ndarray]
Term = Callable[
  [int, np.ndarray, np.ndarray, list[int]], tuple[float, np.ndarray, Sequence[np.ndarray]]
]


def collapse(
  entries: Iterable[tuple[int, np.ndarray]], duplicates: Duplicates
) -> dict[int, np.ndarray]:
  """One row per item from the contributions of a client's list; see `client_gradients`."""
  rows: dict[int, np.ndarray] = {}
  for item, contribution in entries:
    if item not in rows:
      rows[item] = contribution
    elif duplicates == "sum":
      rows[item] = rows[item] + contribution
  return rows


def client_gradients(
  user: np.ndarray,
  table: np.ndarray,
  positives: Sequence[int],
  negatives: np.ndarray,
  *,
  loss: Loss,
  reduction: Reduction,
  duplicates: Duplicates,
) -> tuple[float, np.ndarray, dict[int, np.ndarray]]:
  """Loss and gradients of one benign client.

  "bce" is Eq. 2 of PIECK with x_hat = sigmoid(u . v): per positive j with negatives k,
  -log sigmoid(s_j) - sum_k log(1 - sigmoid(s_k)). "bpr" is section 2 of the FedRecAttack notes
  without the regulariser: -sum_k log sigmoid(s_j - s_k).

  Args:
    user: [d], the client's private vector.
    table: [M, d], the item vectors it received.
    positives: n_pos item ids, repeats allowed.
    negatives: [n_pos, q] item ids, the row j belonging to `positives[j]`; repeats allowed.
    loss: "bce" or "bpr".
    reduction: "mean" divides by the number of terms, n_pos * (1 + q) for "bce" and n_pos * q for
      "bpr"; "sum" does not.
    duplicates: what an item that stands several times in the client's list uploads. The list is
      positive 1, its negatives, positive 2, its negatives, and so on. "sum" adds all copies;
      "first" keeps the contribution of the first copy alone. In "bpr" the copy of a positive is
      its contribution from all of its q pairs. Loss and user gradient count all copies either way.

  Returns:
    The loss, the gradient [d] of the user vector, and the uploaded rows, item id -> [d]. A client
    whose loss has no term (no positives) gets 0, zeros and no rows.
  """
  number_of_positives = len(positives)
  negatives_per_positive = np.shape(negatives)[1] if number_of_positives else 0
  if loss == "bce":
    number_of_terms = number_of_positives * (1 + negatives_per_positive)
  else:
    number_of_terms = number_of_positives * negatives_per_positive
  if number_of_terms == 0:
    return 0.0, np.zeros_like(user), {}

  loss_value = 0.0
  user_gradient = np.zeros_like(user)
  entries: list[tuple[int, np.ndarray]] = []
  for index, positive in enumerate(positives):
    positive_score = float(user @ table[positive])
    if loss == "bce":
      slope = sigmoid(positive_score) - 1.0
      loss_value += negative_log_sigmoid(positive_score)
      user_gradient = user_gradient + slope * table[positive]
      entries.append((int(positive), slope * user))
      for negative in negatives[index]:
        negative_score = float(user @ table[negative])
        # 1 - sigmoid(s) = sigmoid(-s)
        slope = sigmoid(negative_score)
        loss_value += negative_log_sigmoid(-negative_score)
        user_gradient = user_gradient + slope * table[negative]
        entries.append((int(negative), slope * user))
    else:
      positive_entry = np.zeros_like(user)
      negative_entries = []
      for negative in negatives[index]:
        difference = positive_score - float(user @ table[negative])
        slope = sigmoid(difference) - 1.0
        loss_value += negative_log_sigmoid(difference)
        user_gradient = user_gradient + slope * (table[positive] - table[negative])
        positive_entry = positive_entry + slope * user
        negative_entries.append((int(negative), -slope * user))
      entries.append((int(positive), positive_entry))
      entries.extend(negative_entries)

  rows = collapse(entries, duplicates)
  if reduction == "mean":
    loss_value /= number_of_terms
    user_gradient = user_gradient / number_of_terms
    rows = {item: row / number_of_terms for item, row in rows.items()}
  return loss_value, user_gradient, rows


def clip_row(row: np.ndarray, max_norm: float) -> np.ndarray:
  """Row-wise clipping at the server (FedRecAttack, notes section 2), the same rule as NormBound.

  Args:
    row: [d].
    max_norm: bound on the L2 norm.

  Returns:
    [d], scaled down to the bound if it was longer.
  """
  return aggregation.norm_bound(row, max_norm)


def federated_round(
  users: np.ndarray,
  table: np.ndarray,
  clients: Sequence[int],
  positives: Sequence[Sequence[int]],
  negatives: Sequence[np.ndarray],
  *,
  loss: Loss,
  reduction: Reduction,
  duplicates: Duplicates,
  client_learning_rate: float,
  server_learning_rate: float,
  aggregate: Callable[[list[ClientRow]], np.ndarray],
  extra_uploads: Sequence[tuple[int, int, np.ndarray]],
  row_clip: float | None,
  term: Term | None = None,
) -> tuple[np.ndarray, np.ndarray, float]:
  """One communication round: steps 1 to 4 of PIECK, section III-A.

  Every client computes on the old user vectors and the old table. The server clips the rows of
  benign and extra uploads alike, then moves each item by the aggregate of the rows of those clients
  that uploaded it; a client that did not is not counted as a zero row.

  Args:
    users: [N, d] private vectors.
    table: [M, d] item vectors.
    clients: ids of the benign clients of the round, each at most once.
    positives: for each of the N users, its positives.
    negatives: for each of the N users, [n_pos, q].
    loss: see `client_gradients`.
    reduction: see `client_gradients`.
    duplicates: see `client_gradients`.
    client_learning_rate: step of the private vectors.
    server_learning_rate: step of the item vectors.
    aggregate: list of (client, row [d]) of one item -> [d]; the rows of `clients` come first, in
      their order, then the extra ones.
    extra_uploads: (client, item, row [d]) of malicious clients.
    row_clip: L2 bound per uploaded row, or None.
    term: what clients add to their loss, or None: (client, its vector, the table, its list) ->
      value, gradient [d] of its vector, one gradient [d] per entry. The list is positive 1, its
      negatives, positive 2 and so on; "first" keeps the first copy's gradient as it does of the
      loss. `reduction` does not apply to it.

  Returns:
    New users [N, d], new table [M, d], and the mean over `clients` of their loss, in which clients
    without positives count as 0. The mean over no client is 0.
  """
  new_users = users.copy()
  new_table = table.copy()
  losses = []
  uploads: list[tuple[int, int, np.ndarray]] = []
  for client in clients:
    loss_value, user_gradient, rows = client_gradients(
      users[client],
      table,
      positives[client],
      negatives[client],
      loss=loss,
      reduction=reduction,
      duplicates=duplicates,
    )
    if term is not None:
      entries = [
        int(item)
        for positive, others in zip(positives[client], negatives[client], strict=True)
        for item in (positive, *others)
      ]
      extra_loss, extra_gradient, extra_rows = term(client, users[client], table, entries)
      loss_value += extra_loss
      user_gradient = user_gradient + extra_gradient
      for item, row in collapse(zip(entries, extra_rows, strict=True), duplicates).items():
        rows[item] = rows.get(item, np.zeros_like(row)) + row
    losses.append(loss_value)
    new_users[client] = users[client] - client_learning_rate * user_gradient
    for item, row in rows.items():
      uploads.append((client, item, row))
  uploads.extend(extra_uploads)

  if row_clip is not None:
    uploads = [(client, item, clip_row(row, row_clip)) for client, item, row in uploads]
  for item, client_rows in aggregation.group_by_item(uploads).items():
    new_table[item] = table[item] - server_learning_rate * aggregate(client_rows)

  mean_loss = sum(losses) / len(losses) if losses else 0.0
  return new_users, new_table, mean_loss
