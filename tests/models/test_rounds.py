"""Rounds of each base model against a loop over clients: item table, shared parameters, own
vectors.
"""

import numpy as np
import pytest

from fedrecjax import defenses, models
from fedrecjax.config import TrainConfig
from tests.models import clients
from tests.models.rounds import LENGTHS, RULES, assert_rounds_match, uneven
from tests.support.lockstep import make_run

DEFENSES = {
  "sum": defenses.none(),
  "samples": defenses.none(scale="mean", weights="samples"),
  "median": defenses.median(),
  "krum": defenses.krum(f=0.25),
}
# Rounds of 5, 5 and 1 clients: the last has empty places.
TRAIN = {"epochs": 1, "clients_per_round": 5, "client_learning_rate": 0.05}

CASES = [
  # model, its client, options of both, loss, reduction, negatives, defence
  ("ncf", {"dim": 8, "hidden": (8, 8)}, {}, "bce", "mean", 1, "sum"),
  ("ncf", {"dim": 8, "hidden": (8, 8)}, {}, "bpr", "mean", 3, "samples"),
  ("ncf", {"dim": 8, "hidden": (8, 8), "gmf": True}, {"products": 8}, "bpr", "sum", 1, "median"),
  ("ncf", {"dim": 8, "hidden": (8, 8), "gmf": True}, {"products": 8}, "bce", "sum", 3, "sum"),
  ("ncf", {"dim": 4, "hidden": (32, 16)}, {}, "bce", "sum", 3, "sum"),
  ("ncf", {"dim": 4, "hidden": (32, 16)}, {}, "bce", "mean", 3, "krum"),
  *(
    ("lightgcn", {"dim": 4, "hidden": (6, 5), "layers": layers, "combine": combine, "head": head},
     {"layers": layers, "combine": combine}, loss, reduction, negatives, defense)
    for layers, combine, head, loss, reduction, negatives, defense in (
      (0, "sum", "mlp", "bce", "mean", 1, "sum"),
      (1, "sum", "mlp", "bce", "mean", 1, "median"),
      (1, "mean", "mlp", "bpr", "sum", 3, "samples"),
      (1, "sum", "dot", "bpr", "mean", 1, "sum"),
      (2, "sum", "dot", "bce", "sum", 3, "median"),
      (2, "mean", "mlp", "bce", "mean", 3, "sum"),
      (3, "mean", "dot", "bpr", "mean", 3, "sum"),
      (3, "sum", "mlp", "bpr", "mean", 1, "krum"),
    )
  ),
  *(
    ("fedgnn", {"dim": 5, "num_neighbors": neighbors, "neighbors_from": 0}, {}, *options)
    for neighbors, *options in (
      (0, "bce", "mean", 1, "sum"),
      (0, "bpr", "sum", 3, "median"),
      (4, "bce", "mean", 3, "samples"),
      (4, "bpr", "mean", 1, "sum"),
    )
  ),
]  # fmt: skip


@pytest.mark.parametrize(
  ("model", "sizes", "options", "loss", "reduction", "negatives", "defense"), CASES
)
def test_rounds_match(model, sizes, options, loss, reduction, negatives, defense):
  train = TrainConfig(
    loss=loss,
    reduction=reduction,
    num_negatives=negatives,
    learning_rate=0.2 if reduction == "mean" else 0.01,
    **TRAIN,
  )
  run = make_run(
    uneven(),
    model=getattr(models, model)(init_std=0.5, **sizes),
    defense=DEFENSES[defense],
    train=train,
    seed=1,
  )
  assert run.structure.own_shared == (defense != "sum" and sizes.get("head") != "dot")
  assert run.structure.capacity > sum(sorted(LENGTHS)[-5:])
  client = getattr(clients, model)(loss=loss, reduction=reduction, **options)
  assert_rounds_match(run, client, RULES[defense])


@pytest.mark.parametrize(
  ("length", "heads", "blocks", "loss", "reduction", "negatives", "defense"),
  [
    (33, 1, 2, "bce", "mean", 1, "sum"),
    (33, 2, 1, "bpr", "sum", 3, "sum"),
    (32, 1, 1, "bpr", "mean", 1, "samples"),
    (6, 2, 2, "bce", "mean", 3, "median"),
    (1, 1, 1, "bce", "mean", 1, "sum"),
  ],
)
def test_rounds_of_sasrec_match(length, heads, blocks, loss, reduction, negatives, defense):
  train = TrainConfig(
    loss=loss,
    reduction=reduction,
    num_negatives=negatives,
    learning_rate=0.05 if reduction == "mean" else 0.002,
    **TRAIN,
  )
  run = make_run(
    uneven(lengths=(0, 1, 2, 33, 34, 65, 33, 2, 1)),
    model=models.sasrec(
      dim=4, length=length, heads=heads, blocks=blocks, dropout=0.0, init_std=0.5
    ),
    defense=DEFENSES[defense],
    train=train,
    seed=2,
  )
  client = clients.sasrec(loss=loss, reduction=reduction, blocks=blocks, length=length)
  assert_rounds_match(run, client, RULES[defense])


def test_neighbors_are_used_from_their_epoch_on():
  train = TrainConfig(epochs=2, clients_per_round=5, learning_rate=0.2)
  model = models.fedgnn(dim=4, num_neighbors=3, neighbors_from=1, init_std=0.5)
  run = make_run(uneven(lengths=(0, 1, 2, 5, 9, 4, 4, 7)), model=model, train=train)
  assert run.constants.numbers.neighbors_from == 2
  found = np.asarray(run.constants.data.training.neighbors)
  assert (found < 8).any() and (found[0] == 8).all()
  assert_rounds_match(run, clients.fedgnn(loss="bce", reduction="mean"))
