"""Images, extractor and diffusion model of a sweep's cells, each prepared once."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Sequence

import jax

from experiments.grid import Cell
from fedrecjax.config import ConfigError, DataConfig, ImagesConfig
from fedrecjax.datasets import DataError, Dataset, ItemImages, item_images
from fedrecjax.vision import (
  PUBLISHED_256,
  Denoiser,
  UNetConfig,
  denoiser_of,
  init_ddpm,
  linear_schedule,
  load_guided_diffusion,
  train_ddpm,
)
from fedrecjax.vision.extractors import (
  FeatureExtractor,
  efficientnet_lite0,
  load_small_cnn,
  standardized,
  train_small_cnn,
  vgg16,
)
from fedrecjax.vision.visuals import Visuals

VisualsKey = tuple[str, DataConfig, ImagesConfig]
Say = Callable[[str], None]

EXTRACTOR_BATCH = 128


def visuals_key(cell: Cell) -> VisualsKey:
  """What the visuals of a cell depend on."""
  return cell.config.dataset, cell.config.data, cell.config.images


def load_visuals(
  cells: Sequence[Cell],
  datasets: dict[tuple[str, DataConfig], Dataset],
  data_dir: pathlib.Path | None,
  say: Say = lambda _: None,
) -> dict[VisualsKey, Visuals]:
  """The images of these cells and the networks that see them, each prepared once; cells without images have none.

  Args:
    cells: of the sweep.
    datasets: by name and options.
    data_dir: folder of posters and emoji.
    say: is told what takes long.

  Raises:
    ConfigError: if images or networks do not fit.
    DataError: if a file cannot be read.
  """
  needs: dict[VisualsKey, bool] = {}
  for cell in cells:
    if cell.config.images.source != "none":
      key = visuals_key(cell)
      purifies = any("denoiser" in part.build().requires for part in cell.config.defense)
      needs[key] = needs.get(key, False) or purifies
  return {
    key: prepare_visuals(key[2], datasets[key[:2]], data_dir=data_dir, need_denoiser=purifies, say=say)
    for key, purifies in needs.items()
  }


def prepare_visuals(
  config: ImagesConfig,
  dataset: Dataset,
  *,
  data_dir: pathlib.Path | None,
  need_denoiser: bool,
  say: Say = lambda _: None,
) -> Visuals:
  """Images of a data set, their extractor and, if needed, a diffusion model.

  Args:
    config: which ones; its source is not "none".
    dataset: whose items the images are of.
    data_dir: folder of posters and emoji.
    need_denoiser: whether a diffusion model is needed.
    say: is told what takes long.

  Raises:
    ConfigError: if images or networks do not fit.
    DataError: if a file cannot be read.
  """
  images = item_images(
    config.source, dataset_name=dataset.name, num_items=dataset.num_items, size=config.size, seed=config.seed,
    data_dir=data_dir,
  )
  try:
    extractor = standardized(_extractor(config, images, say), images)
    denoiser = _denoiser(config, images, say) if need_denoiser else None
  except (ConfigError, DataError):
    raise
  except ValueError as error:
    raise ConfigError(f"images: {error}") from error
  return Visuals(images, extractor, denoiser)


def _extractor(config: ImagesConfig, images: ItemImages, say: Say) -> FeatureExtractor:
  weights = None if config.extractor_weights is None else pathlib.Path(config.extractor_weights)
  if config.extractor == "efficientnet_lite0":
    return efficientnet_lite0(weights)
  if config.extractor == "vgg16":
    assert weights is not None
    return vgg16(weights)
  if weights is not None:
    return load_small_cnn(weights)
  say(f"training the extractor on {images.num_images} images, {config.extractor_steps} steps")
  batch = min(EXTRACTOR_BATCH, images.num_images)
  return train_small_cnn(
    images, seed=config.seed, steps=config.extractor_steps, batch=batch, size=config.size
  ).extractor


def _denoiser(config: ImagesConfig, images: ItemImages, say: Say) -> Denoiser:
  levels = config.diffusion_levels
  structure = UNetConfig(
    width=config.diffusion_width, channel_mult=levels, attention_levels=(len(levels) - 1,) if len(levels) > 1 else ()
  )
  if config.diffusion.endswith(".pt"):
    if config.size != 256:
      raise ConfigError(f"images.size must be 256 for the published diffusion model, got {config.size}")
    checkpoint = load_guided_diffusion(config.diffusion, PUBLISHED_256)
    if checkpoint.config.num_classes is not None:
      raise ConfigError("images.diffusion must be an unconditional model, this one is told an image's class; the"
                        " published one is 256x256_diffusion_uncond.pt")
    return denoiser_of(checkpoint.config, checkpoint.params)
  if config.diffusion != "trained":
    from fedrecjax.vision.ddpm_checkpoint import restore_ddpm  # orbax is an extra

    return denoiser_of(structure, restore_ddpm(config.diffusion, structure).average)
  say(f"training the diffusion model on {images.num_images} images, {config.diffusion_steps} steps")
  state, _ = train_ddpm(
    init_ddpm(structure, jax.random.key(config.seed)), images.pixels, images.has_image, linear_schedule(),
    config=structure, num_steps=config.diffusion_steps, batch_size=config.diffusion_batch,
  )
  return denoiser_of(structure, state.average)
