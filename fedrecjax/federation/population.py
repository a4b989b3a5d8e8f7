"""The clients of a run: benign users first, then malicious clients, with what each of them trains on (host side)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fedrecjax.config import AttackerConfig, ConfigError
from fedrecjax.datasets import DataError, Dataset, ItemLists


class Population(NamedTuple):
  """Who is who.

  Attributes:
    users: the benign clients as users of the data set, int64 `[N]`.
    num_malicious: malicious clients; they follow the benign ones.
    targets: items that the attack promotes, int32 `[T]`.
    drawn: all users of the data set in the order in which malicious ones are taken from them.
  """

  users: np.ndarray
  num_malicious: int
  targets: np.ndarray
  drawn: np.ndarray

  def evaluated(self, left_out: float) -> np.ndarray:
    """Which benign clients are evaluated if that share of all users is left out, malicious ones first, bool `[N]`."""
    # A product just under an integer counts as that integer.
    return ~np.isin(self.users, self.drawn[: int(left_out * len(self.drawn) + 1e-9)])

  @property
  def num_benign(self) -> int:
    """Number of benign clients N."""
    return len(self.users)

  @property
  def num_clients(self) -> int:
    """Number of all clients."""
    return len(self.users) + self.num_malicious


def choose_targets(
  dataset: Dataset, config: AttackerConfig, rng: np.random.Generator, has_image: np.ndarray | None = None
) -> np.ndarray:
  """The targets as numbers of items, int32 `[T]`.

  Args:
    dataset: the items.
    config: how targets are chosen.
    rng: for random ones, and for ties.
    has_image: items that may be chosen, bool `[M]`; all if None. Given items need none.

  Raises:
    ConfigError: if there are fewer items than targets, or a given item does not exist.
  """
  if config.targets == "given":
    try:
      return np.array([dataset.item_number(name) for name in config.target_items], np.int32)
    except DataError as error:
      raise ConfigError(f"attacker.target_items: {error}") from error
  shuffled = rng.permutation(dataset.num_items)
  if has_image is not None:
    shuffled = shuffled[has_image[shuffled]]
  if config.num_targets > len(shuffled):
    raise ConfigError(f"attacker.num_targets must be at most the {len(shuffled)} items of {dataset.name}"
                      f"{'' if has_image is None else ' that have an image'}, got {config.num_targets}")
  if config.targets == "least_popular":
    shuffled = shuffled[np.argsort(dataset.popularity[shuffled], kind="stable")]
  return shuffled[: config.num_targets].astype(np.int32)


def num_malicious(dataset: Dataset, config: AttackerConfig) -> int:
  """Number of malicious clients, whose share of what `config.ratio_of` says is at most `config.malicious_ratio`."""
  ratio, added = config.malicious_ratio, config.membership == "added"
  of_users = {
    "users": ratio,
    "all": ratio / (1 - ratio) if added else ratio,
    "benign": ratio if added else ratio / (1 + ratio),
  }
  # A product just under an integer counts as that integer: 0.29 * 100 users are 29.
  return int(of_users[config.ratio_of] * dataset.num_users + 1e-9)


def make_population(
  dataset: Dataset, config: AttackerConfig, seed: int, has_image: np.ndarray | None = None
) -> Population:
  """Draws targets and malicious clients.

  Args:
    dataset: training and held-out items.
    config: how many malicious clients and which targets.
    seed: of the run.
    has_image: items that have an image, bool `[M]`, which targets are then drawn among; None where images are unknown.

  Raises:
    ConfigError: as :func:`choose_targets`, or if no benign user remains.
  """
  rng = np.random.default_rng([seed, 0])
  targets = choose_targets(dataset, config, rng, has_image)
  count = num_malicious(dataset, config)
  users = np.arange(dataset.num_users)
  drawn = rng.permutation(users)
  if config.membership == "converted":
    users = np.sort(drawn[count:])
  if len(users) == 0:
    raise ConfigError("attacker.malicious_ratio leaves no benign user")
  return Population(users, count, targets, drawn)


def own_lists(
  dataset: Dataset, population: Population, config: AttackerConfig, rng: np.random.Generator
) -> list[np.ndarray]:
  """What malicious clients with data of their own hold: converted users their items, added clients random ones.

  Raises:
    ConfigError: if there are fewer items than an added client is to hold.
  """
  if config.membership == "converted":
    return [dataset.train.of(user) for user in population.drawn[: population.num_malicious]]
  if config.own_items >= dataset.num_items:
    raise ConfigError(f"attacker.own_items must be below the {dataset.num_items} items of {dataset.name}, got"
                      f" {config.own_items}")
  drawn = [rng.choice(dataset.num_items, config.own_items, replace=False) for _ in range(population.num_malicious)]
  return [one.astype(np.int32) for one in drawn]


def public_part(lists: ItemLists, share: float, rng: np.random.Generator) -> ItemLists:
  """The part of each user's items that everybody can see: a share of it, rounded up, drawn without replacement.

  >>> public_part(ItemLists.from_lists([[4, 5, 6], []]), 0.4, np.random.default_rng(0)).lengths.tolist()
  [2, 0]
  """
  # A product just above an integer counts as that integer.
  counts = np.ceil(share * lists.lengths - 1e-9).astype(int)
  return ItemLists.from_lists([rng.permutation(lists.of(user))[:count] for user, count in enumerate(counts)])


def training_lists(dataset: Dataset, population: Population, profiles: list[np.ndarray] | None) -> ItemLists:
  """What each client trains on: benign users their items, malicious clients their profiles or nothing.

  Raises:
    ConfigError: if a client holds every item, so that no negative can be drawn for it.
  """
  malicious = profiles if profiles is not None else [np.zeros(0, np.int32)] * population.num_malicious
  lists = [dataset.train.of(user) for user in population.users] + list(malicious)
  for client, items in enumerate(lists):
    if len(items) >= dataset.num_items and len(np.unique(items)) == dataset.num_items:
      raise ConfigError(f"{dataset.name}: {_called(client, dataset, population)} has interacted with all"
                        f" {dataset.num_items} items, so no negative can be drawn for it")
  return ItemLists.from_lists(lists)


def _called(client: int, dataset: Dataset, population: Population) -> str:
  """A client for messages, with the user that it is where the data call users by names of their own."""
  if dataset.user_names is None or client >= len(population.users):
    return f"client {client}"
  return f"client {client} (user {dataset.user_name(int(population.users[client]))})"


def interacted_lists(dataset: Dataset, population: Population, lists: ItemLists) -> ItemLists:
  """What each client trains on and, for benign users, what of theirs has been set aside or held out.

  Raises:
    ConfigError: if that is every item, so that no negative can be drawn.
  """
  aside = [dataset.test] if dataset.validation is None else [dataset.test, dataset.validation]
  joined = [
    np.concatenate([lists.of(client), *(one.of(user) for one in aside)])
    for client, user in enumerate(population.users)
  ]
  joined += [lists.of(client) for client in range(len(joined), len(lists))]
  for client, items in enumerate(joined):
    if len(np.unique(items)) == dataset.num_items:
      raise ConfigError(f"train.negatives_outside: {_called(client, dataset, population)} of {dataset.name} has"
                        f" interacted with all {dataset.num_items} items, expected training")
  return ItemLists.from_lists(joined)
