"""Who takes part in a run, and what its malicious clients bring: their data, their functions, their state."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

from fedrecjax.config import AttackerConfig, ConfigError, TrainConfig
from fedrecjax.datasets import Dataset, ItemLists, read_public
from fedrecjax.federation.participation import Rounds, attacking_from_to, draw_pool, draw_rounds
from fedrecjax.federation.population import Population, make_population, num_malicious, own_lists, public_part
from fedrecjax.simulation.contract_checks import ContractError
from fedrecjax.simulation.contracts import checked, first_line, method_name
from fedrecjax.simulation.visual_features import check_targets
from fedrecjax.types import Attack, AttackContext
from fedrecjax.vision.visuals import Visuals


class Participants(NamedTuple):
  """Who takes part in a run, and when.

  Attributes:
    population: who is who.
    rounds: the clients of every round.
    attacker: malicious clients as asked for.
    has_image: items that have an image, bool `[M]`; None without images.
    invented: users that the attack by images invents; they are clients only where it also uploads gradients.
    image_epochs: first epoch in which images are uploaded, and the one after the last.
  """

  population: Population
  rounds: Rounds
  attacker: AttackerConfig
  has_image: np.ndarray | None
  invented: int
  image_epochs: tuple[int, int]


def who_takes_part(
  dataset: Dataset, attack: Attack, attacker: AttackerConfig, train: TrainConfig, seed: int, visuals: Visuals | None
) -> Participants:
  """Draws the clients of a run and of each of its rounds."""
  has_image = None if visuals is None else visuals.images.has_image
  stop = train.epochs if attacker.stop_epoch is None else min(attacker.stop_epoch, train.epochs)
  has_clients = not (attack.poison is None and attack.profiles is None and attack.samples is None)
  population = make_population(dataset, attacker if has_clients else attacker.without_clients(), seed, has_image)
  if attack.images is not None:
    check_targets(dataset, population.targets, has_image)
  rounds = draw_rounds(
    seed, num_clients=population.num_clients, num_benign=population.num_benign,
    clients_per_round=train.clients_per_round, epochs=train.epochs, participation=train.participation,
  )
  rounds = attacking_from_to(
    rounds, attacker.start_epoch, attacker.stop_epoch,
    absent=None if "own_data" in attack.requires else population.num_clients,
  )
  if attack.pool > 0 and population.num_malicious > 0:
    rounds = draw_pool(rounds, seed, size=attack.pool, num_malicious=population.num_malicious)
  return Participants(
    population, rounds, attacker, has_image, num_malicious(dataset, attacker), (attacker.start_epoch, stop)
  )


class Attackers(NamedTuple):
  """What malicious clients bring into a run.

  Attributes:
    poison: of the attack; None if nobody is malicious.
    samples: of the attack; None if nobody is malicious.
    tells: of the attack; None if nobody is malicious.
    state: of the attack before the first round.
    profiles: items that each malicious client trains on; None without data of their own.
    notes: lines on what it was given that the user should know.
  """

  poison: Any
  samples: Any
  tells: Any
  state: Any
  profiles: list[np.ndarray] | None
  notes: tuple[str, ...] = ()


def prepare_attackers(
  dataset: Dataset, attack: Attack, who: Participants, *, dim: int, key: jax.Array, seed: int
) -> Attackers:
  """Gives the attack what it asks for, and lets it make its clients' data and its state."""
  population = who.population
  somebody = population.num_malicious > 0
  if not somebody and attack.images is None:
    return Attackers(None, None, None, (), None)
  granted, notes = _granted_interactions(dataset, attack, who, seed)
  context = AttackContext(
    num_items=dataset.num_items,
    num_malicious=population.num_malicious if attack.images is None else who.invented,
    targets=population.targets,
    dim=dim,
    rounds=who.rounds.malicious,
    popularity=dataset.popularity if "popularity" in attack.requires else None,
    interactions=granted,
    has_image=who.has_image,
  )
  profiles = None
  with fitting(method_name("attack", attack.init), dataset.name):
    if attack.profiles is not None:
      profiles = checked("attack", "profiles", attack.profiles)(np.random.default_rng([seed, 1]), context)
    elif "own_data" in attack.requires:
      profiles = own_lists(dataset, population, who.attacker, np.random.default_rng([seed, 1]))
      context = context._replace(own=ItemLists.from_lists(profiles))
    state = checked("attack", "init", attack.init)(key, context)
  functions = (attack.poison, attack.samples, attack.tells) if somebody else (None, None, None)
  return Attackers(*functions, state, profiles, notes)


def given_public(dataset: Dataset, attacker: AttackerConfig) -> ItemLists | None:
  """What everybody can see of all users' interactions, where that is given; None where it is to be drawn.

  Raises:
    ConfigError: if it is given twice, or given and to be drawn.
    DataError: if `attacker.public_file` cannot be read.
  """
  if dataset.public is None:
    return None if attacker.public_file is None else read_public(attacker.public_file, dataset)
  for field in ("public_file", "public_share"):
    value = getattr(attacker, field)
    if value != getattr(AttackerConfig, field):
      raise ConfigError(f"attacker.{field} must be left alone for {dataset.name}, which says itself what is public, got"
                        f" {value!r}")
  return dataset.public


def _granted_interactions(
  dataset: Dataset, attack: Attack, who: Participants, seed: int
) -> tuple[ItemLists | None, tuple[str, ...]]:
  """What the attack may know about who interacted with what, and a line where it is not what clients train on."""
  public, users = given_public(dataset, who.attacker), who.population.users
  if not attack.requires & {"interactions", "public_interactions"}:
    return None, ()
  lists = ItemLists.from_lists([dataset.train.of(user) for user in users])
  if "interactions" in attack.requires:
    return lists, ()
  if public is None:
    return public_part(lists, who.attacker.public_share, np.random.default_rng([seed, 3])), ()
  seen = ItemLists.from_lists([public.of(user) for user in users])
  others = sum(int((~np.isin(seen.of(client), lists.of(client))).sum()) for client in range(len(users)))
  if others == 0:
    return seen, ()
  return seen, (f"{others} of {len(seen.items)} public interactions are no training interactions of their users; the"
                " attack sees them all the same",)


@contextlib.contextmanager
def fitting(method: str, data: str) -> Iterator[None]:
  """Says of a ValueError that a method, named as messages do, does not fit the data."""
  try:
    yield
  except (ConfigError, ContractError):
    raise
  except ValueError as error:
    raise ConfigError(f"{method} does not fit {data}: {first_line(error)}") from error
