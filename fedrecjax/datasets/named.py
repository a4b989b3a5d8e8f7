"""The data sets known by name: where their files are looked for and what they must contain."""

import dataclasses
import os
import pathlib

from fedrecjax.datasets import companions, formats
from fedrecjax.datasets.download import Download, fetch
from fedrecjax.datasets.errors import DataError
from fedrecjax.datasets.given_splits import Part, named_parts, parts_of, training_files
from fedrecjax.datasets.interactions import Interactions
from fedrecjax.datasets.layouts import ReadOptions
from fedrecjax.datasets.numbering import Numbering
from fedrecjax.datasets.roles import NONE
from fedrecjax.datasets.sources import PACKED, plain_name
from fedrecjax.datasets.synthetic import synthetic
from fedrecjax.methods.registry import Registry
from fedrecjax.methods.spelling import did_you_mean

DATA_DIR_VARIABLE = "FEDRECJAX_DATA"


@dataclasses.dataclass(frozen=True)
class NamedSet:
  """A published data set.

  Attributes:
    files: file names looked for in the set's folder, in this order, each plain or packed.
    origin: where a person gets the files, for errors.
    counts: users N, items M and interactions that the papers report; None where they use a subset.
    download: how to fetch it; None where terms or a missing checksum demand that a person does.
  """

  files: tuple[str, ...]
  origin: str
  counts: tuple[int, int, int] | None
  download: Download | None = None


_GROUPLENS = "https://files.grouplens.org/datasets/movielens"
_CONVERTED = "interactions.csv"
_LISTS = ("train.txt", _CONVERTED)
_IN_FOLDERS = ("u.data", "ratings.dat", "train.txt", _CONVERTED, "interactions.parquet", "ratings.csv")
_NUMBERING: dict[str, Numbering] = {"u.data": "from_one", "ratings.dat": "first_appearance"}
_DEFAULTS = ReadOptions()

NAMED_SETS: dict[str, NamedSet] = {
  "ml-100k": NamedSet(
    files=("u.data", _CONVERTED),
    origin=f"{_GROUPLENS}/ml-100k.zip",
    counts=(943, 1682, 100_000),
    download=Download(
      url=f"{_GROUPLENS}/ml-100k.zip",
      known_hash="md5:0e33842e24a9c977be4e0107933c0723",
      member="ml-100k/u.data",
    ),
  ),
  "ml-1m": NamedSet(
    files=("ratings.dat", _CONVERTED),
    origin=f"{_GROUPLENS}/ml-1m.zip",
    counts=(6040, 3706, 1_000_209),
    download=Download(
      url=f"{_GROUPLENS}/ml-1m.zip",
      known_hash="md5:c4d9eecfca2ab87c1945afe126590906",
      member="ml-1m/ratings.dat",
    ),
  ),
  "steam-200k": NamedSet(
    files=_LISTS,
    origin="https://github.com/rdz98/FedRecAttack (Data/steam/train.txt and test.txt)",
    counts=(3753, 5134, 114_713),
  ),
  "amazon-digital-music": NamedSet(
    files=_LISTS,
    origin="https://github.com/junzhang-zj/PIECK (MF-FRS/Data/AZ/train.txt and test.txt)",
    counts=(16_566, 11_797, 169_781),
  ),
  "amazon-cell-phones": NamedSet(
    files=(_CONVERTED, "interactions.parquet"),
    origin="https://jmcauley.ucsd.edu/data/amazon (5-core, columns user,item,timestamp)",
    counts=None,
  ),
  "gowalla": NamedSet(
    files=_LISTS,
    origin="https://github.com/gusye1234/LightGCN-PyTorch (data/gowalla/train.txt and test.txt)",
    counts=(29_858, 40_981, 1_027_370),
  ),
}

DATASETS: tuple[str, ...] = ("synthetic", *NAMED_SETS)

OWN_SETS: Registry[Interactions] = Registry("data set")
"""Sets that functions without hyperparameters make, see :func:`fedrecjax.register`."""


