"""Images, extractor and diffusion model of a sweep's cells, each prepared once."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

from experiments.grid import Cell
from experiments.sweep.networks import Say, diffusion_network, small_network
from fedrecjax.config import ConfigError, DataConfig, ImagesConfig
from fedrecjax.datasets import DataError, Dataset, ItemImages, item_images
from fedrecjax.vision import (
  PUBLISHED_256,
  Denoiser,
  UNetConfig,
  denoiser_of,
  load_guided_diffusion,
)
from fedrecjax.vision.extractors import (
  FeatureExtractor,
  efficientnet_lite0,
  load_small_cnn,
  standardized,
  vgg16,
)
from fedrecjax.vision.visuals import Visuals

VisualsKey = tuple[str, DataConfig, ImagesConfig]

EXTRACTOR_BATCH = 128


def visuals_key(cell: Cell) -> VisualsKey:
  """What the visuals of a cell depend on."""
  return cell.config.dataset, cell.config.data, cell.config.images


def load_visuals(
  cells: Sequence[Cell],
  datasets: dict[tuple[str, DataConfig], Dataset],
  data_dir: pathlib.Path | None,
  say: Say = lambda _: None,
  networks: pathlib.Path | None = None,
) -> dict[VisualsKey, Visuals]:
  """The images of these cells and the networks that see them, each prepared once; cells without images have none.

  Args:
    cells: of the sweep.
    datasets: by name and options.
    data_dir: folder of posters and emoji.
    say: is told what takes long.
    networks: folder in which trained networks are kept; None keeps none.

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
    key: prepare_visuals(key[2], datasets[key[:2]], data_dir=data_dir, need_denoiser=purifies, say=say,
                         networks=networks)
    for key, purifies in needs.items()
  }


def prepare_visuals(
  config: ImagesConfig,
  dataset: Dataset,
  *,
  data_dir: pathlib.Path | None,
  need_denoiser: bool,
  say: Say = lambda _: None,
  networks: pathlib.Path | None = None,
) -> Visuals:
  """Images of a data set, their extractor and, if needed, a diffusion model.

  Args:
    config: which ones; its source is not "none".
    dataset: whose items the images are of.
    data_dir: folder of posters and emoji.
    need_denoiser: whether a diffusion model is needed.
    say: is told what takes long.
    networks: folder in which trained networks are kept; None keeps none.

  Raises:
    ConfigError: if images or networks do not fit.
    DataError: if a file cannot be read.
  """
  images = item_images(
    config.source, dataset_name=dataset.name, num_items=dataset.num_items, size=config.size, seed=config.seed,
    data_dir=data_dir, item_names=dataset.item_names,
  )
  try:
    extractor = standardized(_extractor(config, images, say, networks), images)
    denoiser = _denoiser(config, images, say, networks) if need_denoiser else None
  except (ConfigError, DataError):
    raise
  except ValueError as error:
    raise ConfigError(f"images: {error}") from error
  return Visuals(images, extractor, denoiser)


def _extractor(
  config: ImagesConfig, images: ItemImages, say: Say, networks: pathlib.Path | None
) -> FeatureExtractor:
  weights = None if config.extractor_weights is None else pathlib.Path(config.extractor_weights)
  if config.extractor == "efficientnet_lite0":
    return efficientnet_lite0(weights)
  if config.extractor == "vgg16":
    assert weights is not None
    return vgg16(weights)
  if weights is not None:
    return load_small_cnn(weights)
  return small_network(
    images, seed=config.seed, steps=config.extractor_steps, batch=min(EXTRACTOR_BATCH, images.num_images),
    size=config.size, folder=networks, say=say,
  )


def _denoiser(config: ImagesConfig, images: ItemImages, say: Say, networks: pathlib.Path | None) -> Denoiser:
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
    from fedrecjax.vision.ddpm_checkpoint import restore_ddpm  # takes seconds to load

    return denoiser_of(structure, restore_ddpm(config.diffusion, structure).average)
  state = diffusion_network(
    images, structure, seed=config.seed, steps=config.diffusion_steps, batch=config.diffusion_batch, folder=networks,
    say=say,
  )
  return denoiser_of(structure, state.average)
