"""The command `python -m experiments.baselines`: recommenders without a federation, to compare ours with.

The most popular items for everybody, and matrix factorisation trained with BPR on all data in one place by the library
`implicit`, both evaluated as our runs are.
"""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import polars as pl

from experiments.atomic_files import new_file
from experiments.command_line import FlagGroup, command, output, read_group
from experiments.errors import UsageError
from experiments.tables import Table, print_and_write
from fedrecjax.config import EvalConfig
from fedrecjax.datasets import Dataset, load
from fedrecjax.methods.hyperparameters import as_arguments
from fedrecjax.models import mf
from fedrecjax.simulation.evaluation import evaluation_data, jitted_evaluation, metric_names
from fedrecjax.types import Public

FloatArray = npt.NDArray[np.floating]
COLUMNS = ("hr@10", "ndcg@10")
PROTOCOLS = {
  "all items": EvalConfig(ks=(10,)),
  "99 sampled": EvalConfig(ks=(10,), candidates="sampled", held_out_negative=True),
}


def most_popular(dataset: Dataset) -> tuple[FloatArray, FloatArray]:
  """Vectors of users `[N, 1]` and items `[M, 1]` whose inner product is the item's popularity."""
  return np.ones((dataset.num_users, 1), np.float32), dataset.popularity[:, None].astype(np.float32)


def centralized_bpr(dataset: Dataset, *, seed: int, dim: int, epochs: int) -> tuple[FloatArray, FloatArray]:
  """Vectors of users and items, trained by the library `implicit` in one place, with its other defaults.

  Args:
    dataset: its training items.
    seed: of the training.
    dim: embedding size, without the items' bias.
    epochs: passes over the data.

  Raises:
    UsageError: if the library is missing.
  """
  try:
    from implicit.bpr import BayesianPersonalizedRanking
    from scipy.sparse import csr_matrix
  except ImportError as error:
    raise UsageError("implicit is missing, pip install fedrecjax[plain] brings it") from error
  lists = dataset.train
  matrix = csr_matrix(
    (np.ones(len(lists.items), np.float32), (lists.users, lists.items)), (dataset.num_users, dataset.num_items)
  )
  model = BayesianPersonalizedRanking(factors=dim, iterations=epochs, random_state=seed, num_threads=1)
  model.fit(matrix, show_progress=False)
  return np.asarray(model.user_factors), np.asarray(model.item_factors)


def quality(dataset: Dataset, users: FloatArray, items: FloatArray, config: EvalConfig, seed: int) -> dict[str, float]:
  """Our metrics of recommendations by the inner product of the given vectors, by column name."""
  data = evaluation_data(dataset, config, np.zeros(1, np.int32), np.arange(dataset.num_users))
  public = Public(jnp.asarray(items), ())
  means, _ = jitted_evaluation(
    as_arguments(mf(dim=items.shape[1])), public, jnp.asarray(users), data, jax.random.key(seed),
    config=config, num_users=dataset.num_users,
  )
  return dict(zip(metric_names(config), np.asarray(means).tolist(), strict=True))


def rows(dataset: Dataset, *, seeds: Sequence[int], dim: int, epochs: int) -> Iterator[dict[str, Any]]:
  """One row for each recommender, protocol and seed."""
  for seed in seeds:
    vectors = {"most popular": most_popular(dataset),
               "centralised BPR-MF": centralized_bpr(dataset, seed=seed, dim=dim, epochs=epochs)}
    for name, (users, items) in vectors.items():
      for protocol, config in PROTOCOLS.items():
        found = quality(dataset, users, items, config, seed)
        yield {"recommender": name, "candidates": protocol, "seed": seed, **{one: found[one] for one in COLUMNS}}


def _work(argv: Sequence[str]) -> None:
  value = read_group("baselines", argv, _define_flags)
  dataset = load(value("dataset"), data_dir=value("data_dir"), split=value("split"))
  found = pl.DataFrame(list(rows(dataset, seeds=range(value("seeds")), dim=value("dim"), epochs=value("epochs"))))
  _write(dataset.name, found, pathlib.Path(value("out_dir")))


def _define_flags(group: FlagGroup) -> None:
  group.dataset()
  group.data_dir()
  group.text("split", "default", "how items are held out, as --data.split of the sweep.")
  group.out_dir()
  group.integer("seeds", 3, "seeds, from 0.", least=1)
  group.integer("dim", 32, "embedding size.", least=1)
  group.integer("epochs", 100, "passes over the data.", least=1)


def _write(dataset: str, found: pl.DataFrame, out_dir: pathlib.Path) -> None:
  out_dir.mkdir(parents=True, exist_ok=True)
  with new_file(out_dir / "baselines.csv") as file:
    found.write_csv(file)
  means = found.group_by("recommender", "candidates", maintain_order=True).agg(pl.col(*COLUMNS).mean())
  table = Table(
    f"{dataset}: recommenders without a federation, means of {found['seed'].n_unique()} seeds",
    tuple(means.columns),
    tuple((*row[:2], *(f"{value:.4f}" for value in row[2:])) for row in means.iter_rows()),
    num_labels=2,
  )
  print_and_write([table], out_dir / "baselines.md", output())


main = command("baselines", _work)


if __name__ == "__main__":
  sys.exit(main())