def dataset_names() -> tuple[str, ...]:
  """The names of all data sets that have one."""
  return (*DATASETS, *OWN_SETS.names())


def read_named(
  name_or_path: str | os.PathLike[str],
  *,
  data_dir: str | os.PathLike[str] | None = None,
  options: ReadOptions = _DEFAULTS,
) -> Interactions:
  """Reads a data set by name, or files or a folder by path.

  "synthetic" is `synthetic()` with its defaults, the same set always, and sets of `OWN_SETS` are what
  their functions make. Any other set is looked for
  in `<data_dir>/<name>/`: first in its publisher's format (`u.data`, `ratings.dat`, `train.txt`
  with `test.txt`), then as `interactions.csv`, each also packed. Beside `interactions.csv`, a file
  `time_rank.csv` (one integer a row that orders a user's rows in time) or `split.csv` (1 = held out
  by the source) is used where it exists. A set that is not there is downloaded to that folder if
  its publisher allows that and a checksum is known. Users and items of these sets are called by their
  numbers, those that never occur too; users and items of files are those that occur, and are called
  as in the file.

  Args:
    name_or_path: one of `DATASETS`; or an existing file or folder, or anything with a path
      separator; or `TRAIN:TEST` or `TRAIN:VALIDATION:TEST`, the files of a split. Files are read by
      :func:`fedrecjax.datasets.read`; folders are searched as above, for `ratings.dat`, `u.data`,
      `ratings.csv`, the files of a split and RecBole's file too.
    data_dir: folder with one folder per named set; by default the environment variable
      FEDRECJAX_DATA, else a cache folder of the user.
    options: what is said of the files.

  Returns:
    The interactions.

  Raises:
    DataError: if the name is unknown, the set is not there and cannot be fetched, or its files are
      wrong.
  """
  name = os.fspath(name_or_path)
  if name == "synthetic":
    _refuse_options(name, options)
    return synthetic()
  if name in OWN_SETS.names():
    _refuse_options(name, options)
    return OWN_SETS[name].constructor()
  if name in NAMED_SETS:
    return _read_set(name, NAMED_SETS[name], data_dir, options)
  parts = named_parts(name)
  if parts is not None:
    return formats.read_parts(parts, options, name=parts[0].path.name)
  path = pathlib.Path(name)
  if path.is_dir():
    file = _in_folder(path)
    return _read_parts(parts_of(file), file, path.resolve().name, options)
  if path.is_file() or path.name != name:
    return formats.read_parts(parts_of(path), options, name=path.name)
  raise DataError(
    f"data set {name!r} is unknown, expected one of {' '.join(dataset_names())}, or a path to a file"
    + did_you_mean(name, dataset_names())
  )


def data_files(
  name_or_path: str | os.PathLike[str], *, data_dir: str | os.PathLike[str] | None = None
) -> tuple[pathlib.Path, ...]:
  """The files that :func:`read_named` reads a data set from.

  Args:
    name_or_path: as of :func:`read_named`.
    data_dir: likewise.

  Returns:
    The file and those beside it that belong to it; none for "synthetic", and where no file is there.

  Raises:
    DataError: if it cannot be told which files belong together.
  """
  name = os.fspath(name_or_path)
  path = pathlib.Path(name)
  if name == "synthetic" or name in OWN_SETS.names():
    return ()
  if name in NAMED_SETS:
    file = _find(_folder_of(name, data_dir), NAMED_SETS[name].files)
    parts = () if file is None else parts_of(file)
  elif (named := named_parts(name)) is not None:
    file, parts = None, tuple(part for part in named if part.path.is_file())
  elif path.is_dir():
    file = _in_folder(path)
    parts = parts_of(file)
  else:
    file, parts = None, parts_of(path) if path.is_file() else ()
  beside = () if file is None or not _is_converted(file) else _time_and_split(file)
  return (*(part.path for part in parts), *(one for one in beside if one is not None))


def default_data_dir() -> pathlib.Path:
  """Returns the folder named by FEDRECJAX_DATA, else `fedrecjax` in the user's cache folder."""
  configured = os.environ.get(DATA_DIR_VARIABLE)
  if configured:
    return pathlib.Path(configured)
  cache = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
  return pathlib.Path(cache) / "fedrecjax"


