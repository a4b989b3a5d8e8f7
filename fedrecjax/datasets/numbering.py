"""Numbers of published sets, whose users and items are called by number in papers and in results that are kept."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from fedrecjax.datasets.errors import DataError
from fedrecjax.datasets.id_columns import Ids
from fedrecjax.datasets.names import Names, checked_names

Numbering = Literal["from_zero", "from_one", "first_appearance"]


def numbered(ids: Ids, numbering: Numbering | None, what: str) -> tuple[npt.NDArray[np.int32], int, Names | None]:
  """Numbers ids as a published set does.

  Args:
    ids: as read.
    numbering: "from_zero" takes ids as numbers, also those that never occur; "from_one" those less 1;
      "first_appearance" numbers the ids that occur in the order of the file. None leaves numbers and names as read.
    what: "name_of_the_set: user" or "... item", for errors.

  Returns:
    Numbers `[n]`; how many users or items there are; their names, None where numbers are the names.

  Raises:
    DataError: if the ids are not numbered from 0 or 1.
  """
  if numbering is None:
    return ids.numbers, len(ids.names), checked_names(ids.names, len(ids.names), what)
  if not np.issubdtype(ids.names.dtype, np.integer):
    raise DataError(f"{what} ids are not whole numbers, expected those of the published set")
  if numbering == "first_appearance":
    _, first = np.unique(ids.numbers, return_index=True)
    place = np.empty(len(first), np.int32)
    place[np.argsort(first)] = np.arange(len(first), dtype=np.int32)
    return place[ids.numbers], len(first), None
  names = ids.names - (1 if numbering == "from_one" else 0)
  largest = int(names.max())
  if names.min() < 0 or largest > 1000 + 100 * len(names):
    raise DataError(
      f"{what} ids run from {ids.names.min()} to {ids.names.max()}, and {len(names)} different ones occur; expected"
      f" them numbered {numbering.replace('_', ' ')}"
    )
  return names[ids.numbers].astype(np.int32), largest + 1, None
