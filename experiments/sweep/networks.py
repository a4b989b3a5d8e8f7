"""Networks that a command has trained, kept in its folder so that other shards and later calls need not train them."""

from __future__ import annotations

import hashlib
import json
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import jax

from experiments.atomic_files import new_file, new_folder
from fedrecjax.datasets import ItemImages
from fedrecjax.version import __version__
from fedrecjax.vision import DdpmState, UNetConfig, init_ddpm, linear_schedule, train_ddpm
from fedrecjax.vision.extractors import FeatureExtractor, load_small_cnn, save_small_cnn, train_small_cnn

Say = Callable[[str], None]
_MODEL = "model"


def network_file(folder: pathlib.Path, kind: str, images: ItemImages, settings: Mapping[str, Any]) -> pathlib.Path:
  """Where a network is kept that is trained on these images in this way.

  Args:
    folder: of the command's networks.
    kind: of network.
    images: that it is trained on.
    settings: of the training, of types that JSON has.
  """
  digest = hashlib.sha256(json.dumps([__version__, *sorted(settings.items())]).encode())
  digest.update(str(images.pixels.shape).encode())
  digest.update(images.pixels.tobytes())
  digest.update(images.has_image.tobytes())
  return folder / f"{kind}-{digest.hexdigest()[:16]}"


def small_network(
  images: ItemImages, *, seed: int, steps: int, batch: int, size: int, folder: pathlib.Path | None, say: Say
) -> FeatureExtractor:
  """The small extractor, trained on images or read from the folder of networks.

  Args:
    images: that it is trained on.
    seed: of its training.
    steps: of its training.
    batch: images in a step.
    size: side in pixels to which it brings images.
    folder: of networks that are kept; None keeps none.
    say: is told what takes long.

  Raises:
    DataError: if the kept one is damaged.
  """
  settings = {"seed": seed, "steps": steps, "batch": batch, "size": size}
  file = None if folder is None else network_file(folder, "extractor", images, settings).with_suffix(".npz")
  if file is not None and file.exists():
    say(f"the extractor is that of {file}")
    return load_small_cnn(file)
  say(f"training the extractor on {images.num_images} images, {steps} steps")
  extractor = train_small_cnn(images, seed=seed, steps=steps, batch=batch, size=size).extractor
  if file is not None:
    with new_file(file) as temporary:
      save_small_cnn(extractor, temporary)
  return extractor


def diffusion_network(
  images: ItemImages, config: UNetConfig, *, seed: int, steps: int, batch: int, folder: pathlib.Path | None, say: Say
) -> DdpmState:
  """A diffusion model, trained on images or read from the folder of networks.

  Args:
    images: that it is trained on.
    config: structure of the network.
    seed: of its training.
    steps: of its training.
    batch: images in a step.
    folder: of networks that are kept; None keeps none.
    say: is told what takes long.

  Raises:
    DataError: if the kept one is damaged.
  """
  from fedrecjax.vision.ddpm_checkpoint import restore_ddpm, save_ddpm  # takes seconds to load

  place = None
  if folder is not None:
    settings = {
      "seed": seed, "steps": steps, "batch": batch, "width": config.width, "levels": list(config.channel_mult),
    }
    place = network_file(folder, "diffusion", images, settings)
  if place is not None and place.is_dir():
    say(f"the diffusion model is that of {place / _MODEL}")
    return restore_ddpm(place / _MODEL, config)
  say(f"training the diffusion model on {images.num_images} images, {steps} steps")
  state, _ = train_ddpm(
    init_ddpm(config, jax.random.key(seed)), images.pixels, images.has_image, linear_schedule(),
    config=config, num_steps=steps, batch_size=batch,
  )
  if place is not None:
    with new_folder(place) as temporary:
      save_ddpm(temporary / _MODEL, state, config)
  return state