def _refuse_options(name: str, options: ReadOptions) -> None:
  """Sets that are made come from no file."""
  for field in dataclasses.fields(options):
    if getattr(options, field.name) != field.default:
      raise DataError(f"data.{field.name} is of files, and the set {name} comes from none; expected it left alone")


def _read_set(
  name: str, named_set: NamedSet, data_dir: str | os.PathLike[str] | None, options: ReadOptions
) -> Interactions:
  folder = _folder_of(name, data_dir)
  file = _find(folder, named_set.files)
  if file is None:
    if named_set.download is None:
      raise DataError(
        f"{name} is not in {folder} and must be fetched by hand: get it from "
        f"{named_set.origin} and put {named_set.files[0]} there (data_dir or {DATA_DIR_VARIABLE} "
        "names the folder above it)"
      )
    file = fetch(named_set.download, folder)
  found = _read_parts(parts_of(file), file, name, options, _NUMBERING.get(plain_name(file), "from_zero"))
  counts = (found.num_users, found.num_items, len(found))
  wanted = named_set.counts
  if wanted is not None and counts != wanted and options.min_rating is None and options.keep_if is None:
    raise DataError(
      f"{file}: {counts[0]} users, {counts[1]} items, {counts[2]} interactions, "
      f"expected {wanted[0]}, {wanted[1]}, {wanted[2]} in {name}; give the file's path to read it "
      "as it is"
    )
  return found


def _in_folder(folder: pathlib.Path) -> pathlib.Path:
  """The file of a folder that holds its data.

  Raises:
    DataError: if there is none, or several may be meant.
  """
  file = _find(folder, _IN_FOLDERS)
  if file is not None:
    return file
  found = training_files(folder) or [file for file in sorted(folder.iterdir()) if file.name.endswith(".inter")]
  if len(found) > 1:
    raise DataError(f"{folder}: {' and '.join(file.name for file in found)} are data sets, expected one; name the file")
  if not found:
    raise DataError(
      f"{folder}: no data in this folder, expected one of {' '.join(_IN_FOLDERS)} [.gz], *.inter, or files named train"
      " and test"
    )
  return found[0]


def _read_parts(
  parts: tuple[Part, ...], file: pathlib.Path, name: str, options: ReadOptions, numbering: Numbering | None = None
) -> Interactions:
  if not _is_converted(file):
    return formats.read_parts(parts, options, name=name, numbering=numbering)
  time_path, test_path = _time_and_split(file)
  named = {role for role, _ in options.columns}
  # A column that somebody names goes before a file beside it, and that before a column of a usual name.
  time_path, test_path = (
    None if role in named else path for role, path in (("time", time_path), ("split", test_path))
  )
  aside = tuple((role, NONE) for role, path in (("time", time_path), ("split", test_path)) if path is not None)
  options = dataclasses.replace(options, columns=(*options.columns, *aside))
  found = formats.read_parts(parts, options, name=name, numbering=numbering)
  return companions.with_companions(found, time_path, test_path)


def _is_converted(file: pathlib.Path) -> bool:
  return plain_name(file) == _CONVERTED


def _time_and_split(file: pathlib.Path) -> tuple[pathlib.Path | None, pathlib.Path | None]:
  """The files beside `interactions.csv` that say when its rows were, and which are held out."""
  return _find(file.parent, ("time_rank.csv",)), _find(file.parent, ("split.csv",))


def _folder_of(name: str, data_dir: str | os.PathLike[str] | None) -> pathlib.Path:
  """The folder of a named set."""
  return (default_data_dir() if data_dir is None else pathlib.Path(data_dir)) / name


def _find(folder: pathlib.Path, names: tuple[str, ...]) -> pathlib.Path | None:
  """The first of `names` in `folder`, plain before packed."""
  for name in names:
    for suffix in ("", *PACKED):
      if (folder / f"{name}{suffix}").is_file():
        return folder / f"{name}{suffix}"
  return None
