"""Reading a file in the format that its name tells."""

import pathlib
from collections.abc import Callable

from fedrecjax.datasets import columns, delimited, user_lists
from fedrecjax.datasets.errors import DataError
from fedrecjax.datasets.interactions import Interactions

_READERS: dict[str, Callable[..., Interactions]] = {
  "u.data": delimited.read_u_data,
  "ratings.dat": delimited.read_ratings_dat,
  "inter": delimited.read_inter,
  "lists": user_lists.read_user_lists,
  "csv": columns.read_csv,
  "parquet": columns.read_parquet,
}
_FORMAT_OF_SUFFIX = {
  ".data": "u.data",
  ".dat": "ratings.dat",
  ".inter": "inter",
  ".txt": "lists",
  ".csv": "csv",
  ".parquet": "parquet",
}

FORMATS = tuple(_READERS)


def format_of(path: str | pathlib.Path) -> str:
  """Tells the format of a file by its suffix, a final `.gz` left aside.

  >>> format_of("ml-100k/u.data.gz"), format_of("train.txt")
  ('u.data', 'lists')

  Args:
    path: the file; it need not exist.

  Returns:
    `.data` -> "u.data", `.dat` -> "ratings.dat", `.inter` -> "inter", `.txt` -> "lists", `.csv` ->
    "csv", `.parquet` -> "parquet".

  Raises:
    DataError: for any other suffix.
  """
  plain = pathlib.PurePath(path).name.removesuffix(".gz")
  suffix = pathlib.PurePath(plain).suffix.lower()
  if suffix not in _FORMAT_OF_SUFFIX:
    known = " ".join(_FORMAT_OF_SUFFIX)
    raise DataError(f"{path}: format unknown from suffix {suffix!r}, expected one of {known}")
  return _FORMAT_OF_SUFFIX[suffix]


def read(
  path: str | pathlib.Path, *, format: str | None = None, name: str | None = None
) -> Interactions:
  """Reads interactions from a file.

  Args:
    path: the file; gzipped if its name ends in `.gz`. A file of lists named `train*.txt` brings the
      `test*.txt` beside it as the split of the source.
    format: one of `FORMATS`; by default what :func:`format_of` tells.
    name: name of the set; by default the file's name.

  Returns:
    The interactions, in file order.

  Raises:
    DataError: if the file is missing, of no known format, or wrong in a line.
  """
  file = pathlib.Path(path)
  chosen = format_of(file) if format is None else format
  if chosen not in _READERS:
    raise DataError(f"format {chosen!r} is unknown, expected one of {' '.join(FORMATS)}")
  options = {}
  if chosen == "lists":
    options["test_path"] = user_lists.companion_test_file(file)
  return _READERS[chosen](file, name=name or file.name, **options)
