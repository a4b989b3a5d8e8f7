"""The targets' images at the end of a run under an attack by images: kept with its results, drawn after a sweep."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from experiments.atomic_files import new_file
from experiments.grid import Cell, shown
from experiments.results.paths import cell_dir
from experiments.results.plots import PlotError
from experiments.results.report import group_by_seed, label_fields
from fedrecjax.datasets.names import names_at
from fedrecjax.simulation.results import Result
from fedrecjax.vision import Visuals
from fedrecjax.vision.pictures import comparison, write_png

FILE = "images.npz"
MOST_ROWS = 16
_SHOWN_CHANGE = 64  # grey values by which the largest change is told from mid-grey
_SHOWN_SIDE = 96


class UploadedImages(NamedTuple):
  """The targets' images after the last epoch.

  Attributes:
    item: names of the targets, whole numbers or texts `[T]`.
    original: uint8 `[T, H, W, 3]`.
    uploaded: what the provider uploaded last.
    kept: what the server has.
  """

  item: np.ndarray
  original: np.ndarray
  uploaded: np.ndarray
  kept: np.ndarray


def uploaded_images(result: Result, visuals: Visuals | None) -> UploadedImages | None:
  """Those of a run, rounded to whole numbers; None without an attack by images."""
  if result.pictures is None:
    return None
  assert visuals is not None
  uploaded, kept = (np.clip(np.round(np.asarray(images)), 0, 255).astype(np.uint8) for images in result.pictures)
  names = names_at(result.item_names, result.targets)
  # Arrays of objects are no part of an archive that anybody may open.
  named = names.astype(str) if names.dtype == object else names
  return UploadedImages(named, visuals.images.pixels[result.targets], uploaded, kept)


def read_images(out_dir: pathlib.Path, cell: Cell) -> UploadedImages | None:
  """Those of a finished cell; None if it has none."""
  file = cell_dir(out_dir, cell) / FILE
  if not file.is_file():
    return None
  with np.load(file) as arrays:
    return UploadedImages(**{name: arrays[name] for name in UploadedImages._fields})


def draw_images(cells: Sequence[Cell], out_dir: pathlib.Path, file: pathlib.Path) -> int | None:
  """Draws the first target of each configuration: original, uploaded, kept by the server, and the change.

  Args:
    cells: finished cells; of several seeds the first is shown.
    out_dir: folder of their results.
    file: the PNG to write.

  Returns:
    How many configurations did not fit into the picture; None if no cell has images, so that nothing is drawn.

  Raises:
    PlotError: if Pillow is missing, or the images differ in size.
  """
  fields = label_fields(cells)
  found = [(group.flat, read_images(out_dir, group.cells[0])) for group in group_by_seed(cells)]
  rows = [(", ".join(shown(flat[name]) for name in fields if name in flat), images)
          for flat, images in found if images is not None]
  if not rows:
    return None
  drawn = rows[:MOST_ROWS]
  first = [UploadedImages(*(array[:1] for array in images)) for _, images in drawn]
  if len({images.original.shape for images in first}) > 1:
    raise PlotError("no pictures drawn: images of different sizes; a sweep over one size has them")
  original, uploaded, kept = (np.concatenate([images[part] for images in first]) for part in (1, 2, 3))
  change = int(np.abs(uploaded.astype(int) - original).max())
  try:
    picture = comparison(
      original, uploaded, {"kept by the server": kept}, amplification=max(1, _SHOWN_CHANGE // max(change, 1)),
      zoom=max(1, _SHOWN_SIDE // original.shape[1]),
      rows=[f"{label}, item {images.item[0]}" for (label, _), images in zip(drawn, first, strict=True)],
    )
    with new_file(file) as temporary:
      write_png(picture, temporary)
  except ImportError as error:
    raise PlotError("no pictures drawn: pillow is missing, pip install fedrecjax[images] brings it") from error
  return len(rows) - len(drawn)
