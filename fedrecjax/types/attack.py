"""An attack, what it is given before training, and what it sees in a round."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from fedrecjax.types.basics import Array, Public, State, beside_features, no_state
from fedrecjax.types.images import ImageView
from fedrecjax.types.model import Loss, Model
from fedrecjax.types.uploads import ClientUpdates, Samples


class AttackContext(NamedTuple):
  """What an attack is given before training. Host arrays; nothing in it depends on benign data unless granted.

  Attributes:
    num_items: M.
    num_malicious: number of malicious clients in the run; under an attack by images alone, which has none, of the
      users that the provider invents.
    targets: item ids to promote, int32 `[T]`.
    dim: d.
    rounds: malicious client (0..num_malicious-1, or -1 for none) in each of the A places of each round, int32
      `[rounds, A]`. Used to size what an attack stores; the simulated attacker does not act on it.
    popularity: interactions of each item in the training data `[M]`, or None unless the attack requires
      `"popularity"`.
    interactions: the benign users' training items, an :class:`fedrecjax.datasets.ItemLists` by user, if the attack
      requires `"interactions"`; their public items, which need be no training items where they are given, if it
      requires `"public_interactions"`; else None.
    own: the malicious clients' own training items, an :class:`fedrecjax.datasets.ItemLists` by malicious client, in
      `init`, if the attack requires `"own_data"`; else None.
    has_image: which items have an image, bool `[M]`; None where no images are given.
  """

  num_items: int
  num_malicious: int
  targets: np.ndarray
  dim: int
  rounds: np.ndarray
  popularity: np.ndarray | None
  interactions: Any = None
  own: Any = None
  has_image: np.ndarray | None = None


class AttackView(NamedTuple):
  """What the attacker sees in one round.

  Attributes:
    public: the parameters that the round's clients received.
    round: int32 scalar from 0.
    client: malicious client in each place, int32 `[A]`; num_malicious where the place is empty.
    active: whether the place holds a client, bool `[A]`.
    slot: the client's place among all C clients of the round, int32 `[A]`.
    targets: int32 `[T]`.
    learning_rate: the step size that the server announces, float32 scalar.
    benign: all benign uploads of the round, or None unless the attack requires `"benign_uploads"`.
    model: functions of the base recommender, which every client runs.
    num_clients: C, static.
    private: the malicious clients' own vectors, float32 `[A, d]`; they are trained where the clients hold data.
    pool: what malicious clients drawn for this round would upload if they behaved, whether or not they take part in
      it, for attacks with `Attack.pool`; `client` is the place among them. One row per client and item, in order of
      items. None for other attacks.
    loss: of one sample, which every client minimises; None in views made by hand.
    features: visual features of the items, float32 `[M, F]`; None for models that see no images.
  """

  public: Public
  round: Array
  client: Array
  active: Array
  slot: Array
  targets: Array
  learning_rate: Array
  benign: ClientUpdates | None
  model: Model
  num_clients: int
  private: Array | None = None
  pool: ClientUpdates | None = None
  loss: Loss | None = None
  features: Array | None = None

  @property
  def received(self) -> Public:
    """The parameters as the model's functions take them, see :func:`beside_features`; uploads have d numbers."""
    return beside_features(self.public, self.features)


class Attack(NamedTuple):
  """An attack, in the manner of an optax transformation.

  Attributes:
    poison: `(state, uploads, view, key) -> (uploads, state)`; `uploads` are what the malicious clients would send
      if they behaved (unused places only, when they have no data). None for an attack that only poisons data.
    init: `(key, context) -> state`, run once before training.
    profiles: `(rng, context) -> one item list per malicious client`: the data that malicious clients train on.
      None if they have none, or their own.
    samples: `(state, samples, view, malicious, key) -> samples`: what malicious clients, bool `[C]`, train on in a
      round instead of their data; samples of others must be left alone. None if it is their data.
    pool: malicious clients whose honest uploads the attack is shown in each round with an attacker (`view.pool`).
    colludes: whether what one malicious client uploads depends on the others: on a common state, on what they would
      upload, on how many they are.
    images: `(state, view, key) -> (images, state)`: the images that the targets' provider uploads before an epoch
      `[T, H, W, 3]` on 0..255, uint8 or float32. None if images are left alone.
    tells: `(state, view) -> numbers by name`: what the attack tells of a round in which it took part, for the
      researcher and for nobody in the run; `state` is the one after `poison`. Scalars, under the same names in every
      round. None if it tells nothing.
    requires: what the attack must be granted, any of `"popularity"`, `"interactions"`, `"public_interactions"`,
      `"benign_uploads"`, `"image_defense"`, which the images are then made against, and `"own_data"`: malicious
      clients hold data like others do, their own if they were users, else random items. The simulator grants no more
      than is named here.
  """

  poison: Callable[[State, ClientUpdates, AttackView, Array], tuple[ClientUpdates, State]] | None = None
  init: Callable[[Array, AttackContext], State] = no_state
  profiles: Callable[[np.random.Generator, AttackContext], list[np.ndarray]] | None = None
  requires: frozenset[str] = frozenset()
  samples: Callable[[State, Samples, AttackView, Array, Array], Samples] | None = None
  pool: int = 0
  colludes: bool = False
  images: Callable[[State, ImageView, Array], tuple[Array, State]] | None = None
  tells: Callable[[State, AttackView], dict[str, Array]] | None = None
