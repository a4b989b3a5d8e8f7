"""Adversarial images from a run under an attack, and how far each of them got."""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from experiments.errors import UsageError
from experiments.image_report.flags import LIST_LENGTH
from fedrecjax.config import RunConfig
from fedrecjax.datasets import Dataset
from fedrecjax.methods.hyperparameters import as_arguments
from fedrecjax.metrics.ranking import hit, standing
from fedrecjax.simulation.evaluation import EvaluationData, evaluation_data, masked_pairs, user_vectors
from fedrecjax.simulation.evaluation_points import received
from fedrecjax.simulation.results import DivergedError, Result
from fedrecjax.simulation.runner import simulate_config
from fedrecjax.simulation.visual_features import model_with_features
from fedrecjax.types import Model, Public
from fedrecjax.vision.visuals import Visuals


class Exposure(NamedTuple):
  """Share of the users, those who have the target in their training data left out, with it on their list; `[T]`.

  Attributes:
    together: among all items, so that targets take each other's places.
    alone: with the other targets left out, as if it were the only one.
  """

  together: np.ndarray
  alone: np.ndarray


class Attacked(NamedTuple):
  """A run under an attack by images.

  Attributes:
    result: of the run.
    pixels: the images that were uploaded last, uint8 `[T, H, W, 3]`.
    exposure: of each target after the run.
  """

  result: Result
  pixels: np.ndarray
  exposure: Exposure


def attack_images(config: RunConfig, dataset: Dataset, visuals: Visuals) -> Attacked:
  """Trains under the attack of a configuration.

  Args:
    config: without a defence; the attack starts before the run ends.
    dataset: of the configuration.
    visuals: images and extractor.

  Raises:
    ConfigError: if a number does not fit the data set.
    UsageError: if training diverges.
  """
  try:
    result = simulate_config(config, dataset, visuals=visuals)
  except DivergedError as error:
    raise UsageError(str(error)) from error
  assert result.pictures is not None
  # The attacks round what they upload, so that nothing is lost.
  pixels = np.asarray(jnp.round(result.pictures.uploaded)).astype(np.uint8)
  model, _ = model_with_features(config.model.build(), dataset, visuals, None)
  data = evaluation_data(dataset, config.eval, result.targets, result.users, width=model.width)
  exposure = target_exposure(
    model, received(result.state), result.state.private, data, length=LIST_LENGTH, num_users=len(result.users)
  )
  return Attacked(result, pixels, exposure)


def target_exposure(
  model: Model, public: Public, private: jax.Array, data: EvaluationData, *, length: int, num_users: int
) -> Exposure:
  """ER@K of each target, over all benign users.

  Args:
    model: scores items.
    public: the server's parameters, with the features of all items.
    private: all clients' own vectors, benign users first `[clients, d]`.
    data: of an evaluation among all items.
    length: K.
    num_users: benign users N.

  Returns:
    Shares; NaN for a target that all users have.

  References:
    Yuan et al., 2023, Eq. 7, a target at a time.
  """
  counted = _count_users(as_arguments(model), public, private, data, length=length, num_users=num_users)
  together, alone, users = (np.asarray(one, np.float64) for one in counted)
  with np.errstate(invalid="ignore"):
    return Exposure(together / users, alone / users)


@functools.partial(jax.jit, static_argnames=("length", "num_users"))
def _count_users(
  model: Model, public: Public, private: jax.Array, data: EvaluationData, *, length: int, num_users: int
) -> tuple[jax.Array, ...]:
  """Users with each target on their list, together and alone, and users who can have it there; `[T]` each."""

  def of_user(scores: jax.Array, user: jax.Array) -> tuple[jax.Array, ...]:
    own = scores[data.targets]
    others = scores.at[data.targets].set(-jnp.inf)
    eligible = (own > -jnp.inf) & (user < num_users)

    def of_target(target: jax.Array, score: jax.Array) -> tuple[jax.Array, jax.Array]:
      alone = standing(others.at[target].set(score), score)
      return hit(standing(scores, score), length), hit(alone, length)

    together, alone = jax.vmap(of_target)(data.targets, own)
    return jnp.where(eligible, together, 0.0), jnp.where(eligible, alone, 0.0), eligible

  def of_chunk(chunk: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
    user, start, count = chunk
    masked_user, masked_item, trained = masked_pairs(data.masked, start, count, user.shape[0])
    own = private.at[user].get(mode="clip")
    own = user_vectors(model, public, own, masked_user, masked_item, trained, None)
    scores = jax.vmap(model.score, in_axes=(None, 0, None))(public, own, None)
    scores = scores.at[masked_user, masked_item].set(-jnp.inf, mode="drop")
    # A user at a time: together their targets' rankings would take users x targets x items numbers.
    counted = lax.map(lambda one: of_user(*one), (scores, user))
    return tuple(jnp.sum(one, axis=0) for one in counted)

  chunks = (data.user, data.masked.start, data.masked.length)
  return tuple(jnp.sum(one, axis=0) for one in lax.map(of_chunk, chunks))
