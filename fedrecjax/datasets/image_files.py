"""Readers of item images: a folder of files, and three kinds of NumPy archives."""

from __future__ import annotations

import pathlib
import zipfile
from collections.abc import Mapping

import numpy as np

from fedrecjax.datasets.errors import DataError
from fedrecjax.datasets.image_set import IntArray, ItemImages, PixelArray, described, placed
from fedrecjax.datasets.names import Names, examples, number_by_name, numbers_of
from fedrecjax.datasets.pillow import decoded, resized

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif")

Archive = Mapping[str, np.ndarray]


def read_image_folder(
  folder: pathlib.Path, *, num_items: int, size: int, item_names: Names | None = None
) -> ItemImages:
  """Reads files named by item, such as `17.png` or `17.jpg`.

  Names that start with a dot are passed over. Items without a file have no image. Where items have names, files of
  items that are not there are left out, and `origin` says how many.

  Args:
    folder: the folder, without further ones inside.
    num_items: number of items M.
    size: side in pixels to which images are scaled.
    item_names: what items are called `[M]`; None if 0 to M - 1.

  Returns:
    The images.

  Raises:
    DataError: naming the first file, in the order of names, whose name is no item's and a suffix of `SUFFIXES`, whose
      id is outside [0, num_items) or occurred before, or that cannot be read.
  """
  pixels: list[PixelArray] = []
  files: dict[int, pathlib.Path] = {}
  known = None if item_names is None else number_by_name(item_names)
  whole_numbers = item_names is None or np.issubdtype(item_names.dtype, np.integer)
  left_out = 0
  for file in sorted(folder.iterdir()):
    if file.name.startswith("."):
      continue
    is_id = not whole_numbers or (file.stem.isascii() and file.stem.isdigit())
    if not (is_id and file.suffix.lower() in SUFFIXES and file.is_file()):
      raise DataError(f"{file}: expected a file named by an item id and one of {' '.join(SUFFIXES)}")
    name = str(int(file.stem)) if whole_numbers else file.stem
    if known is not None and name not in known:
      left_out += 1
      continue
    item = int(name) if known is None else known[name]
    if item >= num_items:
      raise DataError(f"{file}: item {item} is outside [0, {num_items})")
    if item in files:
      raise DataError(f"{file}: item {name} has an image in {files[item].name}, expected one")
    files[item] = file
    pixels.append(decoded(file, size=size, where=str(file)))
  if not files:
    called = "17" if item_names is None else examples(item_names, 1)[0]
    others = f" but {left_out} of items that are not in the data" if left_out else ""
    raise DataError(f"{folder}: no images in this folder{others}, expected files such as {called}.png")
  items, name = np.array(list(files)), folder.resolve().name
  origin = f"files of the folder {name}{_without(left_out)}"
  return placed(np.stack(pixels), items, num_items=num_items, name=name, origin=origin)


def _without(left_out: int) -> str:
  return f", without {left_out} of items that are not in the data" if left_out else ""


def read_image_archive(
  path: pathlib.Path, *, num_items: int, size: int, seed: int, item_names: Names | None = None
) -> ItemImages:
  """Reads a NumPy archive (`.npz`), of the kind that its arrays tell.

  - `jpeg`, `offset` and `item`: posters, see :func:`posters_of`; a poster's item is as it is in the file.
  - `image` or `pixels` `[K, H, W, 3]` uint8 with `item` `[K]`: image k is of item `item[k]`, a whole number or a text.
  - `image` with `code`, the code points of emoji: pictures that are of no item, see :func:`shared_out`.
  - `image` or `pixels` alone: K must be the number of items, and image k is of item k, if items are called 0 to M - 1.

  Args:
    path: the file.
    num_items: number of items M.
    size: side in pixels to which images are scaled.
    seed: of the draw that gives pictures to items.
    item_names: what items are called `[M]`; None if 0 to M - 1.

  Returns:
    The images.

  Raises:
    DataError: if the file cannot be read or is of none of these kinds.
  """
  arrays = read_archive(path)
  name = path.stem
  if {"jpeg", "offset", "item"} <= set(arrays):
    wanted = arrays["item"] >= 0
    if item_names is not None:
      wanted &= numbers_of(item_names, arrays["item"]) >= 0
    posters, called = posters_of(arrays, size=size, path=path, wanted=wanted)
    origin = f"posters of {path.name}{_without(int((arrays['item'] >= 0).sum()) - len(posters))}"
    items = called if item_names is None else numbers_of(item_names, called)
    return placed(posters, items, num_items=num_items, name=name, origin=origin)
  key = "image" if "image" in arrays else "pixels"
  if key not in arrays:
    raise DataError(f"{path}: arrays {' '.join(sorted(arrays))}, expected image or pixels, or jpeg, offset and item")
  pixels = arrays[key]
  if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[3] != 3 or 0 in pixels.shape:
    raise DataError(f"{path}: {key} is {described(pixels)}, expected uint8 [K, H, W, 3]")
  if "item" in arrays:
    items = arrays["item"]
    kinds = (np.integer,) if item_names is None else (np.integer, np.str_)
    if not any(np.issubdtype(items.dtype, kind) for kind in kinds) or items.shape != pixels.shape[:1]:
      wanted_kind = "integers" if item_names is None else "integers or texts"
      raise DataError(f"{path}: item is {described(items)}, expected {len(pixels)} {wanted_kind}")
    origin = f"images of {path.name} by item"
    if item_names is not None:
      numbers = numbers_of(item_names, items)
      origin += _without(int((numbers < 0).sum()))
      pixels, items = pixels[numbers >= 0], numbers[numbers >= 0]
      if len(items) == 0:
        raise DataError(f"{path}: no image is of an item in the data, which are called"
                        f" {', '.join(examples(item_names, num_items))} and so on")
  elif "code" in arrays:
    return shared_out(resized(pixels, size=size, where=str(path)), num_items=num_items, seed=seed, name=name)
  elif item_names is not None:
    raise DataError(f"{path}: images without an array item, expected one, since items are called"
                    f" {', '.join(examples(item_names, num_items))} and so on")
  elif len(pixels) == num_items:
    items, origin = np.arange(num_items), f"images of {path.name} in the order of items"
  else:
    raise DataError(f"{path}: {len(pixels)} images without an array item, expected one for each of {num_items} items")
  return placed(resized(pixels, size=size, where=str(path)), items, num_items=num_items, name=name, origin=origin)


