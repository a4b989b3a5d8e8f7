"""The step in which items' providers upload images: an attack changes its targets', a defence changes them all.

It takes place before the first round of an epoch, outside the program of the rounds: what it changes for them are
features of the targets.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from fedrecjax.simulation.contracts import checked
from fedrecjax.simulation.records import Parts
from fedrecjax.types import Array, ImageDefenseView, ImageView, SimulationState
from fedrecjax.vision.image_detection import similarity
from fedrecjax.vision.perturbation import BRIGHTEST
from fedrecjax.vision.visuals import Visuals

IMPOSSIBLE = "impossible"
COLUMNS = ("largest_change", "mean_change", "similarity", "flagged", "refused", IMPOSSIBLE)


class ImageFunctions(NamedTuple):
  """Functions of the methods, as arguments.

  Attributes:
    upload: `Attack.images`.
    keep: `Defense.images`, or None.
  """

  upload: Any
  keep: Any


class ImageConstants(NamedTuple):
  """What does not change during a run, as arguments of the compiled step.

  Attributes:
    functions: of the methods.
    targets: int32 `[T]`.
    clean: the targets' own images, uint8 `[T, H, W, 3]`.
    threshold: images less similar than that are flagged, float32 scalar.
    extractor: parameters of the extractor.
    denoiser: of the visuals, or None.
    key: of all draws of the step.
  """

  functions: ImageFunctions
  targets: Array
  clean: Array
  threshold: Array
  extractor: Any
  denoiser: Any
  key: Array


class ImageState(NamedTuple):
  """The targets' images between two steps, float32 `[T, H, W, 3]` on 0..255.

  Attributes:
    uploaded: what the provider uploaded last.
    kept: what the server has.
  """

  uploaded: Array
  kept: Array


class ImageStructure(NamedTuple):
  """Everything static.

  Attributes:
    extract: the function of the extractor.
    users: number of users that a provider may invent.
    refuses: whether the server refuses images that it takes for adversarial.
    adaptive: whether the attack has been granted the server's defence.
  """

  extract: Any
  users: int
  refuses: bool
  adaptive: bool


class ImageRun(NamedTuple):
  """The image steps of a run.

  Attributes:
    structure: static.
    constants: what does not change.
    state: before the first step.
    start: first epoch with a step.
    stop: first epoch without one.
  """

  structure: ImageStructure
  constants: ImageConstants
  state: ImageState
  start: int
  stop: int


def plan_images(
  visuals: Visuals,
  functions: ImageFunctions,
  *,
  threshold: Callable[[np.ndarray], float] | None,
  targets: np.ndarray,
  users: int,
  refuses: bool,
  adaptive: bool,
  epochs: tuple[int, int],
  key: Array,
) -> ImageRun:
  """The image steps of a run with an attack by images.

  Args:
    visuals: images, extractor and diffusion model.
    functions: of the methods, `upload` among them.
    threshold: `Defense.threshold`.
    targets: item ids `[T]`, each with an image.
    users: number of users that the provider may invent.
    refuses: see :class:`ImageStructure`, as what follows.
    adaptive: likewise.
    epochs: first epoch with a step, and the first without one.
    key: of all draws.

  Raises:
    ValueError: if the images before training give no threshold.
  """
  kept = visuals.kept(functions.keep)
  rho = -np.inf if threshold is None else threshold(kept.similarity)
  clean = jnp.asarray(visuals.images.pixels[targets])
  constants = ImageConstants(
    functions, jnp.asarray(targets, jnp.int32), clean, jnp.float32(rho), visuals.extractor.parameters,
    visuals.denoiser, key,
  )
  state = ImageState(clean.astype(jnp.float32), jnp.asarray(kept.pixels[targets], jnp.float32))
  structure = ImageStructure(visuals.extractor.apply, users, refuses, adaptive)
  return ImageRun(structure, constants, state, *epochs)


@functools.partial(jax.jit, static_argnames="structure")
def upload_images(
  structure: ImageStructure,
  run: ImageConstants,
  parts: Parts,
  state: SimulationState,
  images: ImageState,
  epoch: Array,
) -> tuple[SimulationState, ImageState, Array]:
  """One image step.

  Args:
    structure: static.
    run: what does not change.
    parts: functions of the model and its loss.
    state: before the epoch's first round.
    images: before the step.
    epoch: int32 scalar from 0.

  Returns:
    The state with the targets' new features, the targets' images, and `[T, columns]` of :data:`COLUMNS` for each
    target. A change is the one to its clean image, in units of 0..255; impossible are pixel values outside
    0..255, of what was uploaded and what was made of it.

  Raises:
    ContractError: if attack or defence hand back images of another shape.
  """
  upload, keep = checked("attack", "images", run.functions.upload), checked("defense", "images", run.functions.keep)
  for_attack, for_defense = jax.random.split(jax.random.fold_in(run.key, epoch))

  def extract(pixels: Array) -> Array:
    return jnp.asarray(structure.extract(run.extractor, pixels))

  def purify(pixels: Array, key: Array) -> Array:
    places = jnp.arange(pixels.shape[0], dtype=jnp.int32)
    return jnp.asarray(keep(pixels, places, ImageDefenseView(extract, run.denoiser), key))

  assert state.server.features is not None
  view = ImageView(
    public=state.server.public,
    features=state.server.features,
    epoch=epoch,
    targets=run.targets,
    clean=run.clean,
    current=images.uploaded,
    users=jnp.arange(structure.users, dtype=jnp.int32),
    extract=extract,
    model=parts.model,
    loss=parts.loss,
    purify=purify if structure.adaptive and keep is not None else None,
  )
  sent, attack_state = upload(state.attack, view, for_attack)
  sent = sent.astype(jnp.float32)
  kept, alike = sent, jnp.ones(sent.shape[0], jnp.float32)
  features = extract(sent)
  if keep is not None:
    kept = jnp.asarray(keep(sent, run.targets, ImageDefenseView(extract, run.denoiser), for_defense))
    before, features = features, extract(kept)
    alike = similarity(before, features)
  flagged = alike < run.threshold
  refused = flagged & structure.refuses
  kept = jnp.where(refused[:, None, None, None], images.kept, kept)
  features = jnp.where(refused[:, None], state.server.features[run.targets], features)
  change = jnp.abs(sent - run.clean)
  over = (1, 2, 3)
  possible = (sent >= 0) & (sent <= BRIGHTEST) & (kept >= 0) & (kept <= BRIGHTEST)
  impossible = jnp.sum(~possible, axis=over, dtype=jnp.int32)
  report = jnp.stack(
    [jnp.max(change, axis=over), jnp.mean(change, axis=over), alike, flagged, refused, impossible], axis=1
  )
  server = state.server._replace(features=state.server.features.at[run.targets].set(features))
  return state._replace(server=server, attack=attack_state), ImageState(sent, kept), report


def image_columns(reports: list[np.ndarray], epochs: list[int], targets: np.ndarray) -> dict[str, np.ndarray]:
  """Image steps by name, one entry for each target in each step.

  Args:
    reports: from :func:`upload_images`, `[T, columns]` for each step.
    epochs: of the steps, from 0.
    targets: item ids `[T]`.

  Returns:
    "epoch", "item" and :data:`COLUMNS`, `[steps * T]` each.
  """
  table = np.concatenate(reports)
  columns = {"epoch": np.repeat(epochs, len(targets)), "item": np.tile(targets, len(epochs))}
  return columns | {name: table[:, number] for number, name in enumerate(COLUMNS)}
