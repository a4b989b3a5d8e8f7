"""How far malicious uploads stand out: how many rows they have, and how long those are among benign ones."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jax import lax

from fedrecjax.types import Array, ClientUpdates

COUNTS = ("malicious", "malicious_rows", "benign", "benign_rows", "percentiles", "foreign")
# Rows whose squared lengths agree in exponent and six binary digits count as equally long.
_DIGITS = 14
_SIZES = 2**_DIGITS


# Numbers that XLA adds up in one pass over an array.
_AT_ONCE = 32


def sizes(rows: Array) -> Array:
  """The size class of each row by its length, `[E, d] -> int32 [E]`: the first digits of its square."""

  def squared_length(part: Array) -> Array:
    # As a plain sum XLA gives it, on a CPU, to a library that has all squares written down first, at three times the
    # cost. The maximum changes nothing about sums of squares.
    return lax.reduce(part * part, jnp.float32(0), lambda one, other: jnp.maximum(one + other, 0), [part.ndim - 1])

  parts = [rows[..., first : first + _AT_ONCE] for first in range(0, rows.shape[-1], _AT_ONCE)]
  digits = lax.bitcast_convert_type(sum(map(squared_length, parts), jnp.float32(0)), jnp.int32)
  return digits >> (31 - _DIGITS)


def measure_stealth(
  uploads: ClientUpdates, hostile: Array, sending: Array, foreign: Array, num_items: int
) -> Array:
  """Sums of a round, float32 `[6]` in the order of `COUNTS`.

  Args:
    uploads: of all clients, one row per client and item.
    hostile: which places of the round hold a client that attacks, bool `[C]`.
    sending: which hold another client that has something to send, bool `[C]`.
    foreign: rows that an attack sent in the name of a client that is not its own.
    num_items: M.
  """
  group = hostile[uploads.client].astype(jnp.int32)
  place = jnp.where(uploads.item < num_items, group * _SIZES + sizes(uploads.row), 2 * _SIZES)
  # One pass over the rows makes both histograms; from there on it is 16,384 numbers.
  histograms = jnp.zeros(2 * _SIZES, jnp.float32).at[place].add(1.0, mode="drop")
  benign, malicious = histograms.reshape(2, _SIZES)
  shorter = jnp.cumsum(benign) - 0.5 * benign
  benign_rows, malicious_rows = jnp.sum(benign), jnp.sum(malicious)
  percentiles = jnp.dot(malicious, shorter) / jnp.maximum(benign_rows, 1)
  clients = [jnp.sum(group, dtype=jnp.int32) for group in (hostile, sending)]
  counts = (clients[0], malicious_rows, clients[1], benign_rows, percentiles, foreign)
  return jnp.stack([jnp.asarray(count, jnp.float32) for count in counts])


def foreign_rows(uploads: ClientUpdates, hostile: Array, num_items: int) -> Array:
  """Rows that an attack sent in the name of clients that do not attack, int32 scalar."""
  used = (uploads.item >= 0) & (uploads.item < num_items)
  # A negative place would be taken for one counted from the end.
  own = (uploads.client >= 0) & hostile.at[uploads.client].get(mode="fill", fill_value=False)
  return jnp.sum(used & ~own, dtype=jnp.int32)


def rows_outside(items: Array, num_items: int) -> Array:
  """Places with items outside 0..M, where M stands for none, int32 scalar.

  >>> int(rows_outside(jnp.array([0, 3, -1, 4]), num_items=3))
  2
  """
  return jnp.sum((items < 0) | (items > num_items), dtype=jnp.int32)


def stealth_columns(sums: np.ndarray) -> dict[str, np.ndarray]:
  """What malicious uploads look like, by name.

  Args:
    sums: from :func:`measure_stealth`, of single rounds or added up over several, `[R, 6]`.

  Returns:
    `[R]` each: "malicious_clients" (those that attack), "benign_clients" (others with data), "malicious_rows" and
    "benign_rows" (rows for each of them), "norm_percentile" (share of benign rows that a malicious row is longer
    than, averaged over malicious rows; equal lengths count half); NaN where there is nothing to average.

  >>> stealth_columns(np.array([[2.0, 6.0, 4.0, 40.0, 3.0, 0.0]]))["norm_percentile"].tolist()
  [0.5]
  """
  malicious, malicious_rows, benign, benign_rows, percentiles, _ = sums.T.astype(float)

  def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0)

  return {
    "malicious_clients": malicious,
    "benign_clients": benign,
    "malicious_rows": ratio(malicious_rows, malicious),
    "benign_rows": ratio(benign_rows, benign),
    "norm_percentile": ratio(percentiles, malicious_rows),
  }
