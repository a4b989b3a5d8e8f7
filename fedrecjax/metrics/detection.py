"""How well a defence tells malicious uploads from benign ones, judged by the truth, which no defence is given."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from fedrecjax.types import ClientUpdates
from fedrecjax.uploads.rows import row_norms

LEVELS = ("client", "row")
COUNTS = ("malicious_flagged", "malicious", "benign_flagged", "benign")
QUALITIES = ("precision", "recall", "false_positive_rate")
# A row counts as rescaled when it has lost more of its length than rounding explains.
_UNTOUCHED = 1 - 1e-5


def flagged_by_filter(before: ClientUpdates, after: ClientUpdates, num_items: int) -> jax.Array:
  """Rows that a filter has dropped or made shorter, bool `[E]`; both uploads have the same places."""
  flagged = after.item >= num_items
  if after.row is not before.row:
    flagged |= row_norms(after.row) < _UNTOUCHED * row_norms(before.row)
  return (before.item < num_items) & flagged


def verdicts(flagged: jax.Array, used: jax.Array, client: jax.Array, malicious: jax.Array) -> jax.Array:
  """Counts of a round. A client counts as flagged when all of its rows are.

  Args:
    flagged: rows that the defence rejected or made shorter, bool `[E]`.
    used: places that hold a row, bool `[E]`.
    client: place of each row's client in the round, int32 `[E]`.
    malicious: which places of the round hold a malicious client, bool `[C]`.

  Returns:
    For clients that sent anything, and for rows: how many malicious ones are flagged, how many there are, and the
    same of benign ones; int32 `[2, 4]`.
  """

  def counts(flagged: jax.Array, used: jax.Array, malicious: jax.Array) -> jax.Array:
    groups = (flagged & malicious, used & malicious, flagged & ~malicious, used & ~malicious)
    return jnp.stack([jnp.sum(group, dtype=jnp.int32) for group in groups])

  rows = jnp.zeros(malicious.shape[0], jnp.int32).at[client].add(used.astype(jnp.int32))
  rows_flagged = jnp.zeros_like(rows).at[client].add(flagged.astype(jnp.int32))
  clients = counts((rows > 0) & (rows_flagged == rows), rows > 0, malicious)
  return jnp.stack([clients, counts(flagged, used, malicious[client])])


def detection_columns(counts: np.ndarray, stages: Sequence[str] = ("",)) -> dict[str, np.ndarray]:
  """Detection quality by name.

  Args:
    counts: from :func:`verdicts`, of each stage of a defence that has any, of single rounds or added up over several,
      `[R, S, 2, 4]`.
    stages: names of the stages, S of them.

  Returns:
    For clients and for rows, `[R]` each: the four counts, precision (share of malicious ones among the flagged),
    recall (share of the malicious ones that are flagged) and false-positive rate (share of the benign ones that are
    flagged); NaN where there is nothing to take a share of. Of several stages each has its own columns, whose names
    begin with its own and a point: what one rejects another may only have made shorter.

  >>> counts = np.array([[[[2, 4, 1, 10], [0, 0, 0, 3]]]])
  >>> detection_columns(counts)["client_recall"].tolist()
  [0.5]
  >>> detection_columns(counts.repeat(2, axis=1), ["norm_bound", "union"])["union.client_recall"].tolist()
  [0.5]
  """
  columns: dict[str, np.ndarray] = {}
  for number, stage in enumerate(stages):
    prefix = f"{stage}." if len(stages) > 1 else ""
    columns |= {prefix + name: column for name, column in _columns_of_stage(counts[:, number]).items()}
  return columns


def _columns_of_stage(counts: np.ndarray) -> dict[str, np.ndarray]:
  """The columns of one stage from its counts `[R, 2, 4]`."""
  columns: dict[str, np.ndarray] = {}
  for level, name in enumerate(LEVELS):
    of_level = counts[:, level]
    columns |= {f"{name}_{count}": of_level[:, number] for number, count in enumerate(COUNTS)}
    caught, malicious, false, benign = of_level.T.astype(float)
    shares = ((caught, caught + false), (caught, malicious), (false, benign))
    for quality, (part, whole) in zip(QUALITIES, shares, strict=True):
      columns[f"{name}_{quality}"] = np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0)
  return columns
