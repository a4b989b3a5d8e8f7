"""Images of a few pixels, an extractor with a derivative by hand, a diffusion model of one line, and runs with them."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from fedrecjax import models
from fedrecjax.clients.losses import bce
from fedrecjax.config import EvalConfig
from fedrecjax.datasets import Dataset
from fedrecjax.datasets.image_set import ItemImages
from fedrecjax.methods.hyperparameters import as_arguments
from fedrecjax.simulation.image_step import COLUMNS, ImageState, upload_images
from fedrecjax.simulation.planning import Run
from fedrecjax.types import Attack, ImageView, Public, SimulationState
from fedrecjax.vision.extractors import FeatureExtractor
from fedrecjax.vision.visuals import Visuals
from tests.models.clients import network_of
from tests.oracles import psmu_images
from tests.support.lockstep import make_run

SHAPE, F = (4, 4, 3), 4
WEIGHTS = 0.25 * np.random.default_rng(11).normal(size=(int(np.prod(SHAPE)), F))
EXTRACTOR_WEIGHTS = jnp.asarray(WEIGHTS, jnp.float32)
BARE = (4, 7)
"""Items without an image, where there are any."""


def squashed(parameters: jax.Array, images: jax.Array) -> jax.Array:
  """The function of the extractor: tanh of a linear map of the pixel values."""
  return jnp.tanh((images / 127.5 - 1).reshape(images.shape[0], -1) @ parameters)


def extract(images: jax.Array) -> jax.Array:
  """The extractor as attacks and defences see it."""
  return squashed(EXTRACTOR_WEIGHTS, images)


def plain_extract(image: np.ndarray) -> np.ndarray:
  """Features of one image, in NumPy."""
  return np.tanh((image / 127.5 - 1).ravel() @ WEIGHTS)


def plain_pull_back(image: np.ndarray, slope: np.ndarray) -> np.ndarray:
  """Derivatives by an image's pixel values, from those by its features: the derivative of tanh is 1 - tanh^2."""
  return (WEIGHTS @ (slope * (1 - plain_extract(image) ** 2)) / 127.5).reshape(image.shape)


def random_images(count: int, seed: int = 0) -> np.ndarray:
  """uint8 `[count, 4, 4, 3]`, black and full values among them."""
  pixels = np.random.default_rng(seed).integers(0, 256, (count, *SHAPE)).astype(np.uint8)
  pixels[:, 0, 0], pixels[:, 0, 1] = 0, 255
  return pixels


def item_images(num_items: int, *, bare: tuple[int, ...] = BARE, seed: int = 0) -> ItemImages:
  """An image for every item but `bare`."""
  pixels, has_image = random_images(num_items, seed), ~np.isin(np.arange(num_items), bare)
  pixels[~has_image] = 0
  return ItemImages(pixels, has_image, "small images")


def toy_denoiser(parameters: tuple[jax.Array, jax.Array], images: jax.Array, timesteps: jax.Array) -> jax.Array:
  """A linear map of each pixel to its noise, and the coefficient of the variance."""
  mixing, gain = parameters
  shift = 0.1 * jnp.sin(timesteps.astype(jnp.float32) / 50.0)[:, None, None, None]
  return jnp.concatenate([images @ mixing + shift, jnp.tanh(images @ gain)], axis=-1)


DENOISER = Partial(
  toy_denoiser,
  (
    jnp.array([[0.4, -0.1, 0.1], [0.1, 0.3, -0.2], [-0.1, 0.2, 0.3]]),
    jnp.array([[0.5, 0.1, 0.0], [-0.3, 0.2, 0.4], [0.0, -0.5, 0.3]]),
  ),
)


def visuals_of(
  num_items: int, *, bare: tuple[int, ...] = BARE, seed: int = 0, denoiser: Partial | None = DENOISER
) -> Visuals:
  """Images, the extractor and the diffusion model."""
  extractor = FeatureExtractor(EXTRACTOR_WEIGHTS, squashed, F, "squashed")
  return Visuals(item_images(num_items, bare=bare, seed=seed), extractor, denoiser)


def small_vncf() -> Any:
  """A model that sees images, with vectors large enough for every term to count."""
  return models.vncf(dim=3, hidden=(5,), init_std=0.5)


def seeing_run(dataset: Dataset, *, visuals: Visuals | None = None, model: Any = None, **others: Any) -> Run:
  """A planned run with images; other arguments as for `make_run`."""
  return make_run(
    dataset, model=model or small_vncf(), evaluation=EvalConfig(ks=(5,)),
    visuals=visuals or visuals_of(dataset.num_items), **others,
  )


def uploaded(
  run: Run, state: SimulationState, images: ImageState | None = None, epoch: int = 0
) -> tuple[SimulationState, ImageState, dict[str, np.ndarray]]:
  """The image step before an epoch: state, images, and its report by column."""
  assert run.images is not None
  state, images, report = upload_images(
    run.images.structure, run.images.constants, run.constants.parts, state, images or run.images.state,
    jnp.int32(epoch),
  )
  return state, images, dict(zip(COLUMNS, np.asarray(report).T, strict=True))


@functools.partial(jax.jit, static_argnames=("purify",))
def _upload(images: Any, state: Any, view: dict[str, Any], key: jax.Array, purify: Any) -> Any:
  return images(state, ImageView(extract=extract, purify=purify, **view), key)


def provided(
  attack: Attack,
  state: Any,
  model: Any,
  public: Public,
  features: np.ndarray,
  targets: list[int],
  clean: np.ndarray,
  *,
  current: np.ndarray | None = None,
  users: int = 2,
  key: jax.Array,
  purify: Any = None,
) -> Any:
  """One call of an attack by a provider's view made by hand; `purify` is compared by identity."""
  view = {
    "public": public,
    "features": jnp.asarray(features, jnp.float32),
    "epoch": jnp.int32(0),
    "targets": jnp.array(targets, jnp.int32),
    "clean": jnp.asarray(clean),
    "current": jnp.asarray(clean if current is None else current, jnp.float32),
    "users": jnp.arange(users, dtype=jnp.int32),
    "model": as_arguments(model),
    "loss": as_arguments(bce()),
  }
  return _upload(attack.images, state, view, key, purify)


def recommender_of(name: str, public: Public, features: np.ndarray) -> psmu_images.Recommender:
  """The same public parameters as the oracle has them."""
  network = network_of(public.shared.tower)
  layers = [*network.hidden, (network.output[:, None], np.array([network.bias]))]
  return psmu_images.Recommender(
    name, np.asarray(public.items, float), np.asarray(features, float), np.asarray(public.shared.projection, float),
    layers,
  )
