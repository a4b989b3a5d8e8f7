"""How far malicious uploads stand out: how many rows they have, and how long those are among benign ones."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from fedrecjax.types import Array, ClientUpdates
from fedrecjax.uploads import row_norms

COUNTS = ("malicious", "malicious_rows", "benign", "benign_rows", "percentiles", "foreign")
# Lengths whose first seven binary digits agree count as equal.
_BITS = 14


def share_below(values: Array, among: Array) -> Array:
  """The share of the others that each value exceeds; those of about the same size count half.

  Args:
    values: at least 0, `[E]`.
    among: which of them are the others, bool `[E]`.

  Returns:
    float32 `[E]`; 0 if there are no others.

  >>> share_below(jnp.array([1.0, 8.0, 3.0, 3.0]), jnp.array([True, True, True, False])).tolist()
  [0.1666666716337204, 0.8333333730697632, 0.5, 0.5]
  """
  digits = jax.lax.bitcast_convert_type(values.astype(jnp.float32), jnp.int32) >> (31 - _BITS)
  count = jnp.zeros(2**_BITS, jnp.float32).at[digits].add(among.astype(jnp.float32))
  below = jnp.cumsum(count) - 0.5 * count
  return below[digits] / jnp.maximum(jnp.sum(count), 1.0)


def measure_stealth(uploads: ClientUpdates, hostile: Array, foreign: Array, num_items: int) -> Array:
  """Sums of a round, float32 `[6]` in the order of `COUNTS`.

  Args:
    uploads: of all clients, as sent: rows of one client for one item may stand in several places, and each counts.
    hostile: which places of the round hold a client that attacks, bool `[C]`.
    foreign: rows that an attack sent in the name of a client that is not its own.
    num_items: M.
  """
  used = uploads.item < num_items
  malicious = hostile[uploads.client] & used
  rows = jnp.zeros(hostile.shape[0], jnp.int32).at[uploads.client].add(used.astype(jnp.int32))
  sends = rows > 0 if uploads.sent is None else (rows > 0) | uploads.sent
  percentile = share_below(jnp.where(used, row_norms(uploads.row), 0.0), used & ~malicious)
  sums = (sends & hostile, malicious, sends & ~hostile, used & ~malicious, jnp.where(malicious, percentile, 0.0))
  return jnp.stack([*(jnp.sum(one, dtype=jnp.float32) for one in sums), foreign.astype(jnp.float32)])


def foreign_rows(uploads: ClientUpdates, hostile: Array, num_items: int) -> Array:
  """Rows that an attack sent in the name of clients that do not attack, int32 scalar."""
  used = uploads.item < num_items
  return jnp.sum(used & ~hostile.at[uploads.client].get(mode="fill", fill_value=False), dtype=jnp.int32)


def stealth_columns(sums: np.ndarray) -> dict[str, np.ndarray]:
  """What malicious uploads look like, by name.

  Args:
    sums: from :func:`measure_stealth`, of single rounds or added up over several, `[R, 6]`.

  Returns:
    `[R]` each: "malicious_uploads" and "benign_uploads" (clients that sent anything), "malicious_rows" and
    "benign_rows" (rows for each of them), "norm_percentile" (share of benign rows that a malicious row is longer
    than, averaged over malicious rows); NaN where there is nothing to average.

  >>> stealth_columns(np.array([[2.0, 6.0, 4.0, 40.0, 3.0, 0.0]]))["norm_percentile"].tolist()
  [0.5]
  """
  malicious, malicious_rows, benign, benign_rows, percentiles, _ = sums.T.astype(float)

  def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0)

  return {
    "malicious_uploads": malicious,
    "benign_uploads": benign,
    "malicious_rows": ratio(malicious_rows, malicious),
    "benign_rows": ratio(benign_rows, benign),
    "norm_percentile": ratio(percentiles, malicious_rows),
  }
