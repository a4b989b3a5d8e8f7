"""The uploads of a few rounds together, client by client."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fedrecjax.analysis import principal_components, upload_products
from fedrecjax.config import from_flat
from fedrecjax.datasets import Dataset
from fedrecjax.defenses import chain
from fedrecjax.simulation.planning import Run, plan
from fedrecjax.simulation.received_uploads import Received, received_uploads

SETTINGS: dict[str, Any] = {"train.preset": "cluster_union", "attacker.membership": "converted"}
# With the contrastive task at the clients and without it; nothing is filtered, so that all uploads are seen.
TASKS = {"with CL": True, "without CL": False}


class Window(NamedTuple):
  """Uploads of consecutive rounds, one behind another.

  Attributes:
    start: the first round.
    round: of each upload `[n]`.
    malicious: whether its client attacks `[n]`.
    uniformity: of the items after it alone `[n]`.
    points: along the two directions in which the uploads vary most `[n, 2]`.
    shares: of the variance, that of each direction `[2]`.
  """

  start: int
  round: npt.NDArray[np.int64]
  malicious: npt.NDArray[np.bool_]
  uniformity: npt.NDArray[np.float32]
  points: npt.NDArray[np.floating]
  shares: npt.NDArray[np.floating]


def planned(dataset: Dataset, *, attack: str, contrastive: bool, ratio: float, rounds: int, seed: int) -> Run:
  """The run of so many rounds in which clients do the contrastive task or do not."""
  settings = {**SETTINGS, "attack": attack, "attacker.malicious_ratio": ratio, "seed": seed}
  if contrastive:
    settings["defense"] = "union"
  config = from_flat(settings)
  clients = config.train.clients_per_round
  per_epoch = 1 if clients == "all" else -(-dataset.num_users // int(clients))
  config = from_flat({**settings, "train.epochs": -(-rounds // per_epoch)})
  defense = chain(*(part.build() for part in config.defense))._replace(filter=None)
  return plan(
    dataset, model=config.model.build(), attack=config.attack.build(), defense=defense, train=config.train,
    attacker=config.attacker, evaluation=config.eval, seed=seed,
  )


def windows(run: Run, starts: Sequence[int], width: int) -> Iterator[Window]:
  """The uploads of the rounds from each start on.

  Args:
    run: planned.
    starts: first rounds.
    width: rounds of a window; windows must not overlap.

  Raises:
    ValueError: if the run has no such rounds.
  """
  wanted = sorted({start + further for start in starts for further in range(width)})
  received = received_uploads(run, wanted)
  for start in sorted(set(starts)):
    yield window_of(start, [next(received) for _ in range(width)])


def window_of(start: int, rounds: Iterable[Received]) -> Window:
  """Puts rounds together; places without a client are left out."""
  numbers, malicious, uniformity, owners, items, rows = [], [], [], [], [], []
  count = 0
  for one in rounds:
    place = np.full(len(one.present), -1)
    place[one.present] = count + np.arange(one.present.sum())
    count += int(one.present.sum())
    numbers.append(np.full(int(one.present.sum()), one.round))
    malicious.append(one.malicious[one.present])
    uniformity.append(one.uniformity[one.present])
    owners.append(place[one.client])
    items.append(one.item)
    rows.append(one.row)
  products = upload_products(np.concatenate(owners), np.concatenate(items), np.concatenate(rows), count)
  points, shares = principal_components(products)
  return Window(start, np.concatenate(numbers), np.concatenate(malicious), np.concatenate(uniformity), points, shares)