def read_archive(path: pathlib.Path) -> Archive:
  """Reads all arrays of a NumPy archive.

  Raises:
    DataError: if the file is missing or no such archive, or holds pickled objects.
  """
  try:
    opened = np.load(path, allow_pickle=False)
    if isinstance(opened, np.ndarray):
      raise DataError(f"{path}: expected a NumPy archive (.npz), found a single array")
    with opened:
      return {key: opened[key] for key in opened.files}
  except FileNotFoundError:
    raise DataError(f"{path}: no such file") from None
  except DataError:
    raise
  except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
    reason = " ".join(str(error).split()) or type(error).__name__
    raise DataError(f"{path}: expected a NumPy archive (.npz): {reason}") from None


def posters_of(
  arrays: Archive, *, size: int, path: pathlib.Path, wanted: np.ndarray
) -> tuple[PixelArray, IntArray]:
  """Decodes posters that stand end to end in one array.

  Args:
    arrays: `jpeg` uint8, the bytes of all files; `offset` `[K + 1]`: poster k is `jpeg[offset[k]:offset[k + 1]]`;
      `item` `[K]`, its item, or -1 for none.
    size: side in pixels to which posters are scaled.
    path: the file they are from, for errors.
    wanted: which posters to decode, bool `[K]`.

  Returns:
    Pixels uint8 `[P, size, size, 3]` of the P wanted posters, and their items `[P]`.

  Raises:
    DataError: if the arrays do not fit each other, or a poster cannot be decoded.
  """
  jpeg, offset, items = arrays["jpeg"], arrays["offset"], arrays["item"]
  if jpeg.dtype != np.uint8 or jpeg.ndim != 1:
    raise DataError(f"{path}: jpeg is {described(jpeg)}, expected uint8 of one dimension")
  if not np.issubdtype(items.dtype, np.integer) or items.ndim != 1 or len(items) == 0:
    raise DataError(f"{path}: item is {described(items)}, expected integers, at least one")
  whole = np.issubdtype(offset.dtype, np.integer) and offset.shape == (len(items) + 1,)
  if not whole or offset[0] != 0 or offset[-1] != len(jpeg) or np.any(np.diff(offset) < 0):
    raise DataError(f"{path}: offset must rise from 0 to {len(jpeg)} in {len(items)} steps")
  content = jpeg.tobytes()
  places = np.flatnonzero(wanted)
  if len(places) == 0:
    raise DataError(f"{path}: no poster is of an item, expected at least one")
  pixels = [
    decoded(content[offset[place] : offset[place + 1]], size=size, where=f"{path}: poster {place}") for place in places
  ]
  return np.stack(pixels), items[places]


def shared_out(pixels: PixelArray, *, num_items: int, seed: int, name: str) -> ItemImages:
  """Gives pictures that belong to no item to items by a seeded draw.

  K pictures and M items are each put in random order, and the first min(K, M) of both are paired: with fewer pictures
  than items the others have none. Such images say nothing about who likes an item.

  Args:
    pixels: uint8 `[K, H, W, 3]`.
    num_items: number of items M.
    seed: of the draw.
    name: name of the image set.

  Returns:
    The images.
  """
  random = np.random.default_rng(seed)
  count = min(len(pixels), num_items)
  pictures, items = random.permutation(len(pixels))[:count], random.permutation(num_items)[:count]
  origin = f"{count} of {len(pixels)} pictures given to {num_items} items at random, seed {seed}"
  return placed(pixels[pictures], items, num_items=num_items, name=name, origin=origin)
