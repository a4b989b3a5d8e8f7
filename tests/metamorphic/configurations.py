"""Random configurations of a small federation: models, regimes, attacks and defences in any accepted combination."""

import dataclasses
from typing import Any, NamedTuple

import numpy as np

from fedrecjax import attacks, defenses, models
from fedrecjax.config import AttackerConfig, ConfigError, EvalConfig, TrainConfig
from fedrecjax.datasets import DataError, Dataset, ItemLists
from fedrecjax.simulation.planning import Run, plan
from fedrecjax.simulation.results import Result
from fedrecjax.simulation.runner import simulate
from fedrecjax.types import Attack, Defense, Model
from tests.support.small_images import small_vncf, visuals_of
from tests.test_registered_methods import ATTACKS, DEFENSES

MODELS = {
  "mf": lambda: models.mf(dim=4, init_std=0.5),
  "ncf": lambda: models.ncf(dim=3, hidden=(4,), init_std=0.5),
  "lightgcn": lambda: models.lightgcn(dim=4, init_std=0.5),
  "fedgnn": lambda: models.fedgnn(dim=4, init_std=0.5),
  "sasrec": lambda: models.sasrec(dim=4, length=5, blocks=1),
  "vncf": small_vncf,
  "lightvgcn": lambda: models.lightvgcn(dim=4, init_std=0.5),
}
RULES = ("none", "median", "trimmed_mean", "krum", "multi_krum", "bulyan", "hics")
PARTS = ("norm_bound", "fl_wbc", "pieck_reg", "union")


class Case(NamedTuple):
  """One configuration.

  Attributes:
    names: of model, attack and defence, for messages.
    dataset: a small one of its own.
    model: base recommender.
    attack: with hyperparameters that fit so few items.
    defense: a chain.
    train: regime.
    attacker: malicious clients.
    evaluation: protocol.
    seed: of the run.
  """

  names: str
  dataset: Dataset
  model: Model
  attack: Attack
  defense: Defense
  train: TrainConfig
  attacker: AttackerConfig
  evaluation: EvalConfig
  seed: int

  @property
  def arguments(self) -> dict[str, Any]:
    """What `plan` takes beside the data set."""
    visuals = visuals_of(self.dataset.num_items, bare=()) if self.sees else None
    return {
      "model": self.model, "attack": self.attack, "defense": self.defense, "train": self.train,
      "attacker": self.attacker, "evaluation": self.evaluation, "seed": self.seed, "visuals": visuals,
    }

  @property
  def sees(self) -> bool:
    """Whether the run has images."""
    return self.names.startswith(("vncf", "lightvgcn"))

  def planned(self) -> Run:
    """The run before its first round."""
    return plan(self.dataset, **self.arguments)

  def result(self, *, epochs: int | None = None, every: int = 1, **changes: Any) -> Result:
    """The run with another length, other evaluation points, or another part."""
    one = self._replace(
      train=dataclasses.replace(self.train, epochs=epochs or self.train.epochs),
      evaluation=dataclasses.replace(self.evaluation, every=every), **changes,
    )
    return simulate(one.dataset, **one.arguments)


def random_dataset(random: np.random.Generator) -> Dataset:
  """Users with one to ten items, one of whom holds nothing out and one of whom holds two items out."""
  users, items = int(random.integers(9, 13)), int(random.integers(28, 34))
  train, test = [], []
  for user in range(users):
    drawn = random.choice(items, int(random.integers(3, 12)), replace=False).tolist()
    held_out = {0: 0, 1: 2}.get(user, 1)
    train.append(drawn[held_out:])
    test.append(drawn[:held_out])
  return Dataset("random", users, items, ItemLists.from_lists(train), ItemLists.from_lists(test))


def random_case(seed: int) -> Case:
  """The configuration of a seed: the first of those drawn that is no contradiction."""
  random = np.random.default_rng([2026, seed])
  while True:
    case = _drawn(random, seed)
    try:
      case.planned()
    except (ConfigError, DataError, ValueError):
      continue
    return case


def _drawn(random: np.random.Generator, seed: int) -> Case:
  def choose(*values: Any) -> Any:
    return values[int(random.integers(len(values)))]

  model, attack, parts = choose(*MODELS), choose(*ATTACKS), []
  if random.random() < 0.5:
    parts += [choose(*PARTS)]
  parts += [choose(*RULES)]
  if model in ("vncf", "lightvgcn") and random.random() < 0.3:
    parts += [choose("gdmpd", "gdmpd_unguided")]
  built = [defenses.DEFENSES[name].constructor(**DEFENSES[name]) for name in parts]
  local_steps = choose(1, 1, 1, 2)
  train = {
    "epochs": 2, "clients_per_round": choose(1, 4, 6, "all"), "participation": choose("shuffled", "uniform"),
    "loss": choose("bce", "bpr"), "reduction": choose("mean", "sum"), "num_negatives": choose(1, 2),
    "negatives": choose("once", "every_round"), "learning_rate": choose(0.05, 0.3), "local_steps": local_steps,
    "server_optimizer": choose("sgd", "momentum", "adam", "lazy_adam", "adagrad", "yogi", "rmsprop"),
    "client_optimizer": choose("sgd", "adam", "adam_table"), "l2": choose(0.0, 0.1),
    "l2_rows": choose("uploaded", "copies", "table"), "l2_clients": choose("all", "benign"),
    "dropout": choose(0.0, 0.0, 0.2), "row_clip": choose(None, 0.3), "pseudo_items": choose(0, 0, 2),
    "privacy_clip": choose(None, None, 0.2), "duplicates": choose("sum", "sum", "first"),
  }
  if train["server_optimizer"] != "sgd":
    train["learning_rate"] = 0.02
  if local_steps > 1:
    train |= {"client_optimizer": "sgd", "pseudo_items": 0, "duplicates": "sum"}
  if train["duplicates"] == "first":
    train["negatives"] = "once"
  attacker = AttackerConfig(
    malicious_ratio=choose(0.15, 0.35), membership=choose("added", "converted"), num_targets=choose(1, 3),
    targets=choose("random", "least_popular"), start_epoch=choose(0, 0, 1), colluding=choose(True, True, False),
    own_items=6, public_share=0.3,
  )
  evaluation = EvalConfig(ks=(1, 5), exposure_among=choose("not_trained", "unseen"), left_out=choose(0.0, 0.0, 0.2))
  return Case(
    f"{model} {attack} {'+'.join(parts)}", random_dataset(random), MODELS[model](),
    attacks.ATTACKS[attack].constructor(**ATTACKS[attack]), defenses.chain(*built), TrainConfig(**train), attacker,
    evaluation, seed,
  )
