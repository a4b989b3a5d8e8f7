"""PSMU(V) and PSMU++ (Yuan et al., 2023), Eq. 13 to 17, for synthetic users whose items are already drawn.

Gradients are central differences; of an image, by those of its features and the extractor's own derivative.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from tests.oracles import perturbation, psmu, visual_models
from tests.oracles.adam import Adam
from tests.oracles.logistic import sigmoid


class Recommender(NamedTuple):
  """The public parameters and what the server has of the images.

  Attributes:
    name: "vncf" or "lightvgcn".
    table: item embeddings V [M, d].
    features: Phi of every item's image [M, F].
    projection: E [F, d].
    layers: Theta, (weights, bias) of each layer, inputs by outputs.
  """

  name: str
  table: np.ndarray
  features: np.ndarray
  projection: np.ndarray
  layers: Sequence[tuple[np.ndarray, np.ndarray]]


class User(NamedTuple):
  """A synthetic user: its items, and its own vector [d]."""

  items: Sequence[int]
  own: np.ndarray


def trained_user(
  known: Recommender, own: np.ndarray, items: Sequence[int], negatives: np.ndarray, *, steps: int, rate: float,
  optimizer: str,
) -> User:
  """Eq. 13 by so many steps on the mean of Eq. 1: only the user's own vector moves."""
  own, adam = own.copy(), Adam(own.shape)

  def loss() -> float:
    return visual_models.client_loss(
      known.name, known.layers, known.projection, own, known.table, known.features, items, negatives, mean=True
    )

  for _ in range(steps):
    slope = visual_models.slopes(loss, [own])[0]
    own -= rate * (adam.direction(slope) if optimizer == "adam" else slope)
  return User(items, own)


def final_vector(known: Recommender, user: User) -> np.ndarray:
  """The vector that items are scored with: in LightVGCN it comes from the graph of the user's items (Eq. 5, 6)."""
  held = np.array(user.items)
  if known.name == "vncf":
    return user.own
  return visual_models.lightvgcn_vectors(user.own, known.table[held], known.features[held] @ known.projection)[0]


def logit(known: Recommender, final: np.ndarray, row: np.ndarray, feature: np.ndarray) -> float:
  """Eq. 4 without its sigmoid, of an item that the user does not hold."""
  return visual_models.vncf_logit(known.layers, final, row, feature @ known.projection)


def above(
  known: Recommender, user: User, targets: Sequence[int], *, top_k: int, alternatives: int
) -> list[list[int]]:
  """For each target the items it is to be lifted above: those on the user's list, then those most like it.

  Likeness is of embeddings; the second paper has no such items.
  """
  final = final_vector(known, user)
  logits = np.array([logit(known, final, *pair) for pair in zip(known.table, known.features, strict=True)])
  listed = psmu.recommended(logits, user.items, top_k)
  return [
    sorted(set(listed + psmu.similar(known.table, target, targets, user.items, alternatives)) - set(targets))
    for target in targets
  ]


def behind(
  known: Recommender, user: User, row: np.ndarray, feature: np.ndarray, others: Sequence[int], *, margin_on: str
) -> float:
  """Eq. 14 for one user and one target of the given embedding and feature."""
  final = final_vector(known, user)

  def preference(row: np.ndarray, feature: np.ndarray) -> float:
    score = logit(known, final, row, feature)
    return sigmoid(score) if margin_on == "prob" else score

  of_target = preference(row, feature)
  return sum(sigmoid(preference(known.table[item], known.features[item]) - of_target) for item in others)


def image_slope(
  known: Recommender,
  users: Sequence[User],
  target: int,
  others: Sequence[Sequence[int]],
  extract: Callable[[np.ndarray], np.ndarray],
  pulled_back: Callable[[np.ndarray, np.ndarray], np.ndarray],
  *,
  margin_on: str,
) -> perturbation.Slope:
  """Eq. 14 over all users as a function of the target's image, and its gradient.

  Args:
    known: the recommender.
    users: synthetic users.
    target: an item.
    others: for each user the items that the target is to be lifted above.
    extract: Phi.
    pulled_back: (image, derivatives by its features) -> derivatives by its pixel values.
    margin_on: whether r is a probability.
  """

  def slope(image: np.ndarray) -> tuple[float, np.ndarray]:
    feature = extract(image)

    def loss() -> float:
      return sum(
        behind(known, user, known.table[target], feature, of_user, margin_on=margin_on)
        for user, of_user in zip(users, others, strict=True)
      )

    return loss(), pulled_back(image, visual_models.slopes(loss, [feature])[0])

  return slope


class Gradients(NamedTuple):
  """What one client uploads: of the targets' embeddings [T, d], of E, and of each layer."""

  rows: np.ndarray
  projection: np.ndarray
  layers: list[tuple[np.ndarray, np.ndarray]]


def poisoned_gradients(
  known: Recommender, user: User, targets: Sequence[int], others: Sequence[Sequence[int]], *, margin_on: str
) -> Gradients:
  """Eq. 15 and 16 for one user.

  Args:
    known: the recommender.
    user: a synthetic user, whose own vector is fixed.
    targets: items.
    others: for each target the items it is to be lifted above.
    margin_on: whether r is a probability.
  """
  known = known._replace(
    table=known.table.copy(), projection=known.projection.copy(),
    layers=[(weights.copy(), bias.copy()) for weights, bias in known.layers],
  )
  rows = [known.table[target] for target in targets]  # views, so that a change reaches the loss

  def loss() -> float:
    return sum(
      behind(known, user, row, known.features[target], of_target, margin_on=margin_on)
      for target, row, of_target in zip(targets, rows, others, strict=True)
    )

  flat = [array for layer in known.layers for array in layer]
  of_projection, *found = visual_models.slopes(loss, [known.projection, *rows, *flat])
  of_flat = found[len(rows) :]
  layers = list(zip(of_flat[0::2], of_flat[1::2], strict=True))
  return Gradients(np.array(found[: len(rows)]), of_projection, layers)
